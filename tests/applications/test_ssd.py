import sys

import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from kmed.applications.fcn import BACKBONES
from kmed.applications.ssd import TORCHVISION, ssd, ssd300, ssd512
from kmed.applications.vgg import vgg16
from kmed.codecs.ssd import SSDCodec
from kmed.export import export_tflite, operators, run_tflite
from kmed.losses.multibox import MultiboxLoss
from kmed.weights import load_torchvision

TINY = {"backbone": "vgg11", "backbone_options": {"filters": (4,) * 5}, "extra_filters": (8,)}
# SSD300 and SSD512 of few channels.
FEW = {"filters": (2, 2, 3, 4, 4), "dense_filters": 4}
MEAN = np.array([0.48235, 0.45882, 0.40784], "float32")  # of torchvision's SSD


@pytest.fixture(scope="module", autouse=True)
def zeros():
    """Random numbers for networks of full size take seconds, and nobody looks at them."""

    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.initializers.VarianceScaling, "__call__", call)
        yield


def tiny(shape=(64, 64, 1), classes=2, **options):
    return ssd(input_shape=shape, classes=classes, **TINY | options)


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def with_random_weights(network):
    random = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            shapes = [w.shape for w in layer.weights]
            scales = [np.sqrt(2 / np.prod(shapes[0][:-1])), 0.1]
            pairs = zip(shapes, scales, strict=False)
            layer.set_weights([scale * random.normal(size=shape) for shape, scale in pairs])
    return network


def layers_of(network, kind):
    return [layer for layer in network.layers if isinstance(layer, kind)]


def test_ssd300_gives_what_torchvision_gives(goldens, golden_weights, golden_image):
    network = ssd300()
    assert network.count_params() == 26_285_486
    assert network.output_shape == (None, 8732, 25)
    weights = golden_weights(network, TORCHVISION, 0.01)
    fit = load_torchvision(network, weights, TORCHVISION)
    assert len(fit.loaded) == len(network.weights) == len(weights)
    assert fit[1:] == ((), (), (), ())
    x = (golden_image("ssd", 300, 300) - MEAN) * 255
    predictions = np.array(network(x[None]))[0]
    with np.load(goldens / "ssd300_vgg16.npz") as golden:
        for ours, name in (
            (predictions[:, :4], "bbox_regression"),
            (predictions[:, 4:], "cls_logits"),
        ):
            theirs = golden[name]
            assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max(), name


def test_the_variants_have_their_parameters():
    network = ssd512()
    assert network.count_params() == 27_188_676
    assert network.output_shape == (None, 24_564, 25)
    assert ssd300(classes=90).count_params() == 35_641_826


@pytest.mark.parametrize(
    ("build", "size", "boxes"),
    [(ssd300, 300, 8732), (ssd512, 512, 24_564), (ssd300, 268, None), (ssd512, 268, None)],
)
def test_the_codec_reads_the_authors_networks(build, size, boxes):
    extras = (4,) * (4 if build is ssd300 else 5)
    network = build(input_shape=(size, size, 3), extra_filters=extras, **FEW)
    codec = SSDCodec.of(network)
    assert network.output_shape[1] == len(codec.default_boxes)
    if boxes is not None:
        authors = SSDCodec.ssd300() if build is ssd300 else SSDCodec.ssd512()
        assert len(codec.default_boxes) == boxes and codec.get_config() == authors.get_config()


