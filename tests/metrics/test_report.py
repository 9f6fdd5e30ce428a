"""The report of a case equals its measures taken one by one, and its summary their means."""

import numpy as np
import pytest
from scipy import ndimage

from kmed import metrics


def case(seed, shape=(8, 20, 22)):
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.normal(size=shape), 2) for _ in range(2)]
    truth = np.digitize(fields[0], [0.03, 0.08])
    return truth, np.digitize(fields[0] + 0.3 * fields[1], [0.03, 0.08])


@pytest.mark.parametrize("shape", [(8, 20, 22), (30, 32)])
def test_equals_the_measures_one_by_one(shape):
    truth, prediction = case(0, shape)
    spacing = (3.0, 1.0, 0.8)[-len(shape) :]
    report = metrics.segmentation_report(
        truth, prediction, ["background", "liver", "lesion"], spacing, tolerance_mm=1.0
    )
    assert list(report) == ["liver", "lesion"]
    for index, name in ((1, "liver"), (2, "lesion")):
        pair = truth == index, prediction == index
        expected = {
            "dice": metrics.dice_score(*pair),
            "iou": metrics.iou_score(*pair),
            "hd95_mm": metrics.hausdorff_distance(*pair, spacing),
            "hd_mm": metrics.hausdorff_distance(*pair, spacing, 100),
            "assd_mm": metrics.average_surface_distance(*pair, spacing),
            "surface_dice": metrics.surface_dice(*pair, spacing, 1.0),
            "relative_volume_difference": metrics.relative_volume_difference(*pair),
        }
        if len(shape) == 3:
            expected["truth_ml"] = metrics.volume_ml(pair[0], spacing)
            expected["prediction_ml"] = metrics.volume_ml(pair[1], spacing)
            expected["volume_difference_ml"] = metrics.volume_difference_ml(*pair, spacing)
        assert report[name] == pytest.approx(expected)


def test_empty_classes_and_chosen_classes():
    truth = np.zeros((4, 5, 5), int)
    prediction = truth.copy()
    prediction[2, 2, 2] = 2
    report = metrics.segmentation_report(truth, prediction, {1: "a", 2: "b"}, (1, 1, 1))
    assert report["a"]["dice"] == report["a"]["surface_dice"] == 1
    assert report["a"]["hd95_mm"] == report["a"]["volume_difference_ml"] == 0
    assert report["b"]["dice"] == report["b"]["surface_dice"] == 0
    assert report["b"]["hd95_mm"] == report["b"]["relative_volume_difference"] == np.inf


def test_refuses_unnamed_classes_and_other_ranks():
    with pytest.raises(ValueError, match="classes 0 to 1"):
        metrics.segmentation_report(
            np.full((3, 3), 2), np.zeros((3, 3), int), ["background", "a"], (1, 1)
        )
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        metrics.segmentation_report(np.zeros(3, int), np.zeros(3, int), ["background"], (1,))


def test_summary_is_the_mean_with_an_interval_over_patients():
    reports = []
    for seed in range(4):
        reports.append(
            metrics.segmentation_report(*case(seed), ["background", "a", "b"], (1, 1, 1))
        )
    summary = metrics.summarize(reports, patients=["p", "p", "q", "r"])
    dice = [r["a"]["dice"] for r in reports]
    assert summary["a"]["dice"] == metrics.bootstrap_interval(dice, patients=["p", "p", "q", "r"])
    both = [(r["a"]["dice"] + r["b"]["dice"]) / 2 for r in reports]
    assert summary["mean"]["dice"].value == pytest.approx(np.mean(both))
    reports[0]["a"]["hd95_mm"] = np.inf
    missed = metrics.summarize(reports)["a"]["hd95_mm"]
    assert np.isfinite(missed.value) and missed.omitted == 1 and missed.n == 3
    assert metrics.summarize([]) == {}
    with pytest.raises(ValueError, match="report 1 differs"):
        metrics.summarize([reports[0], {"a": reports[0]["a"]}])
