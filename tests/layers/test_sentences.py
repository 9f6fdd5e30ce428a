import keras
import numpy as np

from kmed.layers.sentences import LearntPositions, MaskedMean, WordMask


def test_padding_is_masked_wherever_it_stands():
    ids = np.array([[3, 1, 2, 0], [0, 5, 0, 1], [0, 0, 0, 0]], "int32")
    expected = [[True, True, True, False], [False, True, False, True], [True, False, False, False]]
    assert np.array(WordMask()(ids)).tolist() == expected


def test_the_mask_of_a_symbolic_sentence_is_boolean():
    mask = WordMask()(keras.Input((7,), dtype="int32"))
    assert mask.dtype == "bool" and mask.shape == (None, 7)


def test_every_position_has_its_own_vector():
    layer, x = LearntPositions(), np.ones((2, 5, 3), "float32")
    y = np.array(layer(x))
    assert layer.count_params() == 15
    np.testing.assert_allclose(y - x, np.broadcast_to(layer.positions, x.shape), atol=1e-7)
    assert len(np.unique(y[0])) == 15


def test_the_mean_against_a_loop():
    random = np.random.default_rng(0)
    x, mask = random.normal(size=(4, 6, 3)).astype("float32"), random.random((4, 6)) < 0.5
    mask[2] = False
    found = np.array(MaskedMean()([x, mask]))
    for i in range(4):
        words = [x[i, j] for j in range(6) if mask[i, j]]
        expected = np.mean(words, axis=0) if words else np.zeros(3)
        np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-6)


def test_the_mean_of_half_precision_does_not_overflow():
    x = np.full((1, 64, 2), 60000.0, "float16")
    y = MaskedMean()([x, np.ones((1, 64), bool)])
    assert y.dtype == "float32"
    np.testing.assert_allclose(y, np.full((1, 2), x[0, 0, 0], "float32"))


def test_layers_survive_their_configuration():
    for layer in (WordMask(name="a"), LearntPositions(name="a"), MaskedMean(name="a")):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
        assert type(again) is type(layer) and again.get_config() == layer.get_config()
