import keras
import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from kmed import losses
from kmed.applications.fcn import (
    BACKBONES,
    TORCHVISION,
    VARIANTS,
    dilated_fcn,
    fcn,
    fcn8s,
    fcn_resnet50,
)
from kmed.applications.vgg import vgg16
from kmed.export import export_tflite, operators, run_tflite
from kmed.weights import load_torchvision

FILTERS = {"filters": (4, 4, 6, 8, 8)}
SMALL = {"backbone_options": FILTERS, "head_units": (8, 8)}
OTHERS = {  # small networks on other backbones
    "alexnet": {"filters": (4, 4, 4, 4, 4)},
    "vgg11": FILTERS | {"normalization": "batch"},
    "resnet18": {"width": 4},
    "resnet34": {"width": 4, "stem": "small", "output_stride": 8},
}
STRIDES = pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])


def small(name="fcn8s", shape=(32, 32, 1), classes=2, **options):
    if name == "dilated_fcn":
        options = {"backbone_options": {"width": 4}} | options
        return dilated_fcn(input_shape=shape, classes=classes, backbone="resnet18", **options)
    return VARIANTS[name](input_shape=shape, classes=classes, **SMALL | options)


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def values(network):
    return [keras.ops.convert_to_numpy(weight) for weight in network.trainable_weights]


def with_random_scores(network):
    """The network with score layers that do not start at zero."""
    random = np.random.default_rng(1)
    for layer in network.layers:
        if layer.name.startswith("score"):
            layer.set_weights([random.normal(size=w.shape) for w in layer.get_weights()])
    return network


@pytest.fixture
def zeros(monkeypatch):
    # Random numbers for a network of full size take seconds.
    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", call)


def test_has_the_references_parameters(zeros):
    network = fcn8s()
    assert network.count_params() == 134_489_759
    kernels = [layer for layer in network.layers if layer.name.startswith("upscore")]
    assert [layer.kernel.shape for layer in kernels] == [(4, 4, 21, 21)] * 2 + [(16, 16, 21, 21)]
    assert network.count_params() - sum(k.count_params() for k in kernels) == 134_362_751
    dropouts = [n.name for n in network.layers if isinstance(n, keras.layers.Dropout)]
    assert dropouts == ["fc6_dropout", "fc7_dropout"]


@pytest.mark.parametrize(("name", "parameters"), [("fcn32s", 1 * 4096), ("fcn16s", 4096 + 512)])
def test_coarser_networks_have_fewer_scores(name, parameters, zeros):
    network = VARIANTS[name](train_upsampling=False)
    scores = [layer for layer in network.layers if layer.name.startswith("score")]
    assert sum(n.count_params() for n in scores) == 21 * (parameters + len(scores))
    # The last kernel is as the reference's: 64x64 of stride 32, 32x32 of stride 16.
    last = [n for n in network.layers if n.name.startswith("upscore")][-1]
    assert last.strides[0] == int(name[3:5]) and last.kernel_size[0] == 2 * last.strides[0]


@pytest.mark.parametrize(
    ("name", "size"),
    [("fcn8s", (32, 64)), ("fcn8s", (45, 7)), ("fcn32s", (45, 7)), ("dilated_fcn", (45, 7))],
)
def test_gives_logits_of_the_inputs_size(name, size):
    x = image(2, *size, 2)
    known = with_random_scores(small(name, (*size, 2), 3))
    open_sizes = small(name, (None, None, 2), 3)
    open_sizes.set_weights(known.get_weights())
    logits = known(x)
    assert logits.shape == (2, *size, 3) and logits.dtype == "float32"
    np.testing.assert_allclose(open_sizes(x), logits, atol=1e-4)


@pytest.mark.parametrize("backbone", OTHERS)
def test_stands_on_any_backbone(backbone):
    size = (75, 70) if backbone in ("alexnet", "resnet18") else (None, None)
    network = fcn8s(
        input_shape=(*size, 1), classes=3, backbone=backbone, backbone_options=OTHERS[backbone],
        head_units=(8,),
    )  # fmt: skip
    shape = (1, *(n or 77 for n in size), 1)
    assert with_random_scores(network)(image(*shape)).shape == (*shape[:-1], 3)


