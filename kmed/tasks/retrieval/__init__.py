"""Cross-modal retrieval, from files of two modalities to an index that people search."""

from kmed.tasks.predictions import Predicted
from kmed.tasks.retrieval.indexing import build, search
from kmed.tasks.retrieval.measuring import Measured, measure
from kmed.tasks.retrieval.settings import Settings
from kmed.tasks.retrieval.training import train
from kmed.tasks.retrieval.use import evaluate, export, predict
from kmed.tasks.runs import Run

__all__ = [
    "Measured",
    "Predicted",
    "Run",
    "Settings",
    "build",
    "evaluate",
    "export",
    "measure",
    "predict",
    "search",
    "train",
]
