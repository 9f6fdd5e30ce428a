import keras
import numpy as np
import pytest

from kmed.applications.unet import unet, valid_input_size, valid_output_size

SMALL = {"filters": (4, 8, 16)}


def test_the_papers_network_has_the_papers_size():
    network = unet(input_shape=(572, 572, 1), padding="valid", normalization=None)
    assert network.count_params() == 31_030_658
    assert network.output_shape == (None, 388, 388, 2)


def test_works_without_arguments():
    assert unet().output_shape == (None, 256, 256, 2)


@pytest.mark.parametrize("normalization", ["batch", "instance", None])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("shape", [(32, 48, 2), (8, 16, 12, 1)])
def test_gives_logits_of_the_inputs_size(shape, residual, normalization):
    network = unet(
        input_shape=shape, classes=3, normalization=normalization, residual=residual, **SMALL
    )
    logits = network(np.zeros((1, *shape), "float32"))
    assert logits.shape == (1, *shape[:-1], 3)
    assert logits.dtype == "float32"


def test_open_sizes_take_every_multiple():
    network = unet(input_shape=(None, None, 1), **SMALL)
    for size in (16, 44):
        assert network(np.zeros((1, size, 16, 1), "float32")).shape == (1, size, 16, 2)


def test_residual_shortcut_is_the_identity_where_the_last_convolution_is_zero():
    # Each block then computes relu(shortcut): the first, the 1x1 projection of the image.
    network = unet(input_shape=(8, 8, 1), filters=(4, 8), normalization=None, residual=True)
    features = keras.Model(network.input, network.get_layer("down0_relu2").output)
    for weight in network.get_layer("down0_conv2").weights:
        weight.assign(np.zeros(weight.shape))
    image = np.random.default_rng(0).normal(size=(1, 8, 8, 1)).astype("float32")
    kernel, bias = network.get_layer("down0_shortcut").get_weights()
    expected = np.maximum(image * kernel[0, 0, 0] + bias, 0)
    np.testing.assert_allclose(features(image), expected, atol=1e-6)


def test_deep_supervision_gives_every_level_but_the_bottom_at_full_size():
    network = unet(input_shape=(32, 32, 1), deep_supervision=True, filters=(4, 8, 8, 8))
    outputs = network(np.zeros((1, 32, 32, 1), "float32"))
    assert list(outputs) == ["logits", "logits_down1", "logits_down2"]
    assert {tuple(o.shape) for o in outputs.values()} == {(1, 32, 32, 2)}


def test_without_top_gives_the_decoders_pyramid():
    pyramid = unet(input_shape=(32, 32, 1), include_top=False, **SMALL).output
    assert {name: tuple(x.shape[1:]) for name, x in pyramid.items()} == {
        "P0": (32, 32, 4),
        "P1": (16, 16, 8),
        "P2": (8, 8, 16),
    }


def test_valid_convolutions_see_no_border():
    # An output pixel depends on pixels at most 20 away here, so that a change in the corner
    # further away changes nothing, and there is no padding that could.
    network = unet(input_shape=(44, 44, 1), padding="valid", normalization=None, filters=(4, 8))
    image = np.random.default_rng(0).normal(size=(1, 44, 44, 1)).astype("float32")
    changed = image.copy()
    changed[:, 0, 0] += 10
    difference = np.abs(network(image) - network(changed)).max(axis=(0, 3))
    assert difference.shape == (28, 28)
    assert difference[0, 0] > 0
    assert difference[8:, 8:].max() == 0


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
@pytest.mark.parametrize("wanted", [1, 7, 100, 388])
def test_valid_sizes_agree_with_the_network(levels, wanted):
    size = valid_input_size(wanted, levels)
    assert valid_output_size(size, levels) >= wanted
    smaller = size - 2 ** (levels - 1)
    assert valid_output_size(smaller, levels) < wanted
    if size < 200:
        network = unet(
            input_shape=(size, size, 1), padding="valid", normalization=None, filters=[2] * levels
        )
        assert network.output_shape[1] == valid_output_size(size, levels)


def test_weights_from_a_file(tmp_path):
    first = unet(input_shape=(16, 16, 1), **SMALL)
    first.save_weights(tmp_path / "a.weights.h5")
    second = unet(input_shape=(16, 16, 1), weights=str(tmp_path / "a.weights.h5"), **SMALL)
    image = np.ones((1, 16, 16, 1), "float32")
    np.testing.assert_array_equal(first(image), second(image))


def test_logits_stay_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = unet(input_shape=(16, 16, 1), deep_supervision=True, **SMALL)
    outputs = network(np.zeros((1, 16, 16, 1), "float32"))
    assert {keras.backend.standardize_dtype(o.dtype) for o in outputs.values()} == {"float32"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (250, 250, 1)}, r"divisible by 2\*\*\(levels-1\) = 16.*250"),
        ({"input_shape": (250, 1)}, "height, width, channels"),
        ({"classes": 0}, "at least 1; received 0"),
        ({"filters": (8,)}, "two levels"),
        ({"padding": "full"}, '"same" or "valid"'),
        ({"padding": "valid", "input_shape": (570, 572, 1)}, "next size that fits is 572"),
        ({"padding": "valid", "residual": True}, 'need padding="same"'),
        ({"normalization": "layer"}, "received 'layer'"),
        ({"dropout": 1.0}, "received 1.0"),
    ],
)
def test_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        unet(**arguments)
