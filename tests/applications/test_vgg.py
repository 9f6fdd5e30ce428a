import json

import keras
import numpy as np
import pytest

from kmed.applications.vgg import VARIANTS, torchvision_names, vgg11, vgg13, vgg16, vgg19
from kmed.export import export_tflite, run_tflite

SMALL = {"filters": (2, 3, 4, 5, 6), "dense_units": (7, 8), "pooled_size": 2, "classes": 3}

# torchvision publishes them with its weights (`num_params`).
COUNTS = {
    (11, None): 132_863_336,
    (11, "batch"): 132_868_840,
    (13, None): 133_047_848,
    (13, "batch"): 133_053_736,
    (16, None): 138_357_544,
    (16, "batch"): 138_365_992,
    (19, None): 143_667_240,
    (19, "batch"): 143_678_248,
}


@pytest.fixture
def zeros(monkeypatch):
    # Random numbers for a network of full size take seconds.
    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", call)


def trainable(network):
    # Torch does not count a batch normalisation's moving statistics.
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("layers", "normalization"), COUNTS)
def test_every_variant_has_its_number_of_parameters(layers, normalization, zeros):
    network = VARIANTS[layers](normalization=normalization)
    assert trainable(network) == COUNTS[layers, normalization]
    assert network.name == f"vgg{layers}"
    assert network.output_shape == (None, 1000)


def test_torchvision_counts_the_same(goldens):
    counts = json.loads((goldens / "parameters.json").read_text())
    for name, key in (("vgg16", (16, None)), ("vgg16_bn", (16, "batch")), ("vgg19", (19, None))):
        assert counts[name] == COUNTS[key]


@pytest.mark.parametrize(("layers", "build"), [(16, "VGG16"), (19, "VGG19")])
def test_is_keras_own_vgg(layers, build):
    theirs = getattr(keras.applications, build)(
        include_top=False, weights=None, input_shape=(64, 33, 3)
    )
    ours = VARIANTS[layers](include_top=False, input_shape=(64, 33, 3))
    weights = theirs.get_weights()
    assert [w.shape for w in weights] == [w.shape for w in ours.get_weights()]
    ours.set_weights(weights)
    x = image(1, 64, 33, 3)
    expected = theirs(x)
    np.testing.assert_allclose(ours(x)["P5"], expected, atol=1e-5 * float(np.abs(expected).max()))


def test_the_last_dense_layers_are_keras_own(zeros):
    theirs = keras.applications.VGG16(weights=None)
    ours = vgg16()
    for name, other in (("fc1", "fc1"), ("fc2", "fc2"), ("logits", "predictions")):
        kernel = theirs.get_layer(other).kernel
        assert ours.get_layer(name).kernel.shape == kernel.shape


def test_torchvision_numbers_its_layers():
    # `torchvision.models.vgg16(_bn)().named_modules()`, at the ends of blocks.
    plain, batch, deep = (torchvision_names(*a) for a in ((16,), (16, "batch"), (19, "batch")))
    assert (plain["block1_conv1"], plain["block5_conv3"]) == ("features.0", "features.28")
    assert (batch["block5_conv3"], batch["block5_norm3"]) == ("features.40", "features.41")
    assert deep["block5_conv4"] == "features.49"
    assert plain["logits"] == "classifier.6"


@pytest.mark.parametrize("normalization", [None, "batch"])
@pytest.mark.parametrize("layers", VARIANTS)
def test_every_layer_with_weights_has_its_torchvision_name(layers, normalization):
    network = VARIANTS[layers](input_shape=(32, 32, 3), normalization=normalization, **SMALL)
    names = {layer.name for layer in network.layers if layer.weights}
    assert names == set(torchvision_names(layers, normalization))


def test_the_pyramid_halves_and_rounds_down():
    network = vgg13(include_top=False, input_shape=(None, None, 2), filters=SMALL["filters"])
    pyramid = network(image(1, 70, 95, 2))
    assert {name: tuple(x.shape) for name, x in pyramid.items()} == {
        "P1": (1, 35, 47, 2),
        "P2": (1, 17, 23, 3),
        "P3": (1, 8, 11, 4),
        "P4": (1, 4, 5, 5),
        "P5": (1, 2, 2, 6),
    }
    assert network.get_layer("block4_pool").output is network.output["P4"]


@pytest.mark.parametrize("normalization", [None, "batch", "instance"])
@pytest.mark.parametrize("shape", [(32, 50, 2), (33, 32, 40, 1)])
def test_gives_float32_logits_of_images_and_volumes(shape, normalization):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = vgg11(input_shape=shape, normalization=normalization, **SMALL)
    logits = network(image(2, *shape))
    assert (tuple(logits.shape), logits.dtype) == ((2, 3), "float32")


def test_volumes_have_few_dense_weights():
    network = vgg11(input_shape=(64, 64, 64, 1), filters=SMALL["filters"], dense_units=(7, 8))
    assert network.get_layer("fc1").kernel.shape == (2**3 * 6, 7)


def test_open_sizes_take_any_image():
    network = vgg11(input_shape=(None, None, 1), **SMALL)
    for size in (32, 75):
        assert network(image(1, size, 40, 1)).shape == (1, 3)


def test_one_weights_file_fits_every_size(tmp_path):
    first = vgg11(input_shape=(32, 32, 1), **SMALL)
    first.save_weights(tmp_path / "a.weights.h5")
    second = vgg11(input_shape=(None, None, 1), weights=str(tmp_path / "a.weights.h5"), **SMALL)
    x = image(1, 32, 32, 1)
    np.testing.assert_allclose(second(x), first(x), atol=1e-6)


def test_tflite_agrees(tmp_path):
    network = vgg16(input_shape=(64, 40, 1), normalization="batch", **SMALL)
    network = keras.Model(network.input, {"logits": network.output})
    x = image(64, 40, 1)
    answer = run_tflite(export_tflite(network, tmp_path / "m.tflite"), x)["logits"]
    np.testing.assert_allclose(answer, network(x[None])["logits"][0], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (224, 31, 3)}, "at least 32 along every .*31"),
        ({"input_shape": (224, 3)}, "height, width, channels"),
        ({"filters": (64, 128)}, r"five positive numbers; received \(64, 128\)"),
        ({"dense_units": (64,)}, "2 positive numbers"),
        ({"normalization": "layer"}, "received 'layer'"),
        ({"dropout": 1.5}, "received 1.5"),
        ({"classes": 0}, "received 0"),
    ],
)
def test_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        vgg19(**arguments)
