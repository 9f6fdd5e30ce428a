"""Losses: one a file, each a keras.losses.Loss that gives one value per example.

Segmentation losses take integer label maps and logits. Where Keras has a loss, it is used: plain
voxel-wise cross-entropy is `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, and
`Focal` only hands label maps to `keras.losses.categorical_focal_crossentropy`.
Whole images take `ClassificationCrossEntropy`, ordered classes `OrdinalCrossEntropy`.
"""

from kmed.losses.border_weight import border_weight_map, separate_touching
from kmed.losses.border_weighted_cross_entropy import BorderWeightedCrossEntropy
from kmed.losses.class_weighted_cross_entropy import (
    ClassWeightedCrossEntropy,
    median_frequency_weights,
)
from kmed.losses.classification_cross_entropy import ClassificationCrossEntropy
from kmed.losses.dice_cross_entropy import DiceCrossEntropy
from kmed.losses.focal import Focal
from kmed.losses.generalized_dice import GeneralizedDice
from kmed.losses.multibox import MultiboxLoss
from kmed.losses.ordinal_cross_entropy import OrdinalCrossEntropy
from kmed.losses.roi import RoILoss
from kmed.losses.rpn import RPNLoss
from kmed.losses.soft_dice import SoftDice
from kmed.losses.tversky import Tversky
from kmed.losses.yolov3 import YOLOv3Loss

__all__ = [
    "BorderWeightedCrossEntropy",
    "ClassWeightedCrossEntropy",
    "ClassificationCrossEntropy",
    "DiceCrossEntropy",
    "Focal",
    "GeneralizedDice",
    "MultiboxLoss",
    "OrdinalCrossEntropy",
    "RPNLoss",
    "RoILoss",
    "SoftDice",
    "Tversky",
    "YOLOv3Loss",
    "border_weight_map",
    "median_frequency_weights",
    "separate_touching",
]
