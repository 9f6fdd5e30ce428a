"""Classification, from labelled files to a served answer."""

from kmed.tasks.classification.measuring import Measured, measure
from kmed.tasks.classification.settings import Settings
from kmed.tasks.classification.training import train
from kmed.tasks.classification.use import evaluate, export, predict, with_flips
from kmed.tasks.explaining import explain
from kmed.tasks.predictions import Predicted
from kmed.tasks.runs import Run

__all__ = [
    "Measured",
    "Predicted",
    "Run",
    "Settings",
    "evaluate",
    "explain",
    "export",
    "measure",
    "predict",
    "train",
    "with_flips",
]
