import json
import os
import shutil
import zipfile

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data import discover, phantoms
from kmed.data.sample import DataError


def pictures(root, *names, value=255):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), value).save(root / name)
    return root


def volumes(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.ones((2, 3, 4), np.uint8), np.eye(4)), root / name)
    return root


@pytest.mark.parametrize("images", ["images", "image", "Images"])
@pytest.mark.parametrize("masks", ["masks", "mask", "labels", "label"])
def test_pictures_and_masks(tmp_path, images, masks):
    pictures(tmp_path, f"{images}/a.jpg", f"{masks}/a.png")
    (tmp_path / "README.txt").write_text("about")
    [sample] = discover(tmp_path)
    assert sample.id == "a" and sample.read().mask.all()


def test_pictures_without_masks_and_with_masks_beside(tmp_path):
    pictures(tmp_path, "b.png", "a.png")
    assert [(s.id, s.read().mask) for s in discover(tmp_path)] == [("a", None), ("b", None)]
    pictures(tmp_path, "a_mask.png", "b_mask.png")
    samples = discover(tmp_path, patient="(.)")
    assert [(s.id, s.patient) for s in samples] == [("a", "a"), ("b", "b")]
    assert samples[0].read().mask.all()


def test_volumes(tmp_path):
    volumes(tmp_path, "images/a.nii.gz", "labels/a.nii.gz")
    [sample] = discover(tmp_path, classes=2)
    assert sample.read().mask.all() and sample.read().image.shape == (4, 3, 2, 1)


def test_decathlon_folders_with_and_without_description(tmp_path):
    volumes(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTs/b.nii.gz")
    assert [s.id for s in discover(tmp_path)] == ["a"]
    described = {
        "labels": {"0": "background", "1": "liver"},
        "training": [{"image": "imagesTr/a.nii.gz", "label": "labelsTr/a.nii.gz"}],
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    for path in (tmp_path, tmp_path / "dataset.json"):
        [sample] = discover(path, classes=2)
        assert sample.read().mask.all()
    with pytest.raises(DataError, match="names 2 classes, `classes` is 3"):
        discover(tmp_path, classes=3)
    shutil.rmtree(tmp_path / "labelsTr")
    (tmp_path / "dataset.json").unlink()
    with pytest.raises(DataError, match="has imagesTr but no labelsTr"):
        discover(tmp_path)


def test_nnunet_folders_without_description(tmp_path):
    volumes(tmp_path, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")
    [sample] = discover(tmp_path)
    assert sample.id == "a" and sample.read().image.shape[-1] == 2
    volumes(tmp_path, "imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz")
    with pytest.raises(DataError, match=r"b_0000.nii.gz: no mask called b"):
        discover(tmp_path)


def test_one_file(tmp_path):
    pictures(tmp_path, "a.png")
    volumes(tmp_path, "b.nii.gz")
    np.savez(tmp_path / "c.npz", train_images=np.zeros((2, 4, 4)), train_labels=[0, 1])
    assert [len(discover(tmp_path / name)) for name in ("a.png", "b.nii.gz", "c.npz")] == [1, 1, 2]
    with pytest.raises(DataError, match=r"more than one kind.*1 .png.*kmed understands"):
        discover(tmp_path)
    (tmp_path / "d").mkdir()
    shutil.copy(tmp_path / "c.npz", tmp_path / "d")
    assert len(discover(tmp_path / "d")) == 2


def test_phantoms_and_dicom(tmp_path):
    root = phantoms(tmp_path / "p", patients=1, shape=(8, 16, 16), modalities=("ct",))
    [sample] = discover(root)
    assert sample.read().mask is not None
    with pytest.raises(DataError, match="`classes` is 99"):
        discover(root, classes=99)
    series = root / "patient-0001" / "ct"
    [sample] = discover(series)
    assert sample.read().image.shape == (8, 16, 16, 1)
    # DICOM files often have no suffix
    for path in list(series.iterdir()):
        path.rename(path.with_suffix(""))
    assert discover(series)[0].read().image.shape == (8, 16, 16, 1)
    with zipfile.ZipFile(tmp_path / "disc.zip", "w") as archive:
        for path in series.iterdir():
            archive.write(path, f"IMAGES/{path.name}")
    [sample] = discover(tmp_path / "disc.zip")
    assert sample.read().image.shape == (8, 16, 16, 1) and sample.files == (
        str(tmp_path / "disc.zip"),
    )


def test_dicom_pictures(tmp_path):
    series = phantoms(tmp_path / "p", patients=1, shape=(8, 16, 16), modalities=("ct",))
    series = series / "patient-0001" / "ct"
    for path in series.iterdir():
        ds = pydicom.dcmread(path)
        ds.Modality = "DX"
        ds.save_as(path)
    samples = discover(series)
    assert [sample.id for sample in samples] == sorted(path.stem for path in series.iterdir())
    assert {sample.read().image.shape for sample in samples} == {(16, 16, 1)}
    assert {sample.modality for sample in samples} == {"DX"} and samples[0].series is None


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        discover(tmp_path / "nowhere")
    with pytest.raises(DataError, match="nothing that a source reads; found no files; kmed under"):
        discover(tmp_path)
    (tmp_path / "a.docx").write_bytes(b"text")
    with pytest.raises(DataError, match="found 1 .docx; kmed understands"):
        discover(tmp_path)
    with pytest.raises(DataError, match="a.docx: a file of a kind that no source reads"):
        discover(tmp_path / "a.docx")
    with pytest.raises(ValueError, match="`classes` must be"):
        discover(tmp_path, classes=0)


def test_two_mask_folders(tmp_path):
    pictures(tmp_path, "images/a.png", "masks/a.png", "labels/a.png")
    with pytest.raises(DataError, match="cannot choose between labels and masks"):
        discover(tmp_path)


def test_a_loop_of_links_ends(tmp_path):
    pictures(tmp_path, "a.png")
    os.symlink(tmp_path, tmp_path / "loop")
    assert [s.id for s in discover(tmp_path)] == ["a"]


@pytest.mark.parametrize(
    ("name", "count"), [("cxr_lung_masks", 704), ("msd_hippocampus", 260), ("isbi2012_em", 30)]
)
def test_shared_sets(shared_data, name, count):
    samples = discover(shared_data / "data" / name)
    assert len(samples) == count and samples[-1].read().mask.max() in (1, 2)
