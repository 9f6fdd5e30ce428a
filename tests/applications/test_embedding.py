import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.embedding import POOLINGS, PYRAMIDS, SCORED, embedding
from kmed.export import export_tflite, operators, run_tflite
from kmed.export.planes import pool_in_planes

RESNET = {"width": 2, "stem": "small"}
VGG = {"filters": (2, 3, 4, 5, 6)}
# One of each kind of builder: name -> options, channels of its coarsest features.
KINDS = {
    "alexnet": (VGG, 6),
    "vgg11": (VGG, 6),
    "resnet18": (RESNET, 16),
    "unet": ({"filters": (2, 3, 4)}, 4),
    "segnet": (VGG, 6),
    "segnet_basic": ({"filters": (2, 3, 4, 5)}, 5),
    "fcn32s": ({"backbone_options": VGG, "head_units": (7,)}, 7),
    "fcn8s": ({"backbone": "resnet18", "backbone_options": RESNET}, 16),
    "fcn_resnet50": ({"backbone_options": {"width": 2}, "head_units": 9}, 9),
}


def images(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def small(backbone="resnet18", shape=(64, 64, 1), **options):
    options = {"backbone_options": RESNET, "dimension": 5} | options
    return embedding(backbone=backbone, input_shape=shape, **options)


def test_kinds_stand_for_all_builders():
    def kind(name):
        return name.rstrip("0123456789s").replace("fcn_resnet", "fcn_")

    assert {kind(name) for name in KINDS} == {kind(name) for name in {**PYRAMIDS, **SCORED}}


@pytest.mark.parametrize("backbone", KINDS)
def test_every_kind_of_backbone(backbone):
    options, channels = KINDS[backbone]
    network = small(backbone, backbone_options=options)
    assert network.get_layer("embedding").kernel.shape == (channels, 5)
    assert network.inputs[0].name == "image" and network.output_shape == (None, 5)
    y = np.array(network(images(2, 64, 64, 1), training=False))
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("backbone", "options"), [("resnet18", RESNET), ("unet", {"filters": (2, 3, 4)})]
)
def test_volumes(backbone, options, tmp_path):
    shape = (8, 16, 16, 1)
    network = small(backbone, shape, backbone_options=options, pooling="both")
    volume = images(*shape)
    y = np.array(network(volume[None], training=False))[0]
    path = export_tflite(pool_in_planes(network), tmp_path / "tower.tflite")
    assert not [name for name in operators(path) if name.startswith(("Flex", "custom:"))]
    (found,) = run_tflite(path, volume).values()
    np.testing.assert_allclose(found, y, atol=1e-5)


def test_image_towers_go_through_tflite(tmp_path):
    network = small("vgg11", (32, 32, 1), backbone_options=VGG, projection=6)
    path = export_tflite(network, tmp_path / "tower.tflite")
    for image in (images(32, 32, 1), np.zeros((32, 32, 1), "float32")):
        (found,) = run_tflite(path, image).values()
        np.testing.assert_allclose(found, network(image[None], training=False)[0], atol=1e-5)


def test_a_black_image_has_length_1_too():
    y = small()(np.zeros((1, 64, 64, 1)), training=False)
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)


def given():
    image = keras.Input((8, 6, 2))
    features = keras.layers.Conv2D(3, 3, strides=2, padding="same", name="conv")(image)
    return keras.Model(image, features, name="mine")


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_by_hand(pooling):
    backbone = given()
    network = embedding(backbone=backbone, input_shape=(8, 6, 2), dimension=4, pooling=pooling)
    x = images(3, 8, 6, 2)
    features = np.array(backbone(x))  # (3, 4, 3, 3)
    average, maximum = features.mean(axis=(1, 2)), features.max(axis=(1, 2))
    pooled = {
        "average": average,
        "maximum": maximum,
        "both": np.concatenate([average, maximum], axis=1),
        "flatten": features.reshape(3, -1),
    }[pooling]
    kernel, bias = network.get_layer("embedding").get_weights()
    y = pooled @ kernel + bias
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(network(x), y, rtol=1e-4, atol=1e-6)
    weights = (
        3 * 3 * 2 * 3 + 3 + {"average": 3, "maximum": 3, "both": 6, "flatten": 36}[pooling] * 4
    )
    assert network.count_params() == weights + 4
    assert network.get_layer("conv") is backbone.get_layer("conv")


def test_projection_by_hand():
    network = embedding(backbone=given(), input_shape=(8, 6, 2), dimension=4, projection=7)
    assert network.count_params() == 3 * 3 * 2 * 3 + 3 + (3 + 1) * 7 + (7 + 1) * 4
    x = images(2, 8, 6, 2)
    pooled = np.array(network.get_layer("conv")(x)).mean(axis=(1, 2))
    (first, bias), (last, shift) = (
        network.get_layer(name).get_weights() for name in ("projection", "embedding")
    )
    y = np.maximum(pooled @ first + bias, 0) @ last + shift
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(network(x), y, rtol=1e-4, atol=1e-6)


