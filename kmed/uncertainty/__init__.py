"""How sure a network is: models made of models, and what their members' disagreement says.

Every wrapper gives back a functional model from the network's own image to float32 logits, so
that it goes wherever a network goes: into a bundle, a SavedModel, a TFLite file of built-in
operators. It holds copies of the given networks' weights.
"""

from kmed.uncertainty.ensemble import ensemble
from kmed.uncertainty.entropy import (
    expected_entropy,
    mutual_information,
    predictive_entropy,
)
from kmed.uncertainty.mean_logits import MeanLogits, member_probabilities
from kmed.uncertainty.mirroring import Mirror, Unmirror, test_time_augmentation
from kmed.uncertainty.monte_carlo_dropout import FixedDropout, Repeat, monte_carlo_dropout

__all__ = [
    "FixedDropout",
    "MeanLogits",
    "Mirror",
    "Repeat",
    "Unmirror",
    "ensemble",
    "expected_entropy",
    "member_probabilities",
    "monte_carlo_dropout",
    "mutual_information",
    "predictive_entropy",
    "test_time_augmentation",
]
