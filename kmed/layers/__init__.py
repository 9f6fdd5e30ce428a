"""Keras layers and tensor-to-tensor blocks that several networks share."""

from kmed.layers.adaptive_pooling import AdaptiveAveragePooling
from kmed.layers.bilinear import BilinearConv2DTranspose, BilinearKernel
from kmed.layers.framing import CropLike, MirrorTile, PadToMultiple
from kmed.layers.grouped_convolution import GroupedConv2D
from kmed.layers.intensity import IntensityInverse
from kmed.layers.letterbox import Letterbox
from kmed.layers.local_response import LocalResponseNormalization
from kmed.layers.resizing import ResizeLike, ResizeTo
from kmed.layers.unpooling import MaxPoolingWithArgmax2D, MaxUnpooling2D

__all__ = [
    "AdaptiveAveragePooling",
    "BilinearConv2DTranspose",
    "BilinearKernel",
    "CropLike",
    "GroupedConv2D",
    "IntensityInverse",
    "Letterbox",
    "LocalResponseNormalization",
    "MaxPoolingWithArgmax2D",
    "MaxUnpooling2D",
    "MirrorTile",
    "PadToMultiple",
    "ResizeLike",
    "ResizeTo",
]
