import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from kmed.data import class_folders
from kmed.data.class_folders import images_below, named_by_path
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.sample import DataError


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), len(name)).save(root / name)
    return root


def labels(found):
    return [(s.id, s.label) for s in found.samples]


def test_classes_in_the_order_of_their_names(tmp_path):
    found = class_folders(pictures(tmp_path, "b/1.png", "a/1.jpg", "b/0.png"))
    assert labels(found) == [("a/1", 0), ("b/0", 1), ("b/1", 1)]
    assert (found.labels, found.kind, found.split) == (("a", "b"), "binary", None)
    assert found.samples[0].patient == "a/1"
    assert found.samples[0].read().image.shape == (4, 6, 1)


def test_labels_give_the_order(tmp_path):
    pictures(tmp_path, "sick/1.png", "well/1.png")
    found = class_folders(tmp_path, labels=["well", "sick"])
    assert labels(found) == [("sick/1", 1), ("well/1", 0)]
    for wrong in (["well"], ["well", "sick", "dead"], ["well", "ill"]):
        with pytest.raises(DataError, match="`labels` must name the class folders sick, well"):
            class_folders(tmp_path, labels=wrong)


def test_grades(tmp_path):
    pictures(tmp_path, *(f"{grade}/a.png" for grade in (0, 2, 10)))
    found = class_folders(tmp_path, kind="ordinal")
    assert (found.labels, found.kind) == (("0", "2", "10"), "ordinal")
    pictures(tmp_path, "mild/a.png")
    with pytest.raises(DataError, match="the order of the grades"):
        class_folders(tmp_path, kind="ordinal")
    order = ["0", "mild", "2", "10"]
    assert class_folders(tmp_path, kind="ordinal", labels=order).labels == tuple(order)


def test_the_official_split(tmp_path):
    pictures(tmp_path, "Train/a/1.png", "Train/b/1.png", "valid/a/1.png", "test/b/2.png")
    found = class_folders(tmp_path)
    split = found.split
    assert [s.id for s in split.train] == ["Train/a/1", "Train/b/1"]
    assert [s.id for s in split.validation] == ["valid/a/1"]
    assert [(s.id, s.label) for s in split.test] == [("test/b/2", 1)]
    pictures(tmp_path, "test/B/3.png")
    with pytest.raises(DataError, match="the class B of test has no folder for training"):
        class_folders(tmp_path)


def test_one_part_is_no_split(tmp_path):
    found = class_folders(pictures(tmp_path, "train/a/1.png", "train/b/1.png"))
    assert found.split is None and len(found.samples) == 2


def test_folders_that_are_ambiguous(tmp_path):
    pictures(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "other/a.png")
    with pytest.raises(DataError, match="other beside train, val: either all folders are classes"):
        class_folders(tmp_path)
    (tmp_path / "other" / "a.png").unlink()
    (tmp_path / "other").rename(tmp_path / "validation")
    pictures(tmp_path, "validation/a/1.png")
    with pytest.raises(DataError, match="two folders of one part of the split: "):
        class_folders(tmp_path)


def test_stray_files_are_named(tmp_path):
    pictures(tmp_path, "a/1.png", "b/1.png")
    for name in ("README.md", "LICENSE", "a/Thumbs.db", ".hidden", "b/readme"):
        (tmp_path / name).write_text("text")
    assert len(class_folders(tmp_path).samples) == 2
    (tmp_path / "b" / "notes.docx").write_text("text")
    with pytest.raises(DataError, match=r"no images: .*notes.docx; move them"):
        class_folders(tmp_path)
    (tmp_path / "b" / "notes.docx").unlink()
    pictures(tmp_path, "lost.png")
    with pytest.raises(DataError, match=r"lost.png: lies in no class folder"):
        class_folders(tmp_path)


def test_kinds_do_not_mix(tmp_path):
    pictures(tmp_path, "a/1.png", "a/2.png", "b/1.png")
    nib.save(nib.Nifti1Image(np.ones((2, 2, 2), "u1"), np.eye(4)), tmp_path / "b" / "v.nii.gz")
    with pytest.raises(DataError, match=r"v.nii.gz: a nifti among 3 files of kind picture"):
        class_folders(tmp_path)


def test_empty_folders(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        class_folders(tmp_path / "none")
    with pytest.raises(DataError, match="holds no pictures"):
        class_folders(tmp_path)
    pictures(tmp_path, "a/1.png")
    with pytest.raises(DataError, match="has 1 class; there is nothing to tell apart"):
        class_folders(tmp_path)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="b: a class folder without images"):
        class_folders(tmp_path)


def test_patients(tmp_path):
    pictures(tmp_path, "a/p1_1.png", "a/p1_2.png", "b/p2_1.png")
    found = class_folders(tmp_path, patient=r"/(p\d)_")
    assert [s.patient for s in found.samples] == ["p1", "p1", "p2"]
    pictures(tmp_path, "a/p3/1.png", "a/p4/1.png")
    with pytest.raises(DataError, match="Say which part of the path is the patient"):
        class_folders(tmp_path)
    found = class_folders(tmp_path, patient=r"/(p\d)[_/]")
    assert {s.patient for s in found.samples} == {"p1", "p2", "p3", "p4"}


def test_volumes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        nib.save(nib.Nifti1Image(np.ones((2, 3, 4), "u1"), np.eye(4)), tmp_path / name / "v.nii.gz")
    found = class_folders(tmp_path)
    assert labels(found) == [("a/v", 0), ("b/v", 1)]
    assert found.samples[0].read().image.shape == (4, 3, 2, 1)


def test_dicom_series(tmp_path):
    for name, patient in (("a/s1", "1"), ("a/s2", "2"), ("b/s3", "3")):
        study = StudyHeader(patient_id=patient, patient_name="", entropy=(name,), date="20250101")
        options = {"modality": "MR", "name": "t1", "number": 1}
        write_series(tmp_path / name, np.ones((3, 8, 8)), np.eye(4)[[2, 1, 0, 3]], study, **options)
    found = class_folders(tmp_path)
    assert [(s.id, s.patient, s.label) for s in found.samples] == [
        *[("a/s1", "1", 0), ("a/s2", "2", 0), ("b/s3", "3", 1)]
    ]
    assert found.samples[2].read().image.shape == (3, 8, 8, 1)
    for path in (tmp_path / "b" / "s3").iterdir():
        path.rename(tmp_path / "a" / f"x{path.name}")
    for path in (tmp_path / "a" / "s1").iterdir():
        (tmp_path / "b" / "s3" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match="lies in a and in b"):
        class_folders(tmp_path)


def test_names_of_files(tmp_path):
    paths = [tmp_path / "a" / "x.png", tmp_path / "a" / "x.jpg", tmp_path / "b.c.nii.gz"]
    assert [name for name, _ in named_by_path(paths, tmp_path)] == ["a/x.png", "a/x.jpg", "b.c"]
    assert images_below(pictures(tmp_path, "q/1.png")) == ("picture", [tmp_path / "q" / "1.png"])


def test_mednist(shared_data):
    found = class_folders(shared_data / "data" / "mednist_subset")
    assert found.labels == ("AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT")
    assert np.bincount([s.label for s in found.samples]).tolist() == [500] * 6
    assert found.samples[-1].read().image.shape == (64, 64, 1) and found.split is None
