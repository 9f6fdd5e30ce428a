"""Synthesis, from images to a generator of new ones that is measured and served."""

from kmed.tasks.predictions import Predicted
from kmed.tasks.runs import Run
from kmed.tasks.synthesis.measuring import Measured, measure
from kmed.tasks.synthesis.settings import Settings
from kmed.tasks.synthesis.training import train
from kmed.tasks.synthesis.use import evaluate, export, generate, predict

__all__ = [
    "Measured",
    "Predicted",
    "Run",
    "Settings",
    "evaluate",
    "export",
    "generate",
    "measure",
    "predict",
    "train",
]
