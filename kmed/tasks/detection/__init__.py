"""Detection, from images with boxes to a served answer."""

from kmed.tasks.detection.measuring import Measured, measure
from kmed.tasks.detection.settings import Settings
from kmed.tasks.detection.training import train
from kmed.tasks.detection.use import evaluate, export, predict
from kmed.tasks.predictions import Predicted
from kmed.tasks.runs import Run

__all__ = [
    "Measured",
    "Predicted",
    "Run",
    "Settings",
    "evaluate",
    "export",
    "measure",
    "predict",
    "train",
]
