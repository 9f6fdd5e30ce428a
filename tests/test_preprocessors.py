"""Preprocessors against numpy in float64, and in the formats they are exported to."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed import preprocessors
from kmed.export import export_tflite, run_tflite
from kmed.preprocessors import ct, mr, preprocess_array, rgb, text, text_vocabulary, xray


def test_ct_window_by_hand():
    image = np.array([-2000, -160, 40, 140, 240, 3000], "int16").reshape(2, 3, 1)
    result = preprocess_array(ct((40, 400)), image)
    np.testing.assert_allclose(result.ravel(), [-1, -1, 0, 0.5, 1, 1], atol=1e-6)


def test_rgb_by_hand():
    image = np.array([0, 127.5, 255], "float32").reshape(1, 1, 3)
    np.testing.assert_allclose(preprocess_array(rgb(), image).ravel(), [-1, 0, 1], atol=1e-6)


@pytest.mark.parametrize("low", [0, 60000])
def test_xray_matches_float64_for_millions_of_16_bit_values(low):
    image = np.random.default_rng(0).integers(low, low + 5000, (2000, 1500, 1)).astype("uint16")
    exact = image.astype("float64")
    expected = (exact - exact.mean()) / exact.std()
    np.testing.assert_allclose(preprocess_array(xray(), image), expected, atol=2e-5)


def test_mr_standardises_the_nonzero_voxels_of_each_contrast():
    random = np.random.default_rng(1)
    volume = random.integers(1, 4000, (6, 30, 20, 2)).astype("int16")
    volume[random.random(volume.shape) < 0.6] = 0
    volume[..., 1] *= 3
    result = preprocess_array(mr(channels=2, rank=3), volume)
    for channel in range(2):
        values = volume[..., channel].astype("float64")
        inside = values != 0
        expected = (values[inside] - values[inside].mean()) / values[inside].std()
        np.testing.assert_allclose(result[..., channel][inside], expected, atol=1e-5)
        assert np.all(result[..., channel][~inside] == 0)


@pytest.mark.parametrize("value", [0.0, 1.0, -1024.0, 12345.678, 65535.0])
@pytest.mark.parametrize("make", [mr, xray])
def test_constant_images_give_zeros(make, value):
    image = np.full((37, 41, 1), value, "float32")
    assert np.all(preprocess_array(make(), image) == 0)


def test_images_of_a_batch_do_not_mix():
    random = np.random.default_rng(2)
    batch = random.normal(100, 20, (3, 16, 12, 1)).astype("float32") * [[[[1]]], [[[5]]], [[[50]]]]
    together = keras.ops.convert_to_numpy(xray()(batch.astype("float32")))
    alone = np.stack([preprocess_array(xray(), image) for image in batch])
    np.testing.assert_allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("make", [ct, mr, xray, rgb])
@pytest.mark.parametrize("rank", [2, 3])
def test_saved_and_exported_models_agree(make, rank, tmp_path):
    model = make(rank=rank)
    assert model.name in preprocessors.UNITS
    shape = (1, *(8, 10, 12)[3 - rank :], model.input_shape[-1])
    image = np.random.default_rng(3).integers(-50, 250, shape).astype("float32")
    expected = keras.ops.convert_to_numpy(model(image))

    model.save(tmp_path / "p.keras")
    again = keras.models.load_model(tmp_path / "p.keras")
    np.testing.assert_array_equal(again(image), expected)

    model.export(tmp_path / "p", verbose=False)
    served = tf.saved_model.load(tmp_path / "p").serve(image)
    np.testing.assert_allclose(served, expected, atol=1e-6)

    path = export_tflite(model, tmp_path / "p.tflite", size=shape[1:-1])
    (lite,) = run_tflite(path, image[0]).values()
    np.testing.assert_allclose(lite, expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ct((40, 0)), "width of a window must be positive; received 0"),
        (lambda: mr(rank=4), "2 or 3 spatial axes; received 4"),
        (lambda: xray(channels=0), "at least 1; received 0"),
        (lambda: preprocess_array(xray(), np.zeros((4, 4))), r"received shape \(4, 4\)"),
        (lambda: preprocess_array(rgb(), np.zeros((4, 4, 1))), "with 3 channels"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


SENTENCES = [
    "Axial T2-weighted MRI: a 1.5 cm mass in the LEFT lobe.",
    "\tThe left lobe, the (right) lobe;\nno mass.  ",
    "Größe ÜBER normal\u00a0— l'œil [unk] a_b",
    "",
    "?!",
]


def test_text_is_split_as_keras_does():
    """Words and their numbers are those that TextVectorization finds itself."""
    layer = keras.layers.TextVectorization()
    layer.adapt(SENTENCES)
    words = text_vocabulary(SENTENCES, minimum=1)
    assert set(words) == {str(word) for word in layer.get_vocabulary(include_special_tokens=False)}
    ids = np.array(text(words, length=20)(tf.constant(SENTENCES)))
    for row, sentence in zip(ids, SENTENCES, strict=True):
        expected = [str(layer.get_vocabulary()[i]) for i in layer([sentence])[0]]
        found = [words[i - 2] for i in row if i]
        assert 1 not in row and found == [word for word in expected if word]


def test_vocabulary_is_ordered_by_frequency_then_alphabet():
    texts = ["b a c", "c a b", "c d!", "e"]
    assert text_vocabulary(texts) == ["c", "a", "b"]
    assert text_vocabulary(reversed(texts), minimum=1) == ["c", "a", "b", "d", "e"]
    assert text_vocabulary(texts, size=4) == ["c", "a"]  # with padding and the unknown word


def test_ids_by_hand():
    model = text(["lung", "left"], length=3)
    sentences = np.array(["Left lung", "no LUNG, left or right", ""], object)
    expected = [[3, 2, 0], [1, 2, 3], [0, 0, 0]]
    for batch in (sentences, sentences[:, None]):
        ids = model(tf.constant(batch))
        assert ids.dtype == "int32" and ids.numpy().tolist() == expected
    assert model.name in preprocessors.UNITS and model.output_shape == (None, 3)
    assert model.get_layer("words").vocabulary_size() == 4


def test_text_keeps_its_vocabulary_when_saved_and_served(tmp_path):
    words = text_vocabulary(SENTENCES, minimum=1)
    model, sentences = text(words, length=5), tf.constant(SENTENCES)
    expected = model(sentences).numpy()
    model.save(tmp_path / "text.keras")
    again = keras.models.load_model(tmp_path / "text.keras")
    np.testing.assert_array_equal(again(sentences), expected)
    model.export(tmp_path / "text", verbose=False)
    served = tf.saved_model.load(tmp_path / "text").serve(sentences)
    np.testing.assert_array_equal(served, expected)
    batches = tf.data.Dataset.from_tensor_slices(SENTENCES).batch(5).map(model)
    np.testing.assert_array_equal(next(iter(batches)), expected)


@pytest.mark.parametrize("policy", ["mixed_float16", "float16"])
def test_ids_are_integers_under_any_policy(policy):
    keras.config.set_dtype_policy(policy)
    assert text(["lung"], length=2)(tf.constant(["lung"])).numpy().tolist() == [[2, 0]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: text([]), "`vocabulary` must have at least one word.*received 0 words and 64"),
        (lambda: text(["lung"], length=0), "received 1 words and 0"),
        (lambda: text(["Lung"]), r"different words in lower case.*received 'Lung' 1 time\(s\)"),
        (lambda: text(["t2-weighted"]), "received 't2-weighted'"),
        (lambda: text(["", "lung"]), "received ''"),
        (lambda: text(["lung", "lung"]), r"received 'lung' 2 time\(s\)"),
        (lambda: text_vocabulary(["a b"]), "must have a word that occurs 2 times; received none"),
        (lambda: text_vocabulary([]), "must have a word that occurs 2 times; received none"),
        (lambda: text_vocabulary(["a"], size=2), "`size` must be 3, `minimum` 1 or more; .* 2 and"),
        (lambda: text_vocabulary(["a"], minimum=0), "received 5000 and 0"),
    ],
)
def test_texts_that_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
