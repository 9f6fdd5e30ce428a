import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from pydicom.uid import UID

from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.phantoms import phantoms

STUDY = StudyHeader(
    patient_id="p1", patient_name="Phantom^0001", entropy=("test", "1"), date="20250101"
)


def affine():
    matrix = np.zeros((4, 4))
    matrix[[2, 1, 0], [0, 1, 2]] = 5.0, 10 / 3, 0.7
    matrix[:, 3] = -100.25, 33.3, -7.1, 1.0
    return matrix


def test_attributes(tmp_path):
    array = np.arange(-1024, -1024 + 60, dtype=np.int16).reshape(3, 4, 5)
    files = write_series(
        tmp_path / "ct", array, affine(), STUDY, modality="CT", name="ct", number=1
    )
    datasets = [pydicom.dcmread(file) for file in files]
    assert [ds.InstanceNumber for ds in datasets] == [3, 2, 1]  # against the position
    assert [ds.ImagePositionPatient[2] for ds in datasets] == [-7.1, -2.1, 2.9]
    for ds, pixels in zip(datasets, array, strict=True):
        np.testing.assert_array_equal(ds.pixel_array.astype(int) - 1024, pixels)
        assert ds.SOPClassUID.name == "CT Image Storage"
        assert ds.PixelSpacing == pytest.approx([10 / 3, 0.7])
        assert ds.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID, ds.StudyInstanceUID):
            assert UID(uid).is_valid
    assert len({ds.SOPInstanceUID for ds in datasets}) == 3


def test_values_that_do_not_fit(tmp_path):
    for modality, value in (("CT", 3072), ("CT", -1025), ("MR", -1), ("MR", 4096)):
        with pytest.raises(ValueError, match=f"for {modality}; received"):
            write_series(
                tmp_path, np.full((1, 2, 2), value), affine(), STUDY,
                modality=modality, name="x", number=1,
            )  # fmt: skip


def test_uids_do_not_collide_between_words():
    assert STUDY.uid("a", "bc") != STUDY.uid("ab", "c")
    assert STUDY.uid("a") == STUDY.uid("a")


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="needs dciodvfy of dicom3tools")
def test_dciodvfy_has_nothing_to_say(tmp_path):
    root = phantoms(tmp_path / "set", patients=1, shape=(8, 32, 32), spacing_mm=(15, 10.5, 10.5))
    for modality, iod in (("ct", "CTImage"), ("t1", "MRImage"), ("t2", "MRImage")):
        file = root / "patient-0001" / modality / "slice-0001.dcm"
        done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
        assert (done.stdout + done.stderr).strip() == iod
