"""All segmentation measures of one case, and their summary over a test set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kmed.metrics.bootstrap import Interval, bootstrap_interval
from kmed.metrics.overlap import (
    check_spacing,
    dice_score,
    iou_score,
    relative_volume_difference,
    volume_difference_ml,
    volume_ml,
)
from kmed.metrics.surface import surface_distances


def segmentation_report(
    truth: np.ndarray,
    prediction: np.ndarray,
    labels: Sequence[str] | Mapping[int, str],
    spacing_mm: Sequence[float],
    *,
    tolerance_mm: float = 2.0,
) -> dict[str, dict[str, float]]:
    """Returns every measure of one case for every class but the background.

    The measures of each class, with what they give if it is empty in both / in one of the two:
    `dice` (1 / 0), `iou` (1 / 0), `hd95_mm` and `hd_mm` (0 / infinity), `assd_mm` (0 / infinity),
    `surface_dice` at the tolerance (1 / 0), `relative_volume_difference` (0 / -1, or infinity if
    the truth is empty); of volumes also `truth_ml`, `prediction_ml` and `volume_difference_ml`.

    Args:
        truth: `(H, W)` or `(D, H, W)` class indices.
        prediction: the same.
        labels: names of the classes by index, the background first, or `{index: name}` of those
            to report.
        spacing_mm: voxel size along each axis in millimetres.
        tolerance_mm: tolerance of the surface Dice.

    Returns:
        `{name: {measure: value}}`.

    Raises:
        ValueError: if the arrays are no label maps of one shape, or hold an unnamed class.

    Example:
        >>> truth = np.array([[0, 1, 1], [0, 1, 1]])
        >>> report = segmentation_report(truth, truth, ["background", "lung"], (1.0, 1.0))
        >>> report["lung"]["dice"], report["lung"]["hd95_mm"]
        (1.0, 0.0)
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.ndim not in (2, 3):
        raise ValueError(f"truth must be (H, W) or (D, H, W); received shape {truth.shape}")
    check_spacing(spacing_mm, truth.ndim)
    names = dict(labels) if isinstance(labels, Mapping) else dict(enumerate(labels))
    classes = max([*names, 0]) + 1
    dice = dice_score(truth, prediction, classes)
    iou = iou_score(truth, prediction, classes)
    report = {}
    for index, name in names.items():
        if index == 0:
            continue
        # One box around both masks: everything after it is as small as the structure.
        box = _box((truth == index) | (prediction == index))
        true, found = truth[box] == index, prediction[box] == index
        distances = surface_distances(true, found, spacing_mm)
        values = {
            "dice": float(dice[index]),
            "iou": float(iou[index]),
            "hd95_mm": distances.hausdorff(95),
            "hd_mm": distances.hausdorff(100),
            "assd_mm": distances.average(),
            "surface_dice": distances.within(tolerance_mm),
            "relative_volume_difference": relative_volume_difference(true, found),
        }
        if truth.ndim == 3:
            values["truth_ml"] = volume_ml(true, spacing_mm)
            values["prediction_ml"] = volume_ml(found, spacing_mm)
            values["volume_difference_ml"] = volume_difference_ml(true, found, spacing_mm)
        report[name] = values
    return report


def summarize(
    reports: Sequence[Mapping[str, Mapping[str, float]]],
    patients: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Returns the mean of every measure over cases, with its bootstrap interval over patients.

    Infinite distances (a class missed altogether) are left out of the mean and counted in
    `Interval.omitted`.

    Args:
        reports: what `segmentation_report` gave for each case.
        patients: the patient of each case, or None if each case is another patient.
        level: of confidence.
        seed: of the resampling.

    Returns:
        `{name: {measure: Interval}}`, and under "mean" the measures averaged over the classes of
        each case, if there is more than one class.

    Raises:
        ValueError: if the reports have different classes or measures.
    """
    if not reports:
        return {}
    shape = {name: list(values) for name, values in reports[0].items()}
    for number, report in enumerate(reports):
        if {name: list(values) for name, values in report.items()} != shape:
            raise ValueError(
                "all reports must have the same classes and measures; "
                f"report {number} differs from report 0"
            )

    def interval(values):
        return bootstrap_interval(values, patients=patients, level=level, seed=seed)

    summary = {
        name: {measure: interval([r[name][measure] for r in reports]) for measure in measures}
        for name, measures in shape.items()
    }
    if len(shape) > 1:
        measures = next(iter(shape.values()))
        summary["mean"] = {
            measure: interval([np.mean([r[name][measure] for name in shape]) for r in reports])
            for measure in measures
        }
    return summary


def _box(mask):
    """Bounding box of a mask, the empty mask's being one voxel."""
    box = []
    for axis in range(mask.ndim):
        line = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        box.append(slice(line[0], line[-1] + 1) if line.size else slice(0, 1))
    return tuple(box)
