"""Overlap and volume against MONAI's Dice, sets and hand-worked masks."""

import numpy as np
import pytest

from kmed.metrics import (
    dice_score,
    iou_score,
    relative_volume_difference,
    volume_difference_ml,
    volume_ml,
)


@pytest.mark.parametrize("prefix", [f"{d}d_{i}_" for d in (2, 3) for i in range(4)])
def test_dice_equals_monai(goldens, prefix):
    values = np.load(goldens / "monai.npz")
    size = np.prod(values[prefix + "shape"])
    masks = [np.unpackbits(values[prefix + n])[:size] for n in ("truth", "prediction")]
    expected = float(values[prefix + "dice"])
    assert dice_score(*masks) == pytest.approx(expected, abs=1e-6)
    assert dice_score(*masks, classes=2)[1] == pytest.approx(expected, abs=1e-6)


def test_label_maps_by_sets():
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 4, (2, 5, 6, 7)).astype("uint8")
    dice, iou = dice_score(truth, prediction, 5), iou_score(truth, prediction, 5)
    for k in range(4):
        a = set(np.flatnonzero(truth == k))
        b = set(np.flatnonzero(prediction == k))
        assert dice[k] == pytest.approx(2 * len(a & b) / (len(a) + len(b)))
        assert iou[k] == pytest.approx(len(a & b) / len(a | b))
        assert iou_score(truth == k, prediction == k) == pytest.approx(iou[k])
    assert dice[4] == iou[4] == 1  # empty in both


def test_empty_masks_have_defined_results():
    empty, some = np.zeros((2, 3, 4, 4), bool)
    some[1] = True
    assert dice_score(empty, empty) == iou_score(empty, empty) == 1
    assert dice_score(empty, some) == iou_score(some, empty) == 0
    assert relative_volume_difference(empty, empty) == 0
    assert relative_volume_difference(empty, some) == np.inf
    assert relative_volume_difference(some, empty) == -1
    assert volume_difference_ml(empty, empty, (1, 1, 1)) == 0


def test_volumes_in_millilitres():
    truth, prediction = np.zeros((2, 10, 10, 10), bool)
    truth[:5], prediction[:8] = True, True
    assert volume_ml(truth, (5.0, 2.0, 2.0)) == 10  # 500 voxels of 20 cubic millimetres
    assert volume_difference_ml(truth, prediction, (5.0, 2.0, 2.0)) == 6
    assert relative_volume_difference(truth, prediction) == pytest.approx(0.6)


def test_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match="one shape"):
        dice_score(np.zeros((2, 3)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="labels == k"):
        dice_score(np.array([0, 2]), np.array([0, 1]))
    with pytest.raises(ValueError, match="classes 0 to 1"):
        dice_score(np.array([0, 2]), np.array([0, 1]), classes=2)
    with pytest.raises(ValueError, match="integer class indices"):
        dice_score(np.array([0.0, 1.0]), np.array([0, 1]), classes=2)
    with pytest.raises(ValueError, match="volume needs"):
        volume_ml(np.zeros((2, 2), bool), (1, 1))
