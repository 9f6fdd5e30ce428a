"""How the pixels of a DICOM file are laid out, as its header declares it, checked before use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.attributes import has, quick
from kmed.data.dicom.errors import Damaged, NotDicom, TooLarge, UnsupportedPixels

# Decoded size up to which one file is read; more needs `frames`.
LARGEST_BYTES = 4 * 2**30

_ELEMENTS = {"PixelData": None, "FloatPixelData": "f4", "DoubleFloatPixelData": "f8"}
_SAMPLES = {
    **dict.fromkeys(("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"), 1),
    **dict.fromkeys(("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"), 3),
}


@dataclass(frozen=True, kw_only=True)
class PixelLayout:
    """What the Image Pixel Module says about the stored values.

    Reference: DICOM PS3.3, C.7.6.3; PS3.5, section 8.

    Attributes:
        name: of the file, for messages.
        element: "PixelData", "FloatPixelData" or "DoubleFloatPixelData".
        frames: how many are declared.
        rows: of a frame.
        columns: of a frame.
        samples: values a pixel, 1 or 3.
        allocated: bits a value takes.
        stored: bits of them that carry the value.
        high: number of the value's highest bit, counted from 0.
        signed: whether values are two's complement.
        photometric: Photometric Interpretation.
        planar: whether samples lie plane after plane.
    """

    name: str
    element: str
    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str
    planar: bool

    @property
    def dtype(self) -> np.dtype:
        """Type that holds stored values, in the machine's byte order."""
        if self.element != "PixelData":
            return np.dtype(_ELEMENTS[self.element])
        return np.dtype(f"{'i' if self.signed else 'u'}{max(self.allocated // 8, 1)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one frame, samples last where there are several."""
        plane = (self.rows, self.columns)
        return plane if self.samples == 1 else (*plane, self.samples)

    @property
    def frame_values(self) -> int:
        """How many values one decoded frame has."""
        return self.rows * self.columns * self.samples

    def require_size(self, frames: int) -> None:
        """Refuses to decode more than fits; to be asked before anything is allocated.

        Args:
            frames: how many are to be decoded.

        Raises:
            TooLarge: above `LARGEST_BYTES`.
        """
        size = frames * self.frame_values * self.dtype.itemsize
        if size > LARGEST_BYTES:
            raise TooLarge(
                f"{self.name}: {frames} frames of {self.rows} x {self.columns} x {self.samples} "
                f"values are {size:,} bytes, more than {LARGEST_BYTES:,}; decode fewer at a time "
                "with `frames`",
                files=[self.name],
                figures={"bytes": size, "limit": LARGEST_BYTES},
            )


def layout_of(ds: Dataset, name: str) -> PixelLayout:
    """Reads and checks the description of the pixels.

    Args:
        ds: data set with its pixel data element.
        name: of the file, for messages.

    Returns:
        The layout.

    Raises:
        NotDicom: no image.
        Damaged: a description that contradicts itself or lacks something.
        UnsupportedPixels: a kind of pixels without a defined meaning here.
    """
    present = [element for element in _ELEMENTS if has(ds, element)]
    if not present:
        if ds.get("PixelDataProviderURL"):
            raise UnsupportedPixels(
                f"{name}: its pixels lie on a server (Pixel Data Provider URL); fetch the images "
                "as files",
                files=[name],
            )
        kind = Damaged if ds.get("Rows") else NotDicom
        raise kind(f"{name}: holds no pixel data; it is no image, or was cut off", files=[name])
    if len(present) > 1:
        raise Damaged(f"{name}: has {' and '.join(present)}; one is allowed", files=[name])
    element = present[0]
    number = _reader(ds, name)
    rows, columns = number("Rows", 1, 65535), number("Columns", 1, 65535)
    frames = number("NumberOfFrames", 1, 2**31 - 1, default=1)
    samples = number("SamplesPerPixel", 1, 65535)
    photometric = _text(ds, "PhotometricInterpretation")
    if photometric not in _SAMPLES:
        raise UnsupportedPixels(
            f"{name}: Photometric Interpretation {photometric[:20]!r} is not supported; there are "
            f"{', '.join(_SAMPLES)}",
            files=[name],
        )
    if samples != _SAMPLES[photometric]:
        raise Damaged(
            f"{name}: {photometric} has {_SAMPLES[photometric]} sample(s) per pixel; "
            f"received {samples}",
            files=[name],
        )
    planar = samples > 1 and number("PlanarConfiguration", 0, 1, default=0) == 1
    if element != "PixelData":
        allocated = 8 * np.dtype(_ELEMENTS[element]).itemsize
        if number("BitsAllocated", 1, 128, default=allocated) != allocated:
            raise Damaged(f"{name}: {element} needs {allocated} bits allocated", files=[name])
        stored, high, signed = allocated, allocated - 1, True
    else:
        allocated = number("BitsAllocated", 1, 65535)
        if allocated not in (1, 8, 16, 32, 64):
            raise UnsupportedPixels(
                f"{name}: BitsAllocated must be 1, 8, 16, 32 or 64; received {allocated}",
                files=[name],
            )
        stored = number("BitsStored", 1, allocated)
        high = number("HighBit", stored - 1, allocated - 1, default=stored - 1)
        signed = number("PixelRepresentation", 0, 1) == 1
    return PixelLayout(
        name=name,
        element=element,
        frames=frames,
        rows=rows,
        columns=columns,
        samples=samples,
        allocated=allocated,
        stored=stored,
        high=high,
        signed=signed,
        photometric=photometric,
        planar=planar,
    )


def _text(ds: Dataset, keyword: str) -> str:
    value = quick(ds, keyword)
    return str((ds.get(keyword) if value is None else value) or "").strip()


def _reader(ds: Dataset, name: str):
    def number(keyword: str, low: int, high: int, default: int | None = None) -> int:
        try:
            value = quick(ds, keyword)
            value = ds.get(keyword) if value is None else value
            value = default if value is None or value == "" else int(value)
        except Exception as error:
            # A value of a wrong type or length surfaces as TypeError, ValueError, struct.error ...
            raise Damaged(
                f"{name}: {keyword} is no whole number ({type(error).__name__})", files=[name]
            ) from error
        if value is None or not low <= value <= high:
            raise Damaged(
                f"{name}: {keyword} must be a number from {low} to {high}; received {value}",
                files=[name],
            )
        return value

    return number