@STRIDES
def test_logits_start_at_zero(name):
    assert not np.any(small(name)(image(1, 45, 32, 1)[:, :32]))


class Columns(keras.layers.Layer):
    """In place of scores: the column, in image pixels, of the centre of each pixel, or nothing."""

    def __init__(self, stride, **kwargs):
        super().__init__(**kwargs)
        self.stride = stride

    def call(self, x):
        columns = self.stride * (np.arange(x.shape[2], dtype="float32") + 0.5)
        return 0 * x[..., :1] + columns[:, None]


@pytest.mark.parametrize("level", ["P5", "P4", "P3"])
@pytest.mark.parametrize("size", [(32, 96), (7, 115)])
def test_levels_lie_upon_each_other(level, size):
    # Scores that say where they are: enlarged, each pixel says where it is, whichever level the
    # scores come from, except near the border, beyond the outermost centres.
    def clone(layer):
        if layer.name == f"score_{level}":
            return Columns(2 ** int(level[1]), name=layer.name)
        return layer.__class__.from_config(layer.get_config())

    network = small(shape=(*size, 1), classes=1)
    result = keras.models.clone_model(network, clone_function=clone)(image(1, *size, 1))
    padded, border = -(-size[1] // 32) * 32, 2 ** int(level[1])
    columns = np.arange(padded) + 0.5
    inside = (columns > border) & (columns < padded - border)
    start = (padded - size[1]) // 2
    shown = slice(start, start + size[1])
    result = np.array(result)[0, :, inside[shown], 0]
    expected = columns[shown][inside[shown]]
    np.testing.assert_allclose(result, np.tile(expected[:, None], (1, size[0])), rtol=1e-5)


def test_skips_are_scaled_where_nothing_normalizes():
    def scales(network):
        layers = [n for n in network.layers if isinstance(n, keras.layers.Rescaling)]
        return {layer.name: layer.scale for layer in layers}

    reference = {"scale_P4": 0.01, "scale_P3": 0.0001}
    assert scales(small()) == scales(small(scaled_skips=True)) == reference
    assert scales(small(scaled_skips=False)) == {}
    normalized = {"backbone_options": FILTERS | {"normalization": "batch"}}
    assert scales(small(**normalized)) == {}
    assert scales(small(scaled_skips=True, **normalized)) == reference


@pytest.mark.parametrize(
    ("name", "mode"), [("fcn8s", {"jit_compile": False}), ("dilated_fcn", {"run_eagerly": True})]
)
def test_steps_change_the_weights(name, mode):
    more = {"train_upsampling": True, "dropout": 0.0} if name == "fcn8s" else {}
    network = small(name, **more)
    before = values(network)
    network.compile("adam", losses.DiceCrossEntropy(), **mode)
    x = image(2, 32, 32, 1)
    y = (x[..., 0] > 0).astype("int32")
    for _ in range(2):  # behind scores of zero nothing moves in the first
        assert np.isfinite(network.train_on_batch(x, y)).all()
    changed = [
        np.abs(new - old).max() > 0 for new, old in zip(values(network), before, strict=True)
    ]
    assert np.mean(changed) > 0.9


def test_bilinear_kernels_are_fixed_or_trained():
    def trained(network):
        return [w.path for w in network.trainable_weights if "upscore" in w.path]

    assert not trained(small())
    assert len(trained(small(train_upsampling=True))) == 3


@pytest.mark.parametrize(
    ("name", "policy"), [("fcn8s", "mixed_float16"), ("dilated_fcn", "mixed_bfloat16")]
)
def test_logits_stay_float32_in_mixed_precision(name, policy):
    keras.config.set_dtype_policy(policy)
    logits = with_random_scores(small(name))(image(1, 32, 32, 1))
    assert logits.dtype == "float32" and np.isfinite(logits).all()


@pytest.mark.parametrize("name", ["fcn8s", "dilated_fcn"])
def test_tflite_has_it_built_in(name, tmp_path, size=(27, 38)):
    network = with_random_scores(small(name, (*size, 1)))
    network = keras.Model(network.input, {"out": network.output})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert not [n for n in operators(path) if n.startswith(("Flex", "custom:"))]
    x = image(1, *size, 1)
    expected = np.array(network(x)["out"])[0]
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(run_tflite(path, x[0])["out"], expected, atol=tolerance)


@pytest.mark.parametrize("name", ["fcn16s", "dilated_fcn"])
def test_weights_from_a_file_and_saving(name, tmp_path):
    first, x = with_random_scores(small(name)), image(1, 32, 32, 1)
    first.save_weights(tmp_path / "a.weights.h5")
    second = small(name, weights=tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(first(x), second(x))
    first.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(x), first(x))


def test_gives_what_torchvision_gives(goldens, golden_weights, golden_image, zeros):
    network = fcn_resnet50(input_shape=(96, 128, 3))
    trainable = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert trainable == 32_957_013
    weights = golden_weights(network, TORCHVISION)
    weights["aux_classifier.4.weight"] = np.zeros((21, 256, 1, 1), "float32")
    fit = load_torchvision(network, weights, TORCHVISION)
    assert len(fit.loaded) == len(network.weights)
    logits = np.array(network(golden_image("fcn", 96, 128)[None]))[0]
    with np.load(goldens / "fcn_resnet50.npz") as golden:
        difference = np.abs(logits - golden["logits"]).max()
        assert difference < 1e-4 * np.abs(golden["logits"]).max()


def test_dense_layers_of_a_vgg_become_convolutions(tmp_path, golden_weights):
    # One 224x224 image: fc7 of the middle pixel is the classifier's, up to the padding of fc6,
    # which the middle one of 7x7 does not see.
    options = FILTERS | {"dense_units": (8, 8), "classes": 5}
    classifier = vgg16(**options)
    from kmed.applications.vgg import torchvision_names

    weights = golden_weights(classifier, torchvision_names(16))
    load_torchvision(classifier, weights, torchvision_names(16))
    safetensors.numpy.save_file(weights, tmp_path / "vgg16.safetensors")
    with pytest.warns(UserWarning, match="score_P5.*stays as initialised"):
        network = small("fcn32s", (224, 224, 3), weights=tmp_path / "vgg16.safetensors")
    x = image(1, 224, 224, 3)
    ours = keras.Model(network.input, network.get_layer("fc7_relu").output)(x)
    theirs = keras.Model(classifier.input, classifier.get_layer("fc2_relu").output)(x)
    assert np.abs(theirs).max() > 0
    np.testing.assert_allclose(ours[:, 3, 3], theirs, rtol=1e-4, atol=1e-5)


def test_classifiers_become_backbones():
    assert set(BACKBONES) >= {"vgg16", "alexnet", "resnet50"}
    network = fcn8s(input_shape=(64, 64, 3), backbone="resnet18", backbone_options={"width": 4})
    names = [layer.name for layer in network.layers]
    assert "stage4_block1_conv2" in names and "fc6" not in names


@pytest.mark.parametrize(
    ("build", "arguments", "message"),
    [
        (fcn, {"skips": 3}, "0, 1 or 2; received 3"),
        (fcn8s, {"backbone": "vgg8"}, "one of alexnet, .*received 'vgg8'"),
        (fcn8s, {"backbone_options": {"classes": 3}}, r"cannot set \['classes'\]"),
        (fcn8s, {"backbone_options": {"width": 3}}, "no argument 'width'"),
        (fcn8s, {"input_shape": (8, 32, 32, 1)}, "height, width, channels"),
        (fcn8s, {"classes": 0}, "at least 1; received 0"),
        (fcn8s, {"dropout": 1.0}, "received 1.0"),
        (fcn8s, {"head_units": (8, 0)}, "positive numbers; received"),
        (fcn8s, {"backbone": "alexnet", "input_shape": (32, 32, 1)}, "at least 33"),
        (fcn_resnet50, {"head_units": 0}, "at least 1; received 0"),
        (fcn_resnet50, {"backbone_options": {"name": "a"}}, "cannot set"),
    ],
)
def test_refuses_what_does_not_fit(build, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build(**arguments)


def test_graph_of_open_sizes_agrees_with_eager():
    network, x = with_random_scores(small(shape=(None, None, 1))), image(1, 45, 70, 1)
    traced = tf.function(network, input_signature=[tf.TensorSpec((None, None, None, 1))])
    np.testing.assert_allclose(traced(x), network(x), atol=1e-5)