def test_its_body_is_the_papers():
    network = ssd300(extra_filters=(4,) * 4, **FEW)
    sizes = {
        layer.name: layer.output.shape[1] for layer in layers_of(network, keras.layers.MaxPooling2D)
    }
    # The third pooling rounds 75 up; the fifth keeps the size.
    assert sizes == {f"block{i}_pool": n for i, n in enumerate((150, 75, 38, 19, 19), start=1)}
    last = network.get_layer("block5_pool")
    assert last.pool_size == (3, 3) and last.strides == (1, 1)
    assert network.get_layer("fc6_conv").dilation_rate == (6, 6)
    assert network.get_layer("fc6_conv").kernel_size == (3, 3)
    (scaled,) = [n for n in network.layers if type(n).__name__ == "ScaledL2Normalization"]
    assert scaled.input is network.get_layer("block4_relu3").output  # conv4_3
    np.testing.assert_array_equal(scaled.scale, np.full(4, 20.0))
    heads = [network.get_layer(f"head{i}_boxes") for i in range(6)]
    assert heads[0].input is scaled.output
    assert heads[1].input is network.get_layer("fc7_relu").output
    assert [head.output.shape[1] for head in heads] == [38, 19, 10, 5, 3, 1]
    assert [head.filters // 4 for head in heads] == [4, 6, 6, 6, 4, 4]


def test_the_third_pooling_keeps_the_last_row():
    # The 75th row and column, alone in its window, is still seen.
    network = ssd300(extra_filters=(4,) * 4, **FEW)
    pool = network.get_layer("block3_pool")
    x = np.zeros((1, 75, 75, 1), "float32")
    x[0, 74, 74] = 3
    assert np.array(pool(x))[0, 37, 37, 0] == 3


@pytest.mark.parametrize("backbone", ["vgg11", "resnet18", "resnet50", "alexnet"])
def test_stands_on_any_backbone(backbone):
    assert backbone in BACKBONES
    few = {"width": 4} if backbone.startswith("resnet") else {"filters": (4,) * 5}
    network = ssd(
        input_shape=(75, 100, 1), classes=3, backbone=backbone, backbone_options=few,
        extra_filters=(8,),
    )  # fmt: skip
    codec = SSDCodec.of(network)
    assert network.output_shape == (None, len(codec.default_boxes), 8)
    assert codec.size == (75, 100) and codec.class_count(network.output) == 3
    assert np.isfinite(network(image(1, 75, 100, 1))).all()


def test_options_beyond_the_paper():
    ratios = [(2,), (1.5, 2, 3), ()]
    network = tiny(levels=("P2", "P3"), extra_filters=(8,), aspect_ratios=ratios, head_filters=6,
                   pyramid_channels=5)  # fmt: skip
    codec = SSDCodec.of(network, aspect_ratios=ratios)
    assert codec.feature_sizes == ((16, 16), (8, 8), (4, 4))
    assert network.output_shape[1] == len(codec.default_boxes) == 4 * 256 + 8 * 64 + 2 * 16
    assert network.get_layer("head2_conv").filters == 6
    assert network.get_layer("fpn_p2_output").filters == 5
    assert not any("block4" in layer.name for layer in network.layers)  # nobody looks at it


def test_trains_by_fit():
    network = with_random_weights(tiny())
    codec = SSDCodec.of(network)
    boxes = [[[4, 6, 30, 40], [30, 30, 60, 60]], [[0, 0, 0, 0], [10, 10, 18, 18]]]
    objects = {"boxes": np.array(boxes, "float32"), "labels": np.array([[0, 1], [-1, 1]])}
    dataset = tf.data.Dataset.from_tensor_slices((image(2, 64, 64, 1), objects)).batch(2)
    dataset = dataset.map(lambda x, y: (x, codec.targets(y))).repeat(8)
    watched = {
        name: network.get_layer(name) for name in ("block1_conv1", "head0_classes", "head0_boxes")
    }
    before = {name: layer.get_weights()[0] for name, layer in watched.items()}
    network.compile(keras.optimizers.Adam(0.01), MultiboxLoss(), jit_compile=False)
    first, last = network.fit(dataset, epochs=2, verbose=0, shuffle=False).history["loss"]
    assert last < first
    for name, layer in watched.items():
        assert np.abs(layer.get_weights()[0] - before[name]).max() > 0, name


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_predictions_stay_float32_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    predictions = with_random_weights(tiny())(image(1, 64, 64, 1))
    assert predictions.dtype == "float32" and np.isfinite(predictions).all()


def test_tflite_has_it_built_in(tmp_path):
    network = with_random_weights(tiny(pyramid_channels=4))
    codec = SSDCodec.of(network)
    boxes, scores = codec.decode(network.output)
    network = keras.Model(network.input, {"boxes": boxes, "scores": scores})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert not [n for n in operators(path) if n.startswith(("Flex", "custom:"))]
    x = image(1, 64, 64, 1)
    expected, result = network(x), run_tflite(path, x[0])
    np.testing.assert_allclose(result["boxes"], expected["boxes"][0], atol=1e-3)
    np.testing.assert_allclose(result["scores"], expected["scores"][0], atol=1e-5)


def test_weights_from_a_file_and_saving(tmp_path):
    first, x = with_random_weights(tiny()), image(1, 64, 64, 1)
    first.save_weights(tmp_path / "a.weights.h5")
    second = tiny(weights=tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(first(x), second(x))
    network = with_random_weights(ssd300(extra_filters=(4,) * 4, **FEW))
    network.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    x = image(1, 300, 300, 3)
    np.testing.assert_array_equal(again(x), network(x))


def test_torchvisions_file_with_other_classes(tmp_path, golden_weights):
    few = FEW | {"extra_filters": (4,) * 4}
    weights = golden_weights(ssd300(**few), TORCHVISION)
    safetensors.numpy.save_file(weights, tmp_path / "ssd.safetensors")
    with pytest.warns(UserWarning, match="head.*_classes.*stays as initialised"):
        network = ssd300(classes=3, weights=tmp_path / "ssd.safetensors", **few)
    ours = network.get_layer("head5_boxes").bias
    theirs = weights["head.regression_head.module_list.5.bias"]
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="torchvision has no network of the structure"):
        ssd300(normalization="batch", weights=tmp_path / "ssd.safetensors", **few)


def test_imagenet_weights_are_vggs(monkeypatch):
    def build(*, weights, **options):
        assert weights == "imagenet"
        return with_random_weights(vgg16(**options))

    monkeypatch.setattr(sys.modules[ssd300.__module__], "vgg16", build)
    network = ssd300(weights="imagenet", extra_filters=(4,) * 4, **FEW)
    expected = with_random_weights(vgg16(include_top=False, filters=FEW["filters"]))
    for name in ("block1_conv1", "block5_conv3"):
        ours, theirs = network.get_layer(name).kernel, expected.get_layer(name).kernel
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (ssd, {"backbone": "vgg8"}, "one of alexnet, .*received 'vgg8'"),
        (ssd, {"backbone_options": {"classes": 3}}, r"cannot set \['classes'\]"),
        (ssd, {"backbone_options": {"filters": 3}}, "no argument 'filters'"),
        (ssd, {"levels": ("P3", "P9")}, "`levels` must be of P1, .*received .*P9"),
        (ssd, {"levels": ()}, r"which resnet18 has; received \(\)"),
        (ssd, {"extra_filters": (8, 0)}, r"`extra_filters\[1\]` must be at least 1; received 0"),
        (ssd, {"head_filters": 0}, "`head_filters` must be at least 1; received 0"),
        (ssd, {"aspect_ratios": [(2,)]}, "of 6 levels, extra ones too; received 1"),
        (ssd, {"input_shape": (None, 64, 3)}, "must be known, .*None, 64"),
        (ssd, {"classes": 0}, "at least 1; received 0"),
        (ssd300, {"input_shape": (256, 300, 3)}, "at least 268"),
        (ssd300, {"filters": (2, 2)}, "five positive numbers.*received"),
        (ssd512, {"extra_filters": (4, 4, 4, 4)}, "`extra_filters` 5; received"),
    ],
)
def test_refuses_what_does_not_fit(build, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build(**arguments)
