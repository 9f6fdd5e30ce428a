"""Translation between modalities, from files to a generator that is measured and served."""

from kmed.tasks.predictions import Predicted
from kmed.tasks.runs import Run
from kmed.tasks.translation.measuring import Measured, measure
from kmed.tasks.translation.settings import Settings
from kmed.tasks.translation.training import train
from kmed.tasks.translation.use import evaluate, export, predict

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