def test_dropout_acts_in_training_only():
    network = embedding(backbone=given(), input_shape=(8, 6, 2), dropout=0.5)
    x = images(16, 8, 6, 2)
    assert np.array_equal(network(x, training=False), network(x, training=False))
    assert not np.array_equal(network(x, training=True), network(x, training=True))


def test_an_image_of_any_size():
    network = small(shape=(None, None, 1))
    assert network(images(1, 40, 56, 1)).shape == (1, 5)


def test_gradients_reach_every_weight():
    # Sixteen channels, since oneDNN's gradients of convolutions of fewer crash now and then.
    options = {"filters": (16,) * 5, "normalization": "batch"}
    network = small("vgg11", (32, 32, 1), backbone_options=options, projection=6, pooling="both")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(network(images(4, 32, 32, 1), training=True) ** 3)
    gradients = tape.gradient(loss, network.trainable_variables)
    for weight, gradient in zip(network.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.isfinite(gradient).all(), weight.path
        assert np.any(gradient), weight.path


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_answers_in_float32(policy):
    keras.config.set_dtype_policy(policy)
    y = np.array(small(projection=6)(images(2, 64, 64, 1), training=False))
    assert y.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 1, rtol=1e-6)


def test_own_weights_and_the_whole_network_are_loaded(tmp_path):
    options = {"backbone": "vgg11", "shape": (32, 32, 1), "backbone_options": VGG}
    network, x = small(**options), images(1, 32, 32, 1)
    network.save_weights(tmp_path / "tower.weights.h5")
    again = small(weights=tmp_path / "tower.weights.h5", **options)
    np.testing.assert_array_equal(again(x), network(x))
    network.save(tmp_path / "tower.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "tower.keras")(x), network(x))


def test_weights_from_elsewhere_go_to_the_backbone(golden_weights, tmp_path):
    from safetensors.numpy import save_file

    from kmed.applications.resnet import TORCHVISION, resnet18

    classifier = resnet18(input_shape=(64, 64, 1), width=2, classes=3)
    arrays = {
        name: np.ascontiguousarray(a) for name, a in golden_weights(classifier, TORCHVISION).items()
    }
    save_file(arrays, tmp_path / "resnet18.safetensors")
    options = {"backbone_options": {"width": 2}, "weights": tmp_path / "resnet18.safetensors"}
    network = small(**options)
    kernel = network.get_layer("stage4_block1_conv2").kernel
    expected = arrays["layer4.1.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(kernel, expected)


def test_signature():
    parameters = inspect.signature(embedding).parameters.values()
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters)


def two_outputs():
    image = keras.Input((8, 6, 2))
    return keras.Model(image, [image, image], name="two")


def flat():
    image = keras.Input((8, 6, 2))
    return keras.Model(image, keras.layers.Flatten()(image), name="flat")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": "resnet19"}, "`backbone` must be one of alexnet.*received 'resnet19'"),
        ({"dimension": 0}, "`dimension` and `projection` must be at least 1; received 0 and None"),
        ({"projection": 0}, "must be at least 1; received 128 and 0"),
        ({"pooling": "mean"}, "`pooling` must be one of average.*received 'mean'"),
        ({"dropout": 1.0}, "`dropout` must be in"),
        ({"input_shape": (64, 64)}, "`input_shape` must be"),
        ({"backbone_options": {"classes": 2}}, r"cannot set \['classes'\]"),
        ({"backbone": "unet", "weights": "imagenet"}, "are for classifiers, not for a U-Net"),
        ({"backbone": given}, r'must fit "mine", which takes \(8, 6, 2\); received \(224'),
        ({"backbone": given, "weights": "imagenet"}, "not for a keras.Model that is given"),
        ({"backbone": given, "backbone_options": {"width": 4}}, r"received \['width'\] beside"),
        ({"backbone": two_outputs}, '"two" has 1 and 2'),
        ({"backbone": flat, "input_shape": (8, 6, 2)}, r'"flat" gives shape \(None, 96\)'),
        (
            {"input_shape": (None, None, 1), "pooling": "flatten", "backbone_options": RESNET},
            'pooling="flatten" needs a known `input_shape`',
        ),
    ],
)
def test_refusals(options, message):
    if callable(options.get("backbone")):
        options = options | {"backbone": options["backbone"]()}
    with pytest.raises(ValueError, match=message):
        embedding(**options)
