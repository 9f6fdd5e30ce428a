"""Metrics: `keras.metrics.Metric`s for training, functions on arrays for whole cases.

The mean IoU over all voxels of an epoch is Keras' own and takes logits:
`keras.metrics.MeanIoU(num_classes, sparse_y_pred=False)`.
"""

from kmed.metrics.bootstrap import Interval, bootstrap_interval, bootstrap_statistics
from kmed.metrics.box_matching import Match, matched
from kmed.metrics.calibration import (
    ReliabilityCurve,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from kmed.metrics.classification_report import classification_report
from kmed.metrics.coco_average_precision import coco_average_precision
from kmed.metrics.confusion import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    f1,
    one_against_rest,
    sensitivity,
    specificity,
)
from kmed.metrics.decisions import decision_confidence, decisions
from kmed.metrics.detection_report import detection_report
from kmed.metrics.diversity import diversity, least_diversity
from kmed.metrics.features import extractor, inception, random_extractor
from kmed.metrics.frechet import frechet_distance, frechet_distance_of_features
from kmed.metrics.froc import FrocCurve, froc
from kmed.metrics.image_similarity import mae, ms_ssim, psnr, ssim
from kmed.metrics.kappa import kappa
from kmed.metrics.kernel_distance import KernelDistance, kernel_distance
from kmed.metrics.label_accuracy import LabelAccuracy
from kmed.metrics.mean_dice import MeanDice
from kmed.metrics.memorisation import Memorisation, memorisation
from kmed.metrics.operating_point import (
    choose_threshold,
    sensitivity_at_specificity,
    specificity_at_sensitivity,
)
from kmed.metrics.overlap import (
    dice_score,
    iou_score,
    relative_volume_difference,
    volume_difference_ml,
    volume_ml,
)
from kmed.metrics.precision_recall import (
    PrecisionRecallCurve,
    average_precision,
    precision_recall_curve,
)
from kmed.metrics.rand import best_rand_score, pixel_error, rand_error, rand_score, segments
from kmed.metrics.report import segmentation_report, summarize
from kmed.metrics.retrieval import (
    mean_average_precision_at_r,
    median_rank,
    ndcg,
    query_scores,
    recall_at,
)
from kmed.metrics.retrieval_report import retrieval_report
from kmed.metrics.roc import RocCurve, auc, roc_curve
from kmed.metrics.selective import RiskCoverageCurve, risk_coverage_area, risk_coverage_curve
from kmed.metrics.surface import (
    SurfaceDistances,
    average_surface_distance,
    hausdorff_distance,
    surface_dice,
    surface_distances,
)
from kmed.metrics.synthesis_report import synthesis_report
from kmed.metrics.translation_report import translation_report
from kmed.metrics.voc_average_precision import voc_average_precision
from kmed.ops.class_targets import KINDS

__all__ = [
    "FrocCurve",
    "Interval",
    "KINDS",
    "KernelDistance",
    "Memorisation",
    "kernel_distance",
    "memorisation",
    "synthesis_report",
    "LabelAccuracy",
    "Match",
    "MeanDice",
    "PrecisionRecallCurve",
    "ReliabilityCurve",
    "RiskCoverageCurve",
    "RocCurve",
    "SurfaceDistances",
    "accuracy",
    "auc",
    "average_precision",
    "average_surface_distance",
    "balanced_accuracy",
    "best_rand_score",
    "bootstrap_interval",
    "bootstrap_statistics",
    "brier_score",
    "choose_threshold",
    "classification_report",
    "coco_average_precision",
    "confusion_matrix",
    "decision_confidence",
    "decisions",
    "detection_report",
    "dice_score",
    "expected_calibration_error",
    "extractor",
    "f1",
    "fit_temperature",
    "frechet_distance",
    "frechet_distance_of_features",
    "froc",
    "hausdorff_distance",
    "inception",
    "iou_score",
    "kappa",
    "mae",
    "matched",
    "mean_average_precision_at_r",
    "diversity",
    "median_rank",
    "ms_ssim",
    "ndcg",
    "one_against_rest",
    "pixel_error",
    "precision_recall_curve",
    "psnr",
    "query_scores",
    "rand_error",
    "rand_score",
    "random_extractor",
    "recall_at",
    "least_diversity",
    "relative_volume_difference",
    "reliability_curve",
    "retrieval_report",
    "risk_coverage_area",
    "risk_coverage_curve",
    "roc_curve",
    "segmentation_report",
    "segments",
    "sensitivity",
    "sensitivity_at_specificity",
    "specificity",
    "specificity_at_sensitivity",
    "ssim",
    "summarize",
    "surface_dice",
    "surface_distances",
    "translation_report",
    "voc_average_precision",
    "volume_difference_ml",
    "volume_ml",
]
