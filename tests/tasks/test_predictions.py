import numpy as np
from PIL import Image

from kmed.data import phantoms
from kmed.tasks.predictions import samples_of, unused_name


def test_names_are_numbered():
    names = set()
    assert [unused_name(name, names) for name in ("a/ct", "a/ct", "a_ct", "b")] == [
        "a_ct", "a_ct-2", "a_ct-3", "b",
    ]  # fmt: skip


def test_a_broken_file_does_not_keep_the_others_from_being_read(tmp_path):
    Image.fromarray(np.zeros((4, 4), "uint8")).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    failed = []
    assert [sample.id for sample in samples_of([tmp_path], failed)] == ["a"]
    [(which, why)] = failed
    assert which.endswith("b.png") and "b.png" in why


def test_of_dicom_series_the_good_ones_are_taken(tmp_path):
    root = phantoms(tmp_path / "p", patients=3, shape=(8, 16, 16), modalities=("ct",))
    (root / "dataset.json").unlink()
    for mask in root.rglob("*.nii.gz"):
        mask.unlink()
    next((root / "patient-0002" / "ct").glob("*3.dcm")).unlink()
    (root / "patient-0003" / "ct" / "IM1").write_bytes(b"no DICOM")
    failed = []
    found = [sample.id for sample in samples_of([root], failed)]
    assert found == ["patient-0001/ct", "patient-0003/ct"]
    assert [name.rpartition("/")[2] for name, _ in failed] == ["IM1", "ct"]
    assert "1 slice is missing" in failed[1][1]
    failed = []
    found = list(samples_of([root], failed, resample=True))
    assert [one.read().image.shape for one in found] == [(8, 16, 16, 1)] * 3 and len(failed) == 1
