"""Segmentation, from files to a served mask."""

from kmed.tasks.explaining import explain
from kmed.tasks.predictions import Predicted
from kmed.tasks.runs import Run
from kmed.tasks.segmentation.demo import demo
from kmed.tasks.segmentation.measuring import Measured, measure
from kmed.tasks.segmentation.settings import Settings
from kmed.tasks.segmentation.training import train
from kmed.tasks.segmentation.use import evaluate, export, predict
from kmed.tasks.segmentation.whole_case import Segmentation, WholeCase

__all__ = [
    "Measured",
    "Predicted",
    "Run",
    "Segmentation",
    "Settings",
    "WholeCase",
    "demo",
    "evaluate",
    "explain",
    "export",
    "measure",
    "predict",
    "train",
]
