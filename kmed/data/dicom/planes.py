"""The decoded slices of a volume, one file in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from pydicom.dataset import Dataset

from kmed.data.dicom.errors import Damaged, UnsupportedPixels
from kmed.data.dicom.files import Source
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.header import Header, read_dataset
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.pixel_values import frame_values, narrowed, padding_mask, padding_range
from kmed.data.dicom.pixels import stored_values
from kmed.data.dicom.suv import suv_factor
from kmed.data.dicom.typed import typed_errors

VALUES = ("units", "stored", "suv")
_AT_ONCE = 32  # frames of a multi-frame file that are decoded together


class Planes:
    """Slices by their number; those of one file are fastest in the order of the file.

    Args:
        headers: of each slice that of its file.
        frames: the slices.
        values: "units", "stored" or "suv".
        padding: value in place of padded pixels; None keeps theirs.
    """

    def __init__(
        self,
        headers: Sequence[Header],
        frames: Sequence[Frame],
        *,
        values: str = "units",
        padding: float | None = None,
    ):
        self._headers, self._frames = headers, frames
        self._values, self._padding = values, padding
        self._source: Source | None = None
        self._dataset: Dataset | None = None
        self._decoded: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._frames)

    def __call__(self, index: int) -> np.ndarray:
        """Decodes a slice.

        Args:
            index: its number.

        Returns:
            `(rows, columns)`: int16 where values are whole and fit, else int32 or floats.

        Raises:
            DicomError: pixels that can't be decoded, or whose units are unknown.
        """
        header = self._headers[index]
        with hushed(), typed_errors(header.source.name, "its values can't be read"):
            return self._plane(header, self._frames[index], index)

    def padded(self) -> float | None:
        """Gives what a padded pixel of the first slice holds.

        Returns:
            A value as of the slices; None if the file declares no padding.
        """
        with hushed():
            self._plane(self._headers[0], self._frames[0], 0)
            stored = next(iter(self._decoded.values()))
            found = padding_range(self._dataset, stored.dtype)
            if found is None:
                return self._padding
            try:
                pixel = np.full((1, 1), found[0], stored.dtype)
                return float(self._converted(pixel, self._frames[0])[0, 0])
            except UnsupportedPixels:  # a table of values that leaves padding out
                return None

    def _plane(self, header: Header, frame: Frame, index: int) -> np.ndarray:
        number = 0 if frame.tile is not None else frame.index
        if self._source != header.source:
            self._decoded.clear()
            self._dataset = read_dataset(header.source, pixels=True)
            self._source = header.source
        if number not in self._decoded:
            self._decode(index)
        plane = self._decoded[number]
        if plane.shape != (header.rows, header.columns):
            raise Damaged(
                f"{header.source.name}: decoded to {plane.shape}, its header says "
                f"{(header.rows, header.columns)}",
                files=[header.source.name],
            )
        if frame.tile is not None:
            row, column, rows, columns = frame.tile
            plane = plane[row : row + rows, column : column + columns]
        return self._converted(plane, frame)

    def _decode(self, index: int) -> None:
        """Decodes the frames that follow in the same file, too."""
        numbers = []
        for header, frame in zip(self._headers[index:], self._frames[index:], strict=True):
            if header.source != self._source or len(numbers) == _AT_ONCE:
                break
            number = 0 if frame.tile is not None else frame.index
            if number not in numbers:
                numbers.append(number)
        self._decoded = dict(
            zip(numbers, stored_values(self._dataset, frames=numbers), strict=True)
        )

    def _converted(self, plane: np.ndarray, frame: Frame) -> np.ndarray:
        ds = self._dataset
        if self._values == "stored":
            converted = narrowed(plane)
        else:
            converted = frame_values(ds, plane, frame)
        if self._values == "suv":
            converted = converted.astype(np.float32) * np.float32(suv_factor(ds))
        if self._padding is not None:
            padded = padding_mask(ds, plane)
            if padded is not None:
                whole = converted.dtype.kind in "iu" and not float(self._padding).is_integer()
                converted = np.where(
                    padded, self._padding, converted.astype(np.float32) if whole else converted
                ).astype(np.float32 if whole else converted.dtype)
        return converted


def stacked_planes(planes: Planes, empty: Callable[..., np.ndarray] = np.empty) -> np.ndarray:
    """Decodes all slices into one array.

    Args:
        planes: one or more, of one size.
        empty: gives an array of a shape and type; of any order in memory.

    Returns:
        `(slices, rows, columns)`: int16 where all values are whole and fit, else float32.
    """
    first = planes(0)
    shape = (len(planes), *first.shape)
    out = empty(shape, np.int16 if first.dtype == np.int16 else np.float32)
    out[0] = first
    for index in range(1, len(planes)):
        plane = planes(index)
        if plane.dtype != np.int16 and out.dtype == np.int16:
            whole, out = out, empty(shape, np.float32)
            out[:index] = whole[:index]
        out[index] = plane
    return out
