"""OpenVINO gives what Keras gives."""

import sys

import numpy as np
import pytest

from kmed.export import export_openvino, load_openvino


@pytest.mark.parametrize("case", ["bundle", "volume_bundle"])
def test_openvino_agrees_with_keras(case, request, tmp_path):
    pytest.importorskip("openvino", reason="needs openvino")
    bundle = request.getfixturevalue(case)
    outputs = load_openvino(export_openvino(bundle, tmp_path / "m.xml"))(bundle.example_image())
    labels, probabilities = bundle.predict(bundle.example_image())
    np.testing.assert_allclose(outputs["probabilities"], probabilities, atol=1e-4)
    np.testing.assert_array_equal(outputs["labels"], labels)


def test_what_is_missing_is_named(bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(ImportError, match=r"pip install 'kmed\[openvino\]'"):
        export_openvino(bundle, tmp_path / "m.xml")
    with pytest.raises(ImportError, match=r"pip install 'kmed\[openvino\]'"):
        load_openvino(tmp_path / "m.xml")
