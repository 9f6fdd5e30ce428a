"""Trainers: custom training steps, one algorithm a file; the networks are passed in."""

from kmed.trainers.box_pictures import BoxPictures
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.faster_rcnn import FasterRCNN
from kmed.trainers.two_towers import TwoTowers

__all__ = [
    "BoxPictures",
    "Checkpoints",
    "FasterRCNN",
    "TwoTowers",
]
