"""Codecs: one for each detector, from objects to targets and from outputs to scored boxes."""

from kmed.codecs.faster_rcnn import FasterRCNNCodec
from kmed.codecs.ssd import SSDCodec
from kmed.codecs.yolov3 import YOLOv3Codec

__all__ = ["FasterRCNNCodec", "SSDCodec", "YOLOv3Codec"]
