"""ONNX Runtime gives what Keras gives."""

import sys

import numpy as np
import pytest

from kmed.export import export_onnx, load_onnx


@pytest.mark.parametrize("case", ["bundle", "volume_bundle"])
def test_onnx_agrees_with_keras(case, request, tmp_path):
    pytest.importorskip("tf2onnx", reason="the ONNX export needs tf2onnx")
    pytest.importorskip("onnxruntime", reason="running ONNX needs onnxruntime")
    bundle = request.getfixturevalue(case)
    outputs = load_onnx(export_onnx(bundle, tmp_path / "m.onnx"))(bundle.example_image())
    labels, probabilities = bundle.predict(bundle.example_image())
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-4)
    np.testing.assert_array_equal(outputs["labels"], labels)


def test_what_is_missing_is_named(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'kmed\[onnx\]'"):
        export_onnx(bundle, tmp_path / "m.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"pip install 'kmed\[onnx\]'"):
        load_onnx(tmp_path / "m.onnx")
