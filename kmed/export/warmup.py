"""Warm-up requests of TensorFlow Serving, so that the first patient does not wait for tracing.

Reference: TensorFlow Serving, "SavedModel Warmup": a TFRecord file of `PredictionLog` messages at
`assets.extra/tf_serving_warmup_requests`. The few fields that are needed are encoded here after
the protocol buffers' wire format, so that writing them needs no tensorflow-serving-api.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf

# Field numbers of prediction_log.proto, predict.proto and model.proto of TensorFlow Serving.
_LOG_PREDICT = 6
_PREDICT_REQUEST = 1
_REQUEST_MODEL, _REQUEST_INPUTS = 1, 2
_MODEL_NAME, _MODEL_SIGNATURE = 1, 3
_ENTRY_KEY, _ENTRY_VALUE = 1, 2


def write_warmup(
    folder: str | Path,
    model: str,
    inputs: dict[str, np.ndarray],
    signatures: Iterable[str] = ("serving_default", "segment"),
) -> Path:
    """Write one warm-up request for each signature into a SavedModel's folder.

    Args:
        folder: folder of the SavedModel (NAME/VERSION).
        model: name of the served model.
        inputs: a batch by the input's name; noise, never a patient's image or report, since the
            file is handed on with the model.
        signatures: names of the signatures to warm up.

    Returns:
        The file's path.
    """
    path = Path(folder) / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature in signatures:
            writer.write(predict_log(model, signature, inputs))
    return path


def predict_log(model: str, signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """Encode a `PredictionLog` that holds one `PredictRequest`.

    Args:
        model: name of the served model.
        signature: name of the signature.
        inputs: the request's tensors by name.

    Returns:
        The serialised message.

    Example:
        >>> predict_log("m", "s", {}).hex(" ")
        '32 0a 0a 08 0a 06 0a 01 6d 1a 01 73'
    """
    request = predict_request(model, signature, inputs)
    return _field(_LOG_PREDICT, _field(_PREDICT_REQUEST, request))


def predict_request(model: str, signature: str, inputs: dict[str, np.ndarray]) -> bytes:
    """Encode a `PredictRequest`, the body of TensorFlow Serving's gRPC method `Predict`.

    Args:
        model: name of the served model.
        signature: name of the signature.
        inputs: the request's tensors by name.

    Returns:
        The serialised message.
    """
    spec = _field(_MODEL_NAME, model.encode()) + _field(_MODEL_SIGNATURE, signature.encode())
    message = _field(_REQUEST_MODEL, spec)
    for name, array in inputs.items():
        tensor = tf.make_tensor_proto(np.asarray(array)).SerializeToString()
        entry = _field(_ENTRY_KEY, name.encode()) + _field(_ENTRY_VALUE, tensor)
        message += _field(_REQUEST_INPUTS, entry)
    return message


def _field(number: int, content: bytes) -> bytes:
    # Wire type 2: key, length, content.
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    # Seven bits a byte, the lowest first; the top bit says that more follow.
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
