"""What a bundle says of itself, and which software made it."""

from __future__ import annotations

import platform
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import kmed
from kmed.preprocessors import UNITS


def bundle_facts(bundle, version: int) -> dict[str, Any]:
    """Give the content of bundle.json, which `Bundle.load` and other programs read.

    Args:
        bundle: the Bundle.
        version: its number.

    Returns:
        Values that JSON has.
    """
    preprocessor = bundle.preprocessor.name
    return {
        "name": bundle.name,
        "version": version,
        "labels": bundle.labels,
        "fit": bundle.fit,
        "size": bundle.size,
        "levels": bundle.levels,
        "spacing_mm": bundle.spacing_mm,
        "input": {
            "name": "image",
            "rank": bundle.rank,
            "channels": bundle.channels,
            "units": UNITS.get(preprocessor, "as the preprocessor takes them"),
        },
        "signature": bundle.decoder.signature,
        "outputs": bundle.decoder.outputs,
        "preprocessor": preprocessor,
        "network": bundle.network.name,
        "batch_norm_folded": bundle.inference_model is not bundle.model,
        "versions": versions(),
        "metadata": bundle.metadata,
    }


def versions() -> dict[str, str]:
    """Versions of what made an artefact: kmed, keras, tensorflow, numpy and python."""
    return {
        "kmed": kmed.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
