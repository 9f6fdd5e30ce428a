"""ONNX through Keras' own export, for ONNX Runtime."""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
import numpy as np


def export_onnx(model, path: str | Path, *, size: tuple[int, ...] | None = None) -> Path:
    """Write a model as an ONNX file of batch 1 and one fixed size.

    Args:
        model: a functional model of one input, or a Bundle (its folded inference model and its
            size are taken).
        path: the file to write.
        size: spatial size of the file's input, in pixels; by default the model's own.

    Returns:
        The path.

    Raises:
        ImportError: if tf2onnx is not installed.
    """
    try:
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError("the ONNX export needs tf2onnx: pip install 'kmed[onnx]'") from error
    if hasattr(type(model), "inference_model"):
        model, size = model.inference_model, size or model.size
    shape = (1, *(size or model.input_shape[1:-1]), model.input_shape[-1])
    spec = keras.InputSpec(shape=shape, dtype="float32", name="image")
    with warnings.catch_warnings():
        # tf2onnx reads attributes that newer NumPy and protobuf call deprecated.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        model.export(str(path), format="onnx", verbose=False, input_signature=[spec])
    return Path(path)


def load_onnx(path: str | Path, threads: int = 2):
    """Open an ONNX file with ONNX Runtime.

    Args:
        path: the file.
        threads: number of CPU threads.

    Returns:
        A function from one image `(H, W, C)` or `(D, H, W, C)` of the file's size to its outputs
        "labels" and "probabilities" without batch axis.

    Raises:
        ImportError: if onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError("running ONNX needs onnxruntime: pip install 'kmed[onnx]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        outputs = session.run(None, {name: np.asarray(image, "float32")[None]})
        return by_kind(outputs)

    return run


def by_kind(outputs) -> dict[str, np.ndarray]:
    """Tell labels from probabilities by their type: converters rename a model's outputs.

    Args:
        outputs: arrays `(1, ...)`, one of integers and one of floats.

    Returns:
        "labels" and "probabilities" without batch axis.
    """
    outputs = [np.asarray(output) for output in outputs]
    return {
        "probabilities" if output.dtype.kind == "f" else "labels": output[0] for output in outputs
    }
