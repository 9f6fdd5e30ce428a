import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.capture import write_capture

STUDY = StudyHeader(patient_id="p1", patient_name="A^B", entropy=("sc",), date="20250101")


def source(folder):
    affine = np.diag([5.0, 1, 1, 1])[[2, 1, 0, 3]]
    array = np.zeros((1, 8, 8), np.int16)
    (file,) = write_series(folder, array, affine, STUDY, modality="CT", name="s", number=1)
    return file


@pytest.mark.parametrize("shape", [(9, 7, 3), (9, 7)])
def test_a_picture_comes_back_with_its_source(tmp_path, shape):
    picture = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    file = source(tmp_path / "s")
    written = write_capture(tmp_path / "sc.dcm", picture, file, description="Boxes")
    ds, image = pydicom.dcmread(written), pydicom.dcmread(file)
    np.testing.assert_array_equal(ds.pixel_array, picture)
    assert ds.SOPClassUID.name == "Secondary Capture Image Storage"
    assert (ds.PatientID, ds.StudyInstanceUID) == ("p1", image.StudyInstanceUID)
    assert ds.SeriesInstanceUID != image.SeriesInstanceUID
    assert list(ds.ImageType) == ["DERIVED", "SECONDARY"] and ds.SeriesDescription == "Boxes"
    assert ds.SourceImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert "KVP" not in ds and "BurnedInAnnotation" not in ds
    if shutil.which("dciodvfy"):
        done = subprocess.run(
            ["dciodvfy", str(written)], capture_output=True, text=True, check=False
        )
        assert "Error" not in done.stdout + done.stderr


def test_no_picture(tmp_path):
    file = source(tmp_path / "s")
    for picture in (np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)):
        with pytest.raises(ValueError, match="must be .H, W. or .H, W, 3. uint8"):
            write_capture(tmp_path / "sc.dcm", picture, file)
