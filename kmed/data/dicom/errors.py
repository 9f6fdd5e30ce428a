"""What can be wrong with DICOM, each as a type of its own that carries the files and figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kmed.data.sample import DataError


class DicomError(DataError):
    """DICOM that kmed refuses.

    The message names files, the rule, what was measured and the parameter that decides otherwise;
    it never repeats an attribute that describes a patient.

    Attributes:
        files: of which the message speaks, as `str`.
        figures: what was measured, by name, for instance `{"tilt_deg": 18.5}`.
    """

    def __init__(
        self,
        message: str,
        *,
        files: Iterable[object] = (),
        figures: Mapping[str, Any] | None = None,
    ):
        super().__init__(message)
        self.files = tuple(str(file) for file in files)
        self.figures = dict(figures or {})


class NotDicom(DicomError):
    """A file without the DICM prefix of PS3.10, or no DICOM image where one is needed."""


class Damaged(DicomError):
    """A file that is cut off or contradicts itself."""


class TooLarge(DicomError):
    """A file that declares more than it can hold, or more than the memory allowed for one file."""


class OutsideFolder(DicomError):
    """A reference of a DICOMDIR or a zip archive that leads out of its folder."""


class MissingCodec(DicomError):
    """A transfer syntax for which a package has to be installed, or that nothing here decodes."""


class UnsupportedPixels(DicomError):
    """Pixels of a kind that has no defined meaning here, for instance without a rescale."""


class NoGeometry(DicomError):
    """Images without the attributes that place them in the patient."""


class SlicesMissing(DicomError):
    """A gap of whole slices in an otherwise even series."""


class SlicesDuplicated(DicomError):
    """Two slices at one position that nothing in the header tells apart."""


class SpacingUneven(DicomError):
    """Slices at distances that are no multiples of one step."""


class GantryTilted(DicomError):
    """Slices that are sheared against their normal."""


class OrientationMixed(DicomError):
    """Slices of several orientations asked for as one volume."""


class SizeMixed(DicomError):
    """Slices of several sizes or pixel spacings asked for as one volume."""


class LocalizerRefused(DicomError):
    """A localizer where a volume was asked for."""


class UnitsUnknown(DicomError):
    """Values that can't be converted to the units asked for, since the header lacks something."""
