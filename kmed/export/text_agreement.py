"""Do the exported formats of a text tower say what Keras says?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kmed.export.embedding_comparison import EmbeddingComparison
from kmed.export.text_bundle import TextBundle
from kmed.export.tflite import load_tflite


def check_text_agreement(path: str | Path, texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Compare each format of a saved text tower with its Keras model, sentence by sentence.

    The SavedModel sees the sentences, TFLite the indices of their words.

    Args:
        path: the bundle's folder (NAME/VERSION).
        texts: sentences.

    Returns:
        For "saved_model" and "tflite": images (sentences) and max_difference.

    Raises:
        AgreementError: if a component of an embedding differs by more than 1e-5.
        ValueError: if there are no sentences.
    """
    folder = Path(path)
    bundle = TextBundle.load(folder)
    served = tf.saved_model.load(str(folder))
    embed, lite = served.signatures[bundle.decoder.signature], load_tflite(folder / "model.tflite")
    report = {"saved_model": EmbeddingComparison(), "tflite": EmbeddingComparison()}
    for text in texts:
        expected = bundle.answer(text)
        found = embed(text=tf.constant([text]))["embedding"].numpy()[0]
        report["saved_model"].add(expected, {"embedding": found})
        ids = np.asarray(bundle.preprocessor(tf.constant([text])))[0]
        report["tflite"].add(expected, lite(ids))
    for name, comparison in report.items():
        comparison.check(name)
    return {name: comparison.row() for name, comparison in report.items()}
