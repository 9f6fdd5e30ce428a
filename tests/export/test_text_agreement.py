import keras
import numpy as np
import pytest

from kmed.export.box_comparison import AgreementError
from kmed.export.text_agreement import check_text_agreement
from kmed.export.text_bundle import TextBundle


def bundle(seed):
    text = keras.Input((), dtype="string", name="text")
    layer = keras.layers.TextVectorization(vocabulary=["lung"], output_sequence_length=3)
    preprocessor = keras.Model(text, keras.ops.cast(layer(text), "int32"), name="vocabulary")
    ids = keras.Input((3,), dtype="int32")
    start = keras.initializers.RandomNormal(seed=seed)
    x = keras.layers.Embedding(3, 4, embeddings_initializer=start)(ids)
    network = keras.Model(ids, keras.ops.normalize(keras.ops.mean(x, axis=1)), name="tower")
    return TextBundle("reports", preprocessor, network)


def test_formats_agree_or_are_refused(tmp_path):
    path = bundle(0).save(tmp_path / "a")
    report = check_text_agreement(path, ["Lung.", "of the lung", ""])
    assert {name: row["images"] for name, row in report.items()} == {"saved_model": 3, "tflite": 3}
    assert max(row["max_difference"] for row in report.values()) <= 1e-5
    other = bundle(1).save(tmp_path / "b")
    (path / "model.tflite").write_bytes((other / "model.tflite").read_bytes())
    with pytest.raises(AgreementError, match="tflite differs from Keras"):
        check_text_agreement(path, ["lung"])
    with pytest.raises(ValueError, match="empty"):
        check_text_agreement(other, np.array([]))
