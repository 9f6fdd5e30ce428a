from __future__ import annotations

import keras
import numpy as np
import pytest
import safetensors.numpy

from kmed.applications.alexnet import TORCHVISION as ALEXNET
from kmed.applications.alexnet import alexnet
from kmed.applications.resnet import TORCHVISION as RESNET
from kmed.applications.resnet import resnet18, resnet34, resnet50
from kmed.applications.vgg import torchvision_names as vgg_names
from kmed.applications.vgg import vgg16, vgg19
from kmed.weights import load_torchvision
from kmed.weights.torchvision import read_checkpoint, torch_name

NETWORKS = {
    "alexnet": (alexnet, {}, ALEXNET),
    "vgg16": (vgg16, {}, vgg_names(16)),
    "vgg16_bn": (vgg16, {"normalization": "batch"}, vgg_names(16, "batch")),
    "vgg19": (vgg19, {}, vgg_names(19)),
    "resnet18": (resnet18, {}, RESNET),
    "resnet50": (resnet50, {}, RESNET),
}
SMALL = {"input_shape": (32, 32, 3), "width": 4, "classes": 3}


@pytest.fixture(scope="module", autouse=True)
def zeros():
    """Random numbers for networks of full size take seconds, and every one is replaced."""

    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", call)
        yield


@pytest.fixture(scope="module")
def small(golden_weights, zeros):
    """Weights of a small ResNet-18 with three classes, by torchvision's names."""
    return golden_weights(resnet18(**SMALL), RESNET)


def relative_error(ours, theirs):
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("name", NETWORKS)
def test_gives_what_torchvision_gives(name, goldens, golden_weights, golden_image, tmp_path, zeros):
    build, options, names = NETWORKS[name]
    network = build(**options)
    weights = golden_weights(network, names)
    if name == "resnet50":  # the road of a user
        path = tmp_path / f"{name}.safetensors"
        safetensors.numpy.save_file(weights, path)
        network = build(**options, weights=path)
    else:
        fit = load_torchvision(network, weights, names)
        assert len(fit.loaded) == len(network.weights) == len(weights)
        assert fit[1:] == ((), (), (), ())

    outputs = {"logits": network.output}
    with np.load(goldens / f"{name}.npz") as golden:
        if "features" in golden:
            outputs["features"] = network.get_layer("adaptive_pool").output
        image = golden_image("classifier", 224, 224)[None]
        ours = keras.Model(network.input, outputs)(image, training=False)
        for output, values in ours.items():
            assert relative_error(np.array(values)[0], golden[output]) < 1e-4, output


def test_transposed_convolution_is_that_of_torch():
    image = keras.Input((3, 4, 2))
    x = keras.layers.Conv2DTranspose(3, (2, 3), strides=(2, 3), name="up")(image)
    network = keras.Model(image, x)
    weight, x = random(2, 3, 2, 3), random(3, 4, 2)
    load_torchvision(network, {"up.weight": weight, "up.bias": np.arange(3.0)}, {"up": "up"})
    # torch.nn.ConvTranspose2d: every input value spreads its (in, out, rows, columns) kernel.
    expected = np.tile(np.arange(3.0), (6, 12, 1))
    for i, j in np.ndindex(3, 4):
        spread = np.einsum("c,cohw->hwo", x[i, j], weight)
        expected[2 * i : 2 * i + 2, 3 * j : 3 * j + 3] += spread
    np.testing.assert_allclose(network(x[None])[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2])
