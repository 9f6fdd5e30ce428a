import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.export.text_bundle import TextBundle
from kmed.export.tflite import load_tflite, operators

WORDS = ["lung", "brain", "mass"]


@pytest.fixture(scope="module")
def bundle():
    text = keras.Input((), dtype="string", name="text")
    layer = keras.layers.TextVectorization(vocabulary=WORDS, output_sequence_length=5)
    preprocessor = keras.Model(text, keras.ops.cast(layer(text), "int32"), name="words")
    ids = keras.Input((5,), dtype="int32")
    x = keras.layers.Embedding(5, 6)(ids)
    network = keras.Model(ids, keras.ops.normalize(keras.ops.mean(x, axis=1)), name="tower")
    return TextBundle("reports", preprocessor, network, metadata={"task": "retrieval"})


@pytest.fixture(scope="module")
def saved(bundle, tmp_path_factory):
    return bundle.save(tmp_path_factory.mktemp("models"))


def test_a_sentence_is_embedded_alike_by_all(bundle, saved):
    expected = bundle.answer("A mass of the Lung.")["embedding"]
    assert expected.shape == (6,)
    np.testing.assert_array_equal(
        TextBundle.load(saved).answer("A mass of the Lung.")["embedding"], expected
    )
    served = tf.saved_model.load(str(saved)).signatures["embed"]
    found = served(text=tf.constant(["A mass of the Lung."]))["embedding"][0]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    words = (saved / "vocabulary.txt").read_text().split()
    assert words == WORDS == bundle.vocabulary
    index = {word: i + 2 for i, word in enumerate(words)}
    ids = [index.get(word, 1) for word in "a mass of the lung".split()]
    run = load_tflite(saved / "model.tflite")
    np.testing.assert_allclose(run(np.array(ids))["embedding"], expected, atol=1e-6)
    assert not any(name.startswith("Flex") for name in operators(saved / "model.tflite"))


def test_what_the_folder_says(saved):
    facts = json.loads((saved / "bundle.json").read_text())
    assert facts["input"] == {"name": "text", "length": 5}
    assert facts["metadata"] == {"task": "retrieval"}
    assert (saved / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_what_is_refused(bundle):
    with pytest.raises(ValueError, match="must be a string; received list"):
        bundle.answer(["lung"])
    with pytest.raises(ValueError, match="becomes a folder"):
        TextBundle("a/b", bundle.preprocessor, bundle.network)
    ids = keras.Input((7,), dtype="int32")
    other = keras.Model(ids, keras.layers.Embedding(5, 6)(ids))
    with pytest.raises(ValueError, match="as many words"):
        TextBundle("a", bundle.preprocessor, other)
