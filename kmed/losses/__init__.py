"""Losses: one a file, each a keras.losses.Loss that gives one value per example.

Segmentation losses take integer label maps and logits. Where Keras has a loss, it is used: plain
voxel-wise cross-entropy is `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, and
`Focal` only hands label maps to `keras.losses.categorical_focal_crossentropy`.
Whole images take `ClassificationCrossEntropy`, ordered classes `OrdinalCrossEntropy`.
Losses of embeddings have the names, arguments and defaults of TensorFlow Addons where it had them,
and `cross` for anchors of one modality and examples of another.
"""

from kmed.losses.adversarial import (
    ADVERSARIAL,
    CrossEntropyGAN,
    HingeGAN,
    LeastSquaresGAN,
    WassersteinGAN,
)
from kmed.losses.border_weight import border_weight_map, separate_touching
from kmed.losses.border_weighted_cross_entropy import BorderWeightedCrossEntropy
from kmed.losses.circle import CircleLoss
from kmed.losses.class_weighted_cross_entropy import (
    ClassWeightedCrossEntropy,
    median_frequency_weights,
)
from kmed.losses.classification_cross_entropy import ClassificationCrossEntropy
from kmed.losses.contrastive import ContrastiveLoss, contrastive_loss
from kmed.losses.dice_cross_entropy import DiceCrossEntropy
from kmed.losses.focal import Focal
from kmed.losses.generalized_dice import GeneralizedDice
from kmed.losses.gradient_difference import GradientDifferenceLoss
from kmed.losses.infonce import InfoNCELoss
from kmed.losses.lifted_struct import LiftedStructLoss, lifted_struct_loss
from kmed.losses.multibox import MultiboxLoss
from kmed.losses.npairs import NpairsLoss, npairs_loss
from kmed.losses.npairs_multilabel import NpairsMultilabelLoss, npairs_multilabel_loss
from kmed.losses.ntxent import NTXentLoss
from kmed.losses.ordinal_cross_entropy import OrdinalCrossEntropy
from kmed.losses.roi import RoILoss
from kmed.losses.rpn import RPNLoss
from kmed.losses.sigmoid_pairs import SigmoidLoss
from kmed.losses.soft_dice import SoftDice
from kmed.losses.ssim import SSIMLoss
from kmed.losses.triplet_all import TripletAllLoss
from kmed.losses.triplet_hard import TripletHardLoss, triplet_hard_loss
from kmed.losses.triplet_semihard import TripletSemiHardLoss, triplet_semihard_loss
from kmed.losses.tversky import Tversky
from kmed.losses.yolov3 import YOLOv3Loss

__all__ = [
    "ADVERSARIAL",
    "BorderWeightedCrossEntropy",
    "CircleLoss",
    "ClassWeightedCrossEntropy",
    "ClassificationCrossEntropy",
    "ContrastiveLoss",
    "CrossEntropyGAN",
    "DiceCrossEntropy",
    "Focal",
    "GeneralizedDice",
    "GradientDifferenceLoss",
    "HingeGAN",
    "InfoNCELoss",
    "LeastSquaresGAN",
    "LiftedStructLoss",
    "MultiboxLoss",
    "NTXentLoss",
    "NpairsLoss",
    "NpairsMultilabelLoss",
    "OrdinalCrossEntropy",
    "RPNLoss",
    "RoILoss",
    "SSIMLoss",
    "SigmoidLoss",
    "SoftDice",
    "TripletAllLoss",
    "TripletHardLoss",
    "TripletSemiHardLoss",
    "Tversky",
    "WassersteinGAN",
    "YOLOv3Loss",
    "border_weight_map",
    "contrastive_loss",
    "lifted_struct_loss",
    "median_frequency_weights",
    "npairs_loss",
    "npairs_multilabel_loss",
    "separate_touching",
    "triplet_hard_loss",
    "triplet_semihard_loss",
]
