"""Metrics: `keras.metrics.Metric`s for training, functions on arrays for whole cases.

The mean IoU over all voxels of an epoch is Keras' own and takes logits:
`keras.metrics.MeanIoU(num_classes, sparse_y_pred=False)`.
"""

from kmed.metrics.bootstrap import Interval, bootstrap_interval
from kmed.metrics.mean_dice import MeanDice
from kmed.metrics.overlap import (
    dice_score,
    iou_score,
    relative_volume_difference,
    volume_difference_ml,
    volume_ml,
)
from kmed.metrics.rand import best_rand_score, pixel_error, rand_error, rand_score, segments
from kmed.metrics.report import segmentation_report, summarize
from kmed.metrics.surface import (
    SurfaceDistances,
    average_surface_distance,
    hausdorff_distance,
    surface_dice,
    surface_distances,
)

__all__ = [
    "Interval",
    "MeanDice",
    "SurfaceDistances",
    "average_surface_distance",
    "best_rand_score",
    "bootstrap_interval",
    "dice_score",
    "hausdorff_distance",
    "iou_score",
    "pixel_error",
    "rand_error",
    "rand_score",
    "relative_volume_difference",
    "segmentation_report",
    "segments",
    "summarize",
    "surface_dice",
    "surface_distances",
    "volume_difference_ml",
    "volume_ml",
]
