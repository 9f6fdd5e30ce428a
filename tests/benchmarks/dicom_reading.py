"""Reads one DICOM file in all the ways that kmed has, and compares what they give."""

import warnings
from pathlib import Path

import numpy as np

from kmed.data.dicom.display import display
from kmed.data.dicom.header import read_dataset, read_header
from kmed.data.dicom.hushed import hushed
from kmed.data.dicom.images import read_dicom_picture
from kmed.data.dicom.pixel_values import frame_values, padding_mask
from kmed.data.dicom.pixels import stored
from kmed.data.dicom.series import read_series, read_volume
from kmed.data.dicom.volumes import volumes_of
from kmed.data.sample import DataError

DECIDED = {
    "tilt": "resample", "spacing": "resample", "missing": "resample", "duplicates": "first",
    "padding": 0,
}  # fmt: skip
FRAMES = 4  # of a file whose values are looked at one by one; its volumes have all of them


class Reading:
    """What reading a file came to.

    Args:
        path: of the file.

    Raises:
        AssertionError: what was read is not what the header declares, or is not finite.
        Exception: anything that is no `DataError`.
    """

    def __init__(self, path: Path):
        self.refusals: list[DataError] = []
        self.decoded = False
        header = self._try(read_header, path)
        ds = self._try(read_dataset, path, pixels=True)
        if header is not None and header.is_image and ds is not None:
            self._pixels(header, ds)
            self._try(read_dicom_picture, path)
        archive = self._try(volumes_of, path)
        for series in archive.series if archive else ():
            for volume in series.volumes:
                self._volume(volume, {})
                self._volume(volume, DECIDED)
        if header is not None and header.is_image:
            self._try(read_series, path)

    @property
    def outcome(self) -> str:
        """The class of the first refusal, "read" without one; "MEMORY" where that was short."""
        for error in self.refusals:
            cause: BaseException | None = error
            while cause is not None:
                if isinstance(cause, MemoryError):
                    return "MEMORY"
                cause = cause.__cause__ or cause.__context__
        return type(self.refusals[0]).__name__ if self.refusals else "read"

    def _try(self, ask, *arguments, **keywords):
        try:
            with hushed():
                return ask(*arguments, **keywords)
        except DataError as error:
            assert 0 < len(str(error)) < 3000, f"a message of {len(str(error))} characters"
            self.refusals.append(error)
            return None

    def _pixels(self, header, ds) -> None:
        found = self._try(stored, ds)
        if found is None:
            return
        declared = (header.number_of_frames, header.rows, header.columns)
        declared += (3,) if header.samples == 3 else ()
        assert found.values.shape == declared, f"{found.values.shape}, declared {declared}"
        self.decoded = True
        for frame in header.frames[:FRAMES]:
            plane = values = found.values[0 if frame.tile else frame.index]
            if found.photometric.startswith("MONOCHROME"):
                values = self._try(frame_values, ds, plane, frame)
                self._try(padding_mask, ds, plane)
                if values is None:
                    continue
                assert values.shape == plane.shape, f"{values.shape} of {plane.shape}"
                assert plane.dtype.kind == "f" or np.isfinite(values).all(), "values not finite"
            shown = self._try(display, ds, values, photometric=found.photometric)
            if shown is not None:
                assert shown.shape[:2] == plane.shape[:2] and shown.dtype == np.uint8

    def _volume(self, volume, decisions) -> None:
        series = self._try(read_volume, volume, **decisions)
        if series is None:
            return
        shape = series.array.shape
        assert decisions or sorted(shape) == sorted(volume.shape), f"{shape} of {volume.shape}"
        assert series.resampled or len(series.files) in shape
        assert np.isfinite(series.affine).all() and min(series.spacing_mm) > 0
        assert np.linalg.det(series.affine), "an affine that can't be inverted"


def read_all(path: Path) -> Reading:
    """Reads a file without a warning.

    Args:
        path: of the file.

    Raises:
        AssertionError: as `Reading`; also for any warning.
    """
    # Recorded rather than raised, so that reading goes on as it does for users.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        reading = Reading(path)
    assert not said, f"warns: {said[0].message}"
    return reading
