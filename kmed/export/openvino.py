"""OpenVINO through Keras' own export, for Intel processors."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from kmed.export.onnx import by_kind

_MISSING = "OpenVINO is not installed: pip install 'kmed[openvino]'"


def export_openvino(model, path: str | Path, *, size: tuple[int, ...] | None = None) -> Path:
    """Write a model in OpenVINO's format (.xml and .bin), batch 1 and one fixed size.

    Args:
        model: a functional model of one input, or a Bundle (its folded inference model and its
            size are taken).
        path: the .xml file to write.
        size: spatial size of the file's input, in pixels; by default the model's own.

    Returns:
        The path.

    Raises:
        ImportError: if openvino is not installed.
    """
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise ImportError(_MISSING) from error
    if hasattr(type(model), "inference_model"):
        model, size = model.inference_model, size or model.size
    shape = (1, *(size or model.input_shape[1:-1]), model.input_shape[-1])
    spec = keras.InputSpec(shape=shape, dtype="float32", name="image")
    model.export(str(path), format="openvino", verbose=False, input_signature=[spec])
    return Path(path)


def load_openvino(path: str | Path, threads: int = 2):
    """Open an .xml file with OpenVINO, computing in float32.

    Args:
        path: the .xml file.
        threads: number of CPU threads.

    Returns:
        A function from one image `(H, W, C)` or `(D, H, W, C)` of the file's size to its outputs
        "labels" and "probabilities" without batch axis.

    Raises:
        ImportError: if openvino is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise ImportError(_MISSING) from error
    # Left to itself OpenVINO computes in bfloat16 where the processor has it.
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", options)

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        return by_kind(compiled(np.asarray(image, "float32")[None]).to_tuple())

    return run
