"""Trainers: custom training steps, one algorithm a file; the networks are passed in."""

from kmed.trainers.adversarial_trainer import AdversarialTrainer
from kmed.trainers.box_pictures import BoxPictures
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.cyclegan import CycleGAN
from kmed.trainers.dcgan import DCGAN
from kmed.trainers.faster_rcnn import FasterRCNN
from kmed.trainers.generation_callbacks import GeneratedSamples, ModeCollapse
from kmed.trainers.linear_decay import ConstantThenLinear
from kmed.trainers.pix2pix import Pix2Pix
from kmed.trainers.two_towers import TwoTowers

__all__ = [
    "AdversarialTrainer",
    "BoxPictures",
    "Checkpoints",
    "ConstantThenLinear",
    "CycleGAN",
    "DCGAN",
    "FasterRCNN",
    "GeneratedSamples",
    "ModeCollapse",
    "Pix2Pix",
    "TwoTowers",
]
