"""TFLite files that hold TFLite's built-in operators only, checked in the file itself."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.lite.python import schema_py_generated as schema
from tensorflow.lite.python.convert_phase import ConverterError
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kmed.export.saved_model import input_specs
from kmed.layers import DropoutAtTest

QUANTIZATIONS = (None, "float16", "int8")

# What stays in float32 in an int8 file: everything but convolutions, pooling and what moves data.
# In 8 bits a CT would enter in steps of 16 HU and a probability leave in steps of 1/256.
_FLOAT_OPERATORS = (
    "ADD SUB MUL DIV MINIMUM MAXIMUM SQUARED_DIFFERENCE RSQRT SQRT SQUARE MEAN SUM REDUCE_MAX "
    "REDUCE_MIN SELECT SELECT_V2 EQUAL NOT_EQUAL GREATER CAST SOFTMAX LOGISTIC ARG_MAX GATHER "
    "GATHER_ND RESIZE_BILINEAR BATCH_MATMUL FULLY_CONNECTED"
).split()


class UnsupportedOperatorError(ValueError):
    """A model needs operators that are not built into TFLite; the message names each."""


def export_tflite(
    model: keras.Model,
    path: str | Path,
    *,
    size: tuple[int, ...] | None = None,
    quantize: str | None = None,
    representative: Iterable[np.ndarray] | None = None,
) -> Path:
    """Write a model as a TFLite file of batch 1 and one fixed size.

    Args:
        model: a functional model of images, of sentences as word indices `(B, length)`, or of
            a dictionary of inputs of fixed shapes; or a Bundle (its folded inference model and
            its size are taken).
        path: the file to write.
        size: spatial size of the file's input, in pixels; by default the model's own.
        quantize: None (float32), "float16" (weights in half precision) or "int8" (convolutions
            and pooling in 8 bit integers, 2D only; input, output, pre- and post-processing in
            float32).
        representative: images `(H, W, C)` or `(D, H, W, C)` of that size in raw units, from which
            "int8" takes its ranges; a hundred from the training set are plenty.

    Returns:
        The path.

    Raises:
        UnsupportedOperatorError: if the model needs a Flex or custom operator.
        ValueError: if an argument is outside of what is said above.
    """
    if quantize not in QUANTIZATIONS:
        raise ValueError(f"`quantize` must be one of {QUANTIZATIONS}; received {quantize!r}")
    if hasattr(type(model), "tflite_model"):
        model, size = model.tflite_model, size or model.size
    if any(isinstance(layer, DropoutAtTest) for layer in model._flatten_layers()):
        raise ValueError(
            "TFLite's built-in operators draw no random numbers: build the network with "
            "dropout_at_test=False, or save the bundle with tflite=False"
        )
    if isinstance(model.input, dict):
        return _write(path, _converter(model, input_specs(model, batch=1), quantize).convert)
    *own, last = model.input_shape[1:]
    size = tuple(size or own)
    if None in (*size, last) or len(size) != len(own):
        raise ValueError(
            f"TFLite needs one fixed size: give `size`, {len(own)} numbers; received {size}"
        )
    if quantize == "int8" and len(size) in (0, 3):
        raise ValueError(
            'int8 is for 2D convolutions alone: of a 3D network or of sentences quantize="int8" '
            'would change nothing; use "float16" for a smaller file'
        )
    spec = tf.TensorSpec((1, *size, last), model.input.dtype, name="image" if size else "ids")
    converter = _converter(model, {spec.name: spec}, quantize)
    if quantize != "int8":
        return _write(path, converter.convert)
    shape = (*size, model.input_shape[-1])
    with _interpreter_may_move():  # the calibration runs one
        return _write(path, lambda: _convert_int8(converter, representative, shape))


def _converter(model, specs, quantize):
    constant = _Constant(model, specs)
    concrete = constant.answer.get_concrete_function(**specs)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], constant)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if quantize == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return converter


def _write(path, convert):
    """Write what a conversion gives, if it holds built-in operators alone."""
    try:
        content = bytes(convert())
    except ConverterError as error:
        raise _unsupported(re.findall(r"'tf\.(\w+)' op is neither", str(error)), error) from None
    foreign = [name for name in operators(content) if name.startswith(("Flex", "custom:"))]
    if foreign:
        raise _unsupported(foreign)
    path = Path(path)
    path.write_bytes(content)
    return path


def operators(content: bytes | str | Path) -> list[str]:
    """Operators that a TFLite file holds, read from its flatbuffer.

    Args:
        content: the file's bytes or its path.

    Returns:
        Sorted names: built-ins as in TFLite's schema ("CONV_2D"), others as "FlexNAME" or
        "custom:NAME".
    """
    if not isinstance(content, bytes):
        content = Path(content).read_bytes()
    builtin = {
        value: name for name, value in vars(schema.BuiltinOperator).items() if name[0] != "_"
    }
    model, names = schema.Model.GetRootAs(content, 0), set()
    for i in range(model.OperatorCodesLength()):
        operator = model.OperatorCodes(i)
        # Files of older schemas hold small codes in a byte of their own.
        code = max(operator.BuiltinCode(), operator.DeprecatedBuiltinCode())
        if code == schema.BuiltinOperator.CUSTOM:
            name = operator.CustomCode().decode()
            names.add(name if name.startswith("Flex") else f"custom:{name}")
        else:
            names.add(builtin[code])
    return sorted(names)


def load_tflite(path: str | Path, threads: int = 2):
    """Open a TFLite file for inference.

    Args:
        path: the file.
        threads: number of CPU threads.

    Returns:
        A function from one image `(H, W, C)` or `(D, H, W, C)` of the file's size, in raw units
        (or from the `(length,)` indices of a sentence's words, or a dictionary of arrays where the
        file has several inputs), to a dictionary of its outputs without batch axis.
    """
    with _interpreter_may_move():
        interpreter = tf.lite.Interpreter(model_path=str(path), num_threads=threads)
    signature = interpreter.get_signature_runner(next(iter(interpreter.get_signature_list())))
    details = signature.get_input_details()
    shapes = {name: tuple(one["shape"][1:].tolist()) for name, one in details.items()}

    def run(image: np.ndarray | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = image if isinstance(image, dict) else {next(iter(details)): image}
        for name, shape in shapes.items():
            if name not in given or np.shape(given[name]) != shape:
                received = np.shape(given[name]) if name in given else "nothing"
                raise ValueError(
                    f"{Path(path).name} takes `{name}` of shape {shape}; received {received}"
                )
        arrays = {name: np.asarray(given[name], one["dtype"]) for name, one in details.items()}
        outputs = signature(**{name: array[None] for name, array in arrays.items()})
        return {name: value[0] for name, value in outputs.items()}

    run.input_shape = shapes if len(shapes) > 1 else next(iter(shapes.values()))
    return run


def run_tflite(path: str | Path, image: np.ndarray, threads: int = 2) -> dict[str, np.ndarray]:
    """Run a TFLite file on one image; to run it on many, open it once with `load_tflite`.

    Args:
        path: the file.
        image: `(H, W, C)` or `(D, H, W, C)` of the file's size, in raw units.
        threads: number of CPU threads.

    Returns:
        The outputs by name, without batch axis.
    """
    return load_tflite(path, threads)(image)


class _Constant(tf.Module):
    """A model traced for fixed inputs by name, its weights turned into constants.

    With variables the converter writes operators that read them, empty, in the calibration.
    """

    def __init__(self, model, specs):
        super().__init__()

        def respond(**inputs):
            given = inputs if isinstance(model.input, dict) else next(iter(inputs.values()))
            return model(given, training=False)

        traced = tf.function(respond, autograph=False).get_concrete_function(**specs)
        frozen = convert_variables_to_constants_v2(traced)
        structure = traced.structured_outputs
        names = [tensor.name.partition(":")[0] for tensor in frozen.inputs]

        def answer(**inputs):
            outputs = frozen(*(inputs[name] for name in names))
            return tf.nest.pack_sequence_as(structure, tf.nest.flatten(outputs))

        self.answer = tf.function(answer, autograph=False)


def _convert_int8(converter, representative, shape):
    images = [np.asarray(image, "float32") for image in representative or ()]
    if not images:
        raise ValueError(
            'quantize="int8" takes its ranges from `representative`, raw images of the training '
            "set; received none"
        )
    for image in images:
        if image.shape != shape:
            raise ValueError(
                f"`representative` images must have the file's shape {shape}; "
                f"received {image.shape}"
            )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"image": image[None]} for image in images)
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=_FLOAT_OPERATORS)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=converter.representative_dataset,
        debug_options=options,
    )
    return debugger.get_nondebug_quantized_model()


@contextmanager
def _interpreter_may_move():
    with warnings.catch_warnings():
        # TensorFlow 2.21 announces that the interpreter moves to the package ai-edge-litert.
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf\.lite\.Interpreter is depre")
        yield


def _unsupported(names, error=None):
    if error is not None and not names:
        return UnsupportedOperatorError(f"TFLite cannot convert the model: {str(error)[:500]}")
    return UnsupportedOperatorError(
        "the model needs operators that are not built into TFLite: "
        f"{', '.join(sorted(set(names)))}; replace the layers that use them, or export without "
        "TFLite"
    )
