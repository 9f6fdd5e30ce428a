"""What the readers of annotation files hand on: images, and the boxes as somebody drew them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from kmed.data.dicom.slices import SliceHeader


class DrawnBox(NamedTuple):
    """One box, unchecked.

    Attributes:
        line: where it stands in its file, from 1; None where the file has no lines.
        name: of its class.
        corners: (x1, y1, x2, y2) in pixels, x from 0 at the left edge of the image.
        difficult: marked so in Pascal VOC, or a crowd in COCO.
        fault: found by the reader; such a box belongs to no image.
    """

    line: int | None
    name: str
    corners: tuple[float, float, float, float]
    difficult: bool = False
    fault: str | None = None


@dataclass(frozen=True, kw_only=True)
class DrawnImage:
    """One image and its boxes.

    Attributes:
        file: where the boxes stand, for error messages.
        line: where the image itself is named there, or None.
        image: the picture, or the header of the DICOM file.
        boxes: none for a negative.
        size: (height, width) that the annotation says the image has, or None.
        part: "train", "validation", "test" or None.
        patient: or None where the annotation does not say.
    """

    file: Path
    line: int | None = None
    image: Path | SliceHeader
    boxes: tuple[DrawnBox, ...]
    size: tuple[int, int] | None = None
    part: str | None = None
    patient: str | None = None

    @property
    def path(self) -> Path:
        """The image's file."""
        return self.image if isinstance(self.image, Path) else self.image.path


@dataclass(frozen=True, kw_only=True)
class DrawnSet:
    """A data set as its annotation files have it.

    Attributes:
        images: in the order of the files.
        names: of the classes in the order of their indices; None: those of the boxes, sorted.
        root: folder that the images' ids start from, or None: the folder above all of them.
        least_side: both sides of a box are longer than this many pixels.
    """

    images: tuple[DrawnImage, ...]
    names: tuple[str, ...] | None = None
    root: Path | None = None
    least_side: float = 0.0
