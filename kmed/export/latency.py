"""Milliseconds per image of each format of a bundle, in one table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kmed.export.agreement import load_formats
from kmed.export.bundle import Bundle


def latency(
    path: str | Path,
    image: np.ndarray | None = None,
    *,
    threads: int = 2,
    repeats: int = 20,
) -> list[dict[str, Any]]:
    """Time every format of a saved bundle on one image, batch 1, after two warm-up calls.

    The formats take turns, so that a slow moment of the machine falls on all of them.

    Args:
        path: the bundle's folder (NAME/VERSION).
        image: a raw image of the bundle's size; by default noise.
        threads: number of CPU threads. TensorFlow takes its number from the first call in a
            process: where that came before, the row tells what it really has.
        repeats: timed calls of each format.

    Returns:
        Rows of format, milliseconds (median), fastest, slowest and threads.

    Raises:
        ValueError: if `repeats` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"`repeats` must be at least 1; received {repeats}")
    tensorflow_threads = _set_threads(threads)
    bundle = Bundle.load(path)
    image = bundle.example_image() if image is None else np.asarray(image, "float32")
    runners: dict[str, Callable] = {
        "keras predict": lambda x: bundle.model.predict(x[None], verbose=0),
        "tf.function": bundle.answer,
        **load_formats(path, threads, quantized=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for turn in range(repeats + 2):
        for name, run in runners.items():
            start = time.perf_counter()
            run(image)
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    in_tensorflow = ("keras predict", "tf.function", "saved_model")
    return [
        {
            "format": name,
            "milliseconds": 1e3 * float(np.median(times)),
            "fastest": 1e3 * min(times),
            "slowest": 1e3 * max(times),
            "threads": tensorflow_threads if name in in_tensorflow else threads,
        }
        for name, times in seconds.items()
    ]


def _set_threads(threads: int) -> int:
    """Ask TensorFlow for a number of threads; return what it has."""
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:  # it has computed already, and keeps its threads
        pass
    asked = tf.config.threading.get_intra_op_parallelism_threads()
    return asked or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0)) or os.cpu_count()
