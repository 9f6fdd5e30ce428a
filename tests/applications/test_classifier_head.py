import keras
import numpy as np
import pytest

from kmed.applications.classifier_head import check_arguments, dense_layers, drop, logits


def head(**options):
    image = keras.Input((3, 2, 2), name="image")
    x = dense_layers(image, (4, 5), ("a", "b"), pooled_size=3, dropout=0.5, **options)
    return keras.Model(image, logits(x, 6))


def test_dense_layers_see_rows_then_columns_then_channels():
    network = head()
    x = np.random.default_rng(0).normal(size=(2, 3, 2, 2)).astype("float32")
    # Two columns to three: the first, both, the last.
    pooled = np.stack([x[:, :, 0], x.mean(2), x[:, :, 1]], axis=2).reshape(2, -1)
    (kernel_a, _), (kernel_b, _), (kernel, _) = (
        network.get_layer(name).get_weights() for name in ("a", "b", "logits")
    )
    expected = np.maximum(np.maximum(pooled @ kernel_a, 0) @ kernel_b, 0) @ kernel
    np.testing.assert_allclose(network(x), expected, atol=1e-5)


@pytest.mark.parametrize("front", [False, True])
def test_dropout_stands_behind_or_in_front(front):
    names = [layer.name for layer in head(dropout_in_front=front).layers]
    assert (names.index("a_dropout") < names.index("a")) == front
    assert "b_dropout" in names


def test_no_dropout_is_no_layer():
    image = keras.Input((3,))
    assert drop(image, 0, name="dropout") is image


@pytest.mark.parametrize("options", [{"pooled_size": 0}, {"units": (4,)}, {"units": (4, 0)}])
def test_wrong_dense_layers_are_named(options):
    arguments = {"units": (4, 4), "pooled_size": 7} | options
    with pytest.raises(ValueError, match="`dense_units` must be 2 positive numbers"):
        dense_layers(keras.Input((8, 8, 1)), names=("a", "b"), dropout=0, **arguments)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (((64, 3), 2, 0), {}, r"\(height, width, channels\) or \(depth.*received \(64, 3\)"),
        (((64, 64, 64, 3), 2, 0), {"ranks": (2,)}, r"\(height, width, channels\) with a known"),
        (((64, 64, None), 2, 0), {}, "known number of channels"),
        (((64, 31, 3), 2, 0), {"smallest": 32}, "at least 32 along every .*received .64, 31, 3"),
        (((64, 64, 3), 0, 0), {}, "`classes` must be at least 1; received 0"),
        (((64, 64, 3), 2, 1.0), {}, r"`dropout` must be in \[0, 1\); received 1.0"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        check_arguments(*arguments, **options)


def test_open_sizes_pass():
    check_arguments((None, None, 1), 1, 0.5, smallest=32)
