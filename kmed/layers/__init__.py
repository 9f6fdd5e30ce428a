"""Keras layers and tensor-to-tensor blocks that several networks share."""

from kmed.layers.adaptive_pooling import AdaptiveAveragePooling
from kmed.layers.bilinear import BilinearConv2DTranspose, BilinearKernel
from kmed.layers.dropout_at_test import DropoutAtTest
from kmed.layers.framing import CropLike, MirrorTile, PadToMultiple
from kmed.layers.grouped_convolution import GroupedConv2D
from kmed.layers.image_statistics import ImageStatisticsBatchNormalization
from kmed.layers.instance_normalization import InstanceNormalization
from kmed.layers.intensity import IntensityInverse
from kmed.layers.letterbox import Letterbox
from kmed.layers.local_response import LocalResponseNormalization
from kmed.layers.one_hot import OneHot
from kmed.layers.reflection_padding import ReflectionPadding
from kmed.layers.resizing import ResizeLike, ResizeTo
from kmed.layers.spectral_normalization import SpectralNormalization
from kmed.layers.unpooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

__all__ = [
    "AdaptiveAveragePooling",
    "BilinearConv2DTranspose",
    "BilinearKernel",
    "CropLike",
    "DropoutAtTest",
    "GroupedConv2D",
    "ImageStatisticsBatchNormalization",
    "InstanceNormalization",
    "IntensityInverse",
    "Letterbox",
    "LocalResponseNormalization",
    "MaxPoolingWithArgmax2D",
    "MaxUnpooling2D",
    "MirrorTile",
    "OneHot",
    "PadToMultiple",
    "ReflectionPadding",
    "ResizeLike",
    "ResizeTo",
    "SpectralNormalization",
]
