import json

import nibabel as nib
import numpy as np
import pytest

from kmed.data.decathlon import decathlon, decathlon_labels
from kmed.data.sample import DataError


def volume(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


def describe(root, **content):
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(content))
    return root


@pytest.fixture
def msd(tmp_path):
    """Two training cases with two channels in one file, one test image, as the Decathlon has it."""
    root = describe(
        tmp_path / "Task00",
        modality={"0": "T2", "1": "ADC"},
        labels={"0": "background", "2": "TZ", "1": "PZ"},
        training=[
            {"image": f"./imagesTr/p_{k}.nii.gz", "label": f"./labelsTr/p_{k}.nii.gz"}
            for k in ("10", "02")
        ],
        test=["./imagesTs/p_03.nii.gz"],
    )
    for k in ("02", "10"):
        volume(root / f"imagesTr/p_{k}.nii.gz", np.arange(48, dtype=np.int16).reshape(2, 3, 4, 2))
        volume(root / f"labelsTr/p_{k}.nii.gz", np.full((2, 3, 4), 2, np.uint8))
    volume(root / "imagesTs/p_03.nii.gz", np.zeros((2, 3, 4, 2), np.int16))
    return root


@pytest.fixture
def nnunet(tmp_path):
    """Two training cases with two channels in two files, as nnU-Net 2 has it."""
    root = describe(
        tmp_path / "Dataset001",
        channel_names={"0": "T2", "1": "ADC"},
        labels={"background": 0, "TZ": 2, "PZ": 1},
        numTraining=2,
        file_ending=".nii.gz",
    )
    for k in ("02", "10"):
        for channel in (0, 1):
            array = np.full((2, 3, 4), 7 + channel, np.int16)
            volume(root / f"imagesTr/p_{k}_000{channel}.nii.gz", array)
        volume(root / f"labelsTr/p_{k}.nii.gz", np.full((2, 3, 4), 2, np.uint8))
    return root


def test_decathlon(msd):
    samples = decathlon(msd, patient=r"p_(\d+)")
    assert [(s.id, s.patient) for s in samples] == [("p_02", "02"), ("p_10", "10")]
    arrays = samples[0].read()
    assert arrays.image.shape == (4, 3, 2, 2) and (arrays.mask == 2).all()
    assert decathlon_labels(msd) == ("background", "PZ", "TZ")
    [test] = decathlon(msd, split="test")
    assert test.id == "p_03" and test.read().mask is None


def test_nnunet(nnunet):
    samples = decathlon(nnunet)
    assert [s.id for s in samples] == ["p_02", "p_10"] and len(samples[0].files) == 3
    image = samples[0].read().image
    assert image.shape == (4, 3, 2, 2) and image.dtype == np.int16
    assert (image[..., 0] == 7).all() and (image[..., 1] == 8).all()
    assert decathlon_labels(nnunet) == ("background", "PZ", "TZ")


def test_nnunet_1_lists_files_that_it_stores_by_channel(msd):
    for k in ("02", "10"):
        (msd / f"imagesTr/p_{k}.nii.gz").unlink()
        for channel in (0, 1):
            array = np.full((2, 3, 4), channel, np.int16)
            volume(msd / f"imagesTr/p_{k}_000{channel}.nii.gz", array)
    assert decathlon(msd)[0].read().image[0, 0, 0].tolist() == [0, 1]


def test_nnunet_refusals(nnunet):
    volume(nnunet / "labelsTr/p_02.nii.gz", np.full((2, 3, 4), 3, np.uint8))
    with pytest.raises(DataError, match=r"p_02.nii.gz: .* from 0 to 2; this one holds 3"):
        decathlon(nnunet)[0].read()
    (nnunet / "labelsTr/p_02.nii.gz").unlink()
    with pytest.raises(DataError, match=r"p_02.nii.gz: no such file; it is the label of case"):
        decathlon(nnunet)
    moved = np.eye(4)
    moved[0, 3] = 1
    volume(nnunet / "labelsTr/p_02.nii.gz", np.zeros((2, 3, 4), np.uint8))
    volume(nnunet / "imagesTr/p_10_0001.nii.gz", np.zeros((2, 3, 4)), moved)
    with pytest.raises(DataError, match=r"p_10_0001.nii.gz: must lie on the grid of .*p_10_0000"):
        decathlon(nnunet)
    (nnunet / "imagesTr/p_10_0001.nii.gz").unlink()
    with pytest.raises(DataError, match=r"case 'p_10' has no channel 0001"):
        decathlon(nnunet)
    volume(nnunet / "imagesTr/p_11.nii.gz", np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match=r"p_11.nii.gz: expected CASE_0000.nii.gz"):
        decathlon(nnunet)


def test_decathlon_refusals(msd):
    (msd / "imagesTr/p_02.nii.gz").unlink()
    with pytest.raises(DataError, match=r"p_02.nii.gz: no such file; it is the image of case"):
        decathlon(msd)
    with pytest.raises(ValueError, match="`split` must be"):
        decathlon(msd, split="train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, 'needs "labels"'),
        ({"labels": {"0": "a", "2": "b"}}, r"must be 0, 1, 2 \.\.\.; received \[0, 2\]"),
        ({"labels": {"a": 0, "b": 0}}, "'a' and 'b' share one index"),
        ({"labels": {"background": 0, "whole": [1, 2]}}, "'whole' is a region"),
        ({"labels": {"background": 0, "ignore": 1}}, "ignore"),
        ({"labels": {"background": 0, "x": None}}, "'x' must have an index; received None"),
        ({"labels": {"0": "a"}}, 'needs a list of images under "training"'),
        ({"labels": {"0": "a"}, "training": [{"image": "a.nii"}]}, "a.nii has no label"),
        ({"labels": {"0": "a"}, "training": [3]}, "must name an image; got 3"),
        (
            {"labels": {"0": "a"}, "training": [{"image": "../../a.nii", "label": "b.nii"}]},
            "outside its folder",
        ),
        ({"labels": {"a": 0}, "file_ending": ".png"}, "must be .nii or .nii.gz here"),
    ],
)
def test_bad_descriptions(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        decathlon(describe(tmp_path / "set", **content))


def test_no_description(tmp_path):
    with pytest.raises(DataError, match="dataset.json: cannot be read as JSON"):
        decathlon(tmp_path)
    (tmp_path / "dataset.json").write_text("[1]")
    with pytest.raises(DataError, match="must be a JSON object; received list"):
        decathlon(tmp_path)
