"""Keras layers and tensor-to-tensor blocks that several networks share."""

from kmed.layers.framing import CropLike, MirrorTile, PadToMultiple
from kmed.layers.resizing import ResizeLike, ResizeTo

__all__ = ["CropLike", "MirrorTile", "PadToMultiple", "ResizeLike", "ResizeTo"]
