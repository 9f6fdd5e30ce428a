"""How measures are called and written in a report, and which of them stand in one table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kmed.metrics import Interval


class Measure(NamedTuple):
    """A measure as a column of a table.

    Attributes:
        key: its name in the metrics.
        title: of the column.
        unit: of the values, or nothing.
        pattern: how a value is written.
        factor: from the metric's value to the one written.
    """

    key: str
    title: str
    unit: str
    pattern: str
    factor: float = 1.0


DICE = Measure("dice", "Dice", "", "{:.3f}")
HD95 = Measure("hd95_mm", "HD95", "mm", "{:.2f}")

_MEASURES = (
    DICE,
    Measure("iou", "IoU", "", "{:.3f}"),
    HD95,
    Measure("surface_dice", "Surface Dice", "", "{:.3f}"),
    Measure("volume_difference_ml", "Volume difference", "ml", "{:+.2f}"),
    Measure("positives", "Images", "", "{:,.0f}"),
    Measure("auc", "AUC", "", "{:.3f}"),
    Measure("average_precision", "Average precision", "", "{:.3f}"),
    Measure("accuracy", "Accuracy", "", "{:.3f}"),
    Measure("exact_match", "All labels right", "", "{:.3f}"),
    Measure("balanced_accuracy", "Balanced accuracy", "", "{:.3f}"),
    Measure("sensitivity", "Sensitivity", "", "{:.3f}"),
    Measure("specificity", "Specificity", "", "{:.3f}"),
    Measure("f1", "F1", "", "{:.3f}"),
    Measure("sensitivity_at_specificity_0.9", "Sens. at 90 % spec.", "", "{:.3f}"),
    Measure("specificity_at_sensitivity_0.9", "Spec. at 90 % sens.", "", "{:.3f}"),
    Measure("kappa", "Kappa", "", "{:.3f}"),
    Measure("mean_absolute_error", "Mean error", "grades", "{:.2f}"),
    Measure("ece", "Calibration error", "", "{:.3f}"),
    Measure("brier", "Brier score", "", "{:.3f}"),
    Measure("recall_1", "Recall@1", "", "{:.3f}"),
    Measure("recall_5", "Recall@5", "", "{:.3f}"),
    Measure("recall_10", "Recall@10", "", "{:.3f}"),
    Measure("recall_1_among_100", "Recall@1 of 100", "", "{:.3f}"),
    Measure("recall_10_among_100", "Recall@10 of 100", "", "{:.3f}"),
    Measure("median_rank", "Median rank", "", "{:.1f}"),
    Measure("map_r", "MAP@R", "", "{:.3f}"),
    Measure("ndcg", "NDCG", "", "{:.3f}"),
    Measure("error_mm", "Median error", "mm", "{:.1f}"),
    Measure("dice_of_real", "Dice of the real", "", "{:.3f}"),
    Measure("dice_ratio", "Dice, share of the real", "", "{:.3f}"),
    Measure("mae", "Mean error", "", "{:.2f}"),
    Measure("psnr", "PSNR", "dB", "{:.2f}"),
    Measure("ssim", "SSIM", "", "{:.4f}"),
    Measure("ms_ssim", "Multi-scale SSIM", "", "{:.4f}"),
    Measure("fid", "Fréchet distance", "", "{:.2f}"),
    Measure("kid", "Kernel distance", "", "{:.4f}"),
    Measure("conditional_accuracy", "Of the asked class", "", "{:.3f}"),
    Measure("diversity", "Diversity", "of the real", "{:.2f}"),
    Measure("nearest_distance", "Nearest training image", "of unseen ones'", "{:.2f}"),
    Measure("copies", "Copies of training images", "", "{:.3f}"),
)
# In place of millilitres where the images are no volumes.
_RELATIVE = Measure("relative_volume_difference", "Size difference", "%", "{:+.1f}", 100.0)


def groups(metrics: Mapping[str, Mapping[str, Interval]]) -> list[list[str]]:
    """Puts the entries together that have the same measures: each group is one table.

    Args:
        metrics: `{name: {measure: Interval}}`.

    Returns:
        The names of each group, in the order in which they come.

    Example:
        >>> one = Interval(1.0, 1.0, 1.0, 1)
        >>> groups({"lung": {"dice": one}, "heart": {"dice": one}, "all": {"auc": one}})
        [['lung', 'heart'], ['all']]
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name, values in metrics.items():
        found.setdefault(tuple(measure.key for measure in columns([values])), []).append(name)
    return list(found.values())


def columns(entries: Sequence[Mapping[str, Interval]]) -> list[Measure]:
    """Gives the columns of a table: the measures that an entry has and a report shows.

    Args:
        entries: `{measure: Interval}` of each row.

    Returns:
        The measures, in the order of the columns.
    """
    present = {key for values in entries for key in values}
    chosen = [measure for measure in _MEASURES if measure.key in present]
    if "volume_difference_ml" not in present and _RELATIVE.key in present:
        chosen.append(_RELATIVE)
    return chosen


def number(value: float, measure: Measure) -> str:
    """Writes a value of a measure.

    Args:
        value: in the metric's own unit.
        measure: the measure.

    Returns:
        Text with a true minus; "n/a" for NaN.

    Example:
        >>> number(0.91234, DICE), number(float("nan"), DICE)
        ('0.912', 'n/a')
    """
    value *= measure.factor
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return "−∞" if value < 0 else "∞"
    return measure.pattern.format(value).replace("-", "−")
