import shutil

import numpy as np
import pytest
from PIL import Image

from kmed.data.named_images import named_images, named_samples
from kmed.data.nifti import write_nifti
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    root = tmp_path_factory.mktemp("named") / "set"
    return phantoms(root, patients=2, shape=(8, 16, 16), spacing_mm=(15, 20, 20))


def test_pictures_and_volumes(tmp_path):
    (tmp_path / "a").mkdir()
    Image.new("L", (6, 4)).save(tmp_path / "a" / "x.png")
    write_nifti(tmp_path / "y.nii.gz", np.zeros((2, 3, 4), np.int16), np.eye(4))
    (tmp_path / "notes.txt").write_text("none")
    found = named_images(tmp_path)
    assert [(i.name, i.kind, i.is_volume) for i in found] == [
        ("a/x", "picture", False),
        ("y", "nifti", True),
    ]
    [picture] = named_samples(found[:1], tmp_path, channels=3)
    assert picture.id == "a/x" and picture.read().image.shape == (4, 6, 3)


def test_series_are_named_by_their_folders(studies):
    found = [image for image in named_images(studies) if image.kind != "nifti"]
    assert [(i.name, i.kind) for i in found[:3]] == [
        ("patient-0001/ct", "dicom series"),
        ("patient-0001/t1", "dicom series"),
        ("patient-0001/t2", "dicom series"),
    ]
    samples = named_samples(found, studies)
    assert [s.id for s in samples] == [i.name for i in found]
    assert samples[0].patient == "patient-0001" and samples[0].modality == "CT"
    with pytest.raises(ValueError, match="channels"):
        named_samples(found, studies, channels=1)


def test_series_in_one_folder_are_told_apart_by_their_uids(studies, tmp_path):
    for modality in ("t1", "t2"):
        for file in (studies / "patient-0001" / modality).iterdir():
            shutil.copy(file, tmp_path / f"{modality}-{file.name}")
    found = named_images(tmp_path)
    assert len({image.name for image in found}) == 2
    assert all(image.name.startswith(f"{tmp_path.name}/1.") or "2.25" in image.name
               for image in found)  # fmt: skip


def test_a_single_file_is_a_picture(studies, tmp_path):
    shutil.copy(studies / "patient-0001" / "t1" / "slice-0001.dcm", tmp_path / "one.dcm")
    [image] = named_images(tmp_path)
    assert (image.name, image.kind) == ("one", "dicom picture")
    [sample] = named_samples([image], tmp_path)
    assert sample.read().image.shape == (16, 16, 1)


def test_nothing_to_see(tmp_path):
    (tmp_path / "a.txt").write_text("none")
    with pytest.raises(DataError, match="holds no pictures, NIfTI or DICOM"):
        named_images(tmp_path)
