import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from kmed.applications.text_tower import ENCODERS, text_tower
from kmed.export.graph import rebuild
from kmed.export.tflite import operators

SMALL = {"vocabulary_size": 20, "length": 7, "dimension": 5, "width": 8, "heads": 2}
IDS = np.array([[3, 9, 4, 0, 0, 0, 0], [0] * 7, [1, 19, 18, 17, 16, 15, 14]], "int32")


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request):
    return request.param


@pytest.fixture(scope="module")
def tower(encoder):
    keras.utils.set_random_seed(0)
    return text_tower(encoder=encoder, **SMALL)


def embed(tower, ids=IDS):
    return np.array(tower(ids, training=False))


def test_embeddings_have_length_1_and_an_empty_sentence_one_of_its_own(tower):
    y = embed(tower)
    assert y.dtype == "float32" and y.shape == (3, 5)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)
    assert np.ptp(y[1]) > 0.1  # not the fixed direction of a vector of zeros
    assert [layer.name for layer in tower.layers[-2:]] == ["embedding", "unit_length"]
    assert tower.inputs[0].name == "ids" and tower.inputs[0].dtype == "int32"


def test_parameters_by_hand(encoder, tower):
    words, length, dimension, width, layers = 20, 7, 5, 8, 2
    encoded = {
        "bag": 0,
        # Positions, the last normalisation, and in each layer two normalisations, four
        # projections, and two dense layers.
        "transformer": length * width
        + 2 * width
        + layers * (4 * width + 4 * (width + 1) * width)
        + layers * ((width + 1) * 4 * width + (4 * width + 1) * width),
        # Two directions; three gates of inputs, states and two biases.
        "gru": layers * 2 * 3 * (width // 2) * (width + width // 2 + 2),
    }
    total = words * width + encoded[encoder] + (width + 1) * dimension
    assert tower.count_params() == total


def test_padding_does_not_matter_neither_its_vector_nor_its_number(encoder, tower):
    y = embed(tower)
    longer = text_tower(encoder=encoder, **SMALL | {"length": 11})
    for layer in tower.layers:
        weights = layer.get_weights()
        if layer.name == "positions":
            weights = [np.concatenate([weights[0], np.ones((4, 8))])]
        if layer.name == "words":
            weights[0][0] += np.arange(8)  # row of padding
        longer.get_layer(layer.name).set_weights(weights)
    found = embed(longer, np.pad(IDS, ((0, 0), (0, 4))))
    np.testing.assert_allclose(found[[0, 2]], y[[0, 2]], atol=1e-6)
    assert np.abs(found[1] - y[1]).max() > 1e-3


def test_the_order_of_words_counts_unless_in_a_bag(encoder, tower):
    swapped = np.array([[9, 3, 4, 0, 0, 0, 0]], "int32")
    difference = np.abs(embed(tower, swapped) - embed(tower)[:1]).max()
    assert difference < 1e-6 if encoder == "bag" else difference > 1e-4


def test_gradients_reach_every_weight(tower):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tower(IDS, training=True) ** 3)
    for weight, gradient in zip(
        tower.trainable_variables,
        tape.gradient(loss, tower.trainable_variables),
        strict=True,
    ):
        values = tf.convert_to_tensor(gradient).numpy()
        assert np.isfinite(values).all(), weight.path
        # A bias of all keys adds the same to every score, which softmax takes away again.
        assert np.any(values) or weight.path.endswith("key/bias"), weight.path


def test_saved_tower_answers_the_same(tower, tmp_path):
    tower.save(tmp_path / "tower.keras")
    again = keras.models.load_model(tmp_path / "tower.keras")
    np.testing.assert_array_equal(embed(again), embed(tower))


def test_tflite_has_built_in_operators_only_and_agrees(tower):
    spec = tf.TensorSpec((1, 7), tf.int32, name="ids")
    function = tf.function(lambda ids: tower(ids, training=False), autograph=False)
    frozen = convert_variables_to_constants_v2(function.get_concrete_function(spec))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()
    assert not [name for name in operators(content) if name.startswith(("Flex", "custom:"))]
    with pytest.warns(UserWarning, match="tf.lite.Interpreter is deprecated"):
        interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    expected = embed(tower)
    for i in range(3):
        interpreter.set_tensor(source["index"], IDS[i : i + 1])
        interpreter.invoke()
        np.testing.assert_allclose(
            interpreter.get_tensor(target["index"])[0], expected[i], atol=1e-5
        )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_answers_in_float32_and_can_be_copied_to_it(encoder, policy):
    keras.config.set_dtype_policy(policy)
    half = text_tower(encoder=encoder, **SMALL)
    y = embed(half)
    assert y.dtype == "float32" and np.isfinite(y).all()
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)
    copy = rebuild(half, dtype="float32")
    difference = np.abs(embed(copy) - y).max()
    assert 0 < difference < (0.01 if policy == "mixed_float16" else 0.05)


def test_own_weights_are_loaded(tower, encoder, tmp_path):
    tower.save_weights(tmp_path / "tower.weights.h5")
    again = text_tower(encoder=encoder, weights=tmp_path / "tower.weights.h5", **SMALL)
    np.testing.assert_array_equal(embed(again), embed(tower))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary_size": 2}, "`vocabulary_size` must be at least 3.*received 2"),
        ({"length": 0}, "`length` must be at least 1; received 0"),
        ({"layers": 0}, "`layers` must be at least 1; received 0"),
        ({"encoder": "lstm"}, "`encoder` must be one of transformer, gru, bag; received 'lstm'"),
        ({"width": 10, "heads": 4}, "`width` must be a multiple of 4.*received 10"),
        ({"width": 9, "encoder": "gru"}, "`width` must be a multiple of 2.*received 9"),
        ({"dropout": 1.0}, r"`dropout` must be in \[0, 1\); received 1.0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        text_tower(**options)
