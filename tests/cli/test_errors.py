"""One message for an expected error, a traceback for any other."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kmed.cli.errors import explanation
from kmed.data import DataError
from kmed.data.audit import LeakageError
from kmed.export import AgreementError
from kmed.trainers.checkpoints import TrainingDiverged


@pytest.mark.parametrize(
    "error",
    [
        DataError("a.png: no mask"),
        LeakageError("two parts share a.png"),
        FileNotFoundError("no bundle in x"),
        FileExistsError("version 1 exists"),
        PermissionError("x"),
        TrainingDiverged("the loss became nan"),
        AgreementError("tflite differs"),
        ImportError("the ONNX export needs tf2onnx: pip install 'kmed[onnx]'"),
    ],
)
def test_expected_errors(task, run, error):
    task.raises = error
    result = run("train", "unet")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {error}")
    assert "Traceback" not in result.output
    assert run("--debug", "train", "unet").exception is error


@pytest.mark.parametrize(
    "error", [KeyError("x"), RuntimeError("x"), AssertionError("x"), ImportError("x", name="y")]
)
def test_unexpected_errors_keep_their_traceback(task, run, error):
    task.raises = error
    assert run("train", "unet").exception is error


def test_a_value_error_from_elsewhere_says_how_to_see_more(task, run):
    try:
        keras.layers.Dense(-1)
    except ValueError as error:
        assert f"{error}\n(from keras." in explanation(error)
        assert "`kmed --debug COMMAND ...`" in explanation(error)
    with pytest.raises(ValueError, match="no 'x'") as raised:
        from kmed.catalog import find

        find("x")
    assert explanation(raised.value) == str(raised.value)


def test_out_of_memory_says_what_to_lower():
    with pytest.raises(MemoryError) as raised:
        np.empty((2**50,), "float64")
    assert "--batch-size" in explanation(raised.value)


@pytest.mark.parametrize(
    ("command", "told"), [(["train", "unet"], "goes on from the last whole epoch"), (["list"], "")]
)
def test_an_interruption_ends_with_130(task, run, monkeypatch, command, told):
    task.raises = KeyboardInterrupt()
    if command == ["list"]:
        monkeypatch.setattr("kmed.cli.training.print_table", _interrupt)
    result = run(*command)
    assert result.exit_code == 130
    assert result.stderr.startswith("stopped")
    assert told in result.stderr


def _interrupt(*_):
    raise KeyboardInterrupt