def test_grouped_convolution_is_that_of_torch(groups):
    image = keras.Input((3, 4, 4))
    x = keras.layers.Conv2D(6, (2, 3), groups=groups, use_bias=False, name="conv")(image)
    network = keras.Model(image, x)
    weight, x = random(6, 4 // groups, 2, 3), random(3, 4, 4)
    load_torchvision(network, {"conv.weight": weight}, {"conv": "conv"})
    expected = np.empty((2, 2, 6))
    for i, j, out in np.ndindex(expected.shape):
        first = out // (6 // groups) * (4 // groups)
        seen = x[i : i + 2, j : j + 3, first : first + 4 // groups]
        expected[i, j, out] = np.einsum("hwc,chw->", seen, weight[out])
    np.testing.assert_allclose(network(x[None])[0], expected, rtol=1e-5, atol=1e-5)


def test_depthwise_convolution_is_that_of_torch():
    image = keras.Input((3, 3, 2))
    x = keras.layers.DepthwiseConv2D((2, 3), depth_multiplier=2, use_bias=False, name="d")(image)
    network = keras.Model(image, x)
    weight, x = random(4, 1, 2, 3), random(3, 3, 2)
    load_torchvision(network, {"d.weight": weight}, {"d": "d"})
    expected = np.empty((2, 1, 4))
    for i, j, out in np.ndindex(expected.shape):
        expected[i, j, out] = (x[i : i + 2, j : j + 3, out // 2] * weight[out, 0]).sum()
    np.testing.assert_allclose(network(x[None])[0], expected, rtol=1e-5, atol=1e-5)


def test_volumes_convolution_and_a_dense_layer_behind_flatten_are_those_of_torch():
    image = keras.Input((2, 3, 4, 1))
    x = keras.layers.Conv3D(2, (1, 2, 3), name="conv")(image)
    x = keras.layers.Dropout(0.5)(keras.layers.Activation("relu")(x))
    x = keras.layers.Dense(3, name="fc")(keras.layers.Flatten()(x))
    network = keras.Model(image, x)
    arrays = {
        "0.weight": random(2, 1, 1, 2, 3),
        "0.bias": random(2),
        "1.weight": random(3, 16),
        "1.bias": random(3),
    }
    load_torchvision(network, arrays, {"conv": "0", "fc": "1"})
    x, features = random(2, 3, 4), np.empty((2, 2, 2, 2))
    for out, d, i, j in np.ndindex(features.shape):  # (channel, depth, row, column), as in torch
        kernel = arrays["0.weight"][out, 0, 0]
        features[out, d, i, j] = (x[d, i : i + 2, j : j + 3] * kernel).sum() + arrays["0.bias"][out]
    expected = arrays["1.weight"] @ np.maximum(features, 0).ravel() + arrays["1.bias"]
    np.testing.assert_allclose(network(x[None, ..., None])[0], expected, rtol=1e-5, atol=1e-5)


def test_a_dense_layer_there_may_be_a_convolution_here():
    image = keras.Input((4, 3, 2))
    dense = keras.layers.Dense(5, name="fc1")(keras.layers.Flatten()(image))
    whole = keras.layers.Conv2D(5, (4, 3), name="fc1")(image)
    arrays, x = {"fc1.weight": random(5, 24), "fc1.bias": random(5)}, random(1, 4, 3, 2)
    results = []
    for output in (dense, whole):
        network = keras.Model(image, output)
        load_torchvision(network, arrays, {"fc1": "fc1"})
        results.append(np.ravel(network(x)))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-5)


def test_a_pth_file_is_read(small, pth_file):
    network, expected = resnet18(**SMALL), resnet18(**SMALL)
    fit = load_torchvision(network, pth_file(small, "resnet18.pth"), RESNET)
    assert len(fit.loaded) == len(network.weights)
    load_torchvision(expected, small, RESNET)
    np.testing.assert_equal(network.get_weights(), expected.get_weights())


def test_names_of_parallel_training_and_counters_are_understood(small):
    network = resnet18(**SMALL)
    wrapped = {f"module.{name}": array for name, array in small.items()}
    wrapped["module.bn1.num_batches_tracked"] = np.array(7)
    assert load_torchvision(network, wrapped, RESNET).unexpected == ()


def test_other_classes_leave_the_head_and_say_so(small):
    network = resnet18(**SMALL | {"classes": 5})
    before = network.get_layer("logits").get_weights()
    with pytest.warns(UserWarning, match=r'"logits" stays .*\(32, 5\), there fc.weight \(3, 32\)'):
        fit = load_torchvision(network, small, RESNET)
    assert fit.mismatched == ("logits/kernel", "logits/bias")
    assert len(fit.loaded) == len(network.weights) - 2
    np.testing.assert_equal(network.get_layer("logits").get_weights(), before)


def test_a_checkpoint_without_head_leaves_the_head_and_says_so(small):
    headless = {name: array for name, array in small.items() if not name.startswith("fc.")}
    with pytest.warns(UserWarning, match=r'"logits" stays .* kernel \(there fc.weight\)'):
        fit = load_torchvision(resnet18(**SMALL), headless, RESNET)
    assert fit.missing == ("logits/kernel", "logits/bias")


def test_a_backbone_has_no_use_for_the_head(small):
    fit = load_torchvision(resnet18(**SMALL, include_top=False), small, RESNET)
    assert fit.unexpected == ("fc.weight", "fc.bias")


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels_give_on_a_grey_image_what_rgb_gives(channels, small):
    rgb, other = resnet18(**SMALL), resnet18(**SMALL | {"input_shape": (32, 32, channels)})
    load_torchvision(rgb, small, RESNET)
    with pytest.warns(UserWarning, match=f'"stem_conv" was adapted from RGB to {channels} ch'):
        fit = load_torchvision(other, small, RESNET)
    assert len(fit.adapted) == 1
    grey = random(2, 32, 32, 1)
    expected = rgb(np.repeat(grey, 3, axis=-1), training=False)
    result = other(np.repeat(grey, channels, axis=-1), training=False)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_another_network_is_refused_with_the_names_and_left_alone(small, golden_weights):
    network = resnet34(**SMALL)
    before = network.get_weights()
    with pytest.raises(ValueError, match=r"does not fit .* missing there: stage1_block2_conv1/ker"):
        load_torchvision(network, small, RESNET)
    with pytest.raises(
        ValueError, match=r"left over there: layer1.2.conv1.weight, .* and \d+ more"
    ):
        load_torchvision(resnet18(**SMALL), golden_weights(network, RESNET), RESNET)
    wide = resnet18(**SMALL | {"width": 8})
    shapes = r"stem_conv/kernel \(7, 7, 3, 8\), there conv1.weight \(4, 3, 7, 7\)"
    with pytest.raises(ValueError, match=f"of another shape: {shapes}"):
        load_torchvision(wide, small, RESNET)
    with pytest.raises(ValueError, match=r"logits/kernel \(unnamed\)"):
        load_torchvision(resnet18(**SMALL), small, RESNET[:-1], heads="")
    np.testing.assert_equal(network.get_weights(), before)


def test_a_table_is_a_dictionary_or_pairs_of_which_the_first_counts():
    assert torch_name({"conv1": "features.0"}, "conv1", "kernel") == "features.0.weight"
    assert torch_name({"conv1": "features.0"}, "conv2", "kernel") is None
    pairs = ((r"conv(\d)", r"c.\1"), (r"conv1", "never"))
    assert torch_name(pairs, "conv1", "bias") == "c.1.bias"
    assert torch_name(pairs, "conv12", "bias") is None  # the whole name
    assert torch_name({"l2norm": "scale_weight"}, "l2norm", "scale") == "scale_weight"


def test_safetensors_of_every_float_are_read_and_damage_is_told(tmp_path):
    import ml_dtypes

    path = tmp_path / "x.safetensors"
    arrays = {
        "half": np.array([1.5, -2], "float16"),
        "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
        "double": np.array([[0.1]]),
    }
    safetensors.numpy.save_file(arrays, path)
    read = read_checkpoint(path)
    assert {name: array.astype("float64").tolist() for name, array in read.items()} == {
        "half": [1.5, -2],
        "brain": [1.5, -2],
        "double": [[0.1]],
    }
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="x.safetensors is unreadable"):
        read_checkpoint(path)
    with pytest.raises(FileNotFoundError, match="no file of weights: .*y.safetensors"):
        read_checkpoint(tmp_path / "y.safetensors")
