"""What every source yields: a sample that knows its patient and its files and reads itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from kmed.data.dicom.series import Series


class DataError(ValueError):
    """Data that kmed refuses: the message names the file, the rule and what to do."""


class Arrays(NamedTuple):
    """The decoded content of one sample.

    Attributes:
        image: `(H, W, C)` or `(D, H, W, C)` in the units of the source (Hounsfield units,
            8 or 16 bit pixel values), never rescaled.
        mask: `(H, W)` or `(D, H, W)` uint8 class indices with 0 as background, or None.
        spacing_mm: distance between neighbouring samples along each spatial axis, in the order
            of the array's axes; 1.0 where the source does not say.
        affine: `(4, 4)`, array index `(d, h, w, 1)` to patient coordinates in millimetres in
            DICOM's LPS axes, or None where the source does not say.
    """

    image: np.ndarray
    mask: np.ndarray | None
    spacing_mm: tuple[float, ...]
    affine: np.ndarray | None


@dataclass(frozen=True, kw_only=True, eq=False)
class Objects:
    """The boxes that somebody drew on one image.

    Attributes:
        boxes: `(N, 4)` float32 as (x1, y1, x2, y2) in pixels of the image that `Sample.read` gives;
            x from 0, the left edge of the image, to its width W, y from 0, the top, to H. The box
            of the first pixel alone is (0, 0, 1, 1).
        labels: `(N,)` int32, index among the classes of objects; background is no class.
        difficult: `(N,)` bool, objects that Pascal VOC leaves out of training and counts neither
            for nor against a detector; None: none of them is.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray | None = None

    def __post_init__(self) -> None:
        boxes = np.array(self.boxes, np.float32)
        labels = np.array(self.labels, np.int32)
        count = len(labels)
        difficult = np.zeros(count, bool) if self.difficult is None else self.difficult
        arrays = {"labels": labels, "difficult": np.array(difficult, bool)}
        if count == 0 and boxes.size == 0:
            boxes = boxes.reshape(0, 4)
        if boxes.shape != (count, 4):
            raise ValueError(f"`boxes` must have shape ({count}, 4); received {boxes.shape}")
        for name, array in arrays.items():
            if array.shape != (count,):
                raise ValueError(f"`{name}` must have shape ({count},); received {array.shape}")
        for name, array in {"boxes": boxes, **arrays}.items():
            array.setflags(write=False)  # one sample may be read by several threads
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One image or volume of one patient, read lazily.

    Attributes:
        id: unique within its source.
        patient: samples of one patient never part in a split.
        files: everything that `read` opens, for error messages, hashes and the leakage audit.
        read: decodes the files.
        label: class index of the whole image; or, where an image may have several labels, a 0 or
            1 for each; None where the source has none.
        modality: DICOM's Modality (PS3.3 C.7.3.1.1.1) such as "CT", "MR" or "DX", where the source
            says it.
        objects: the boxes drawn on the image; one with none of them is a negative. None where the
            source has no boxes.
        series: of a DICOM volume, reads the `kmed.data.dicom` series itself, with what results
            need to refer to it; None elsewhere.
    """

    id: str
    patient: str
    files: tuple[str, ...]
    read: Callable[[], Arrays]
    label: int | tuple[int, ...] | None = None
    modality: str | None = None
    objects: Objects | None = None
    series: Callable[[], Series] | None = None
