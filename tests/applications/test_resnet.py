import json
import re

import keras
import numpy as np
import pytest

from kmed.applications.resnet import TORCHVISION, VARIANTS, resnet, resnet18, resnet50
from kmed.export import export_tflite, operators, run_tflite

SMALL = {"width": 2, "classes": 3}
VERSIONS = ("torchvision", "keras", "v2")
every_version = pytest.mark.parametrize("version", VERSIONS)

# torchvision publishes them with its weights (`num_params`).
COUNTS = {
    18: 11_689_512,
    34: 21_797_672,
    50: 25_557_032,
    101: 44_549_160,
    152: 60_192_808,
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


def unsettle(network):
    """Weights and statistics of batch normalisations that are not 1 and 0."""
    random = np.random.default_rng(1)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for weight in layer.weights:
                low, high = (0.5, 1.5) if weight.name in ("gamma", "moving_variance") else (-1, 1)
                weight.assign(random.uniform(low, high, weight.shape))


@pytest.mark.parametrize("layers", COUNTS)
def test_every_depth_has_its_number_of_parameters(layers, zeros):
    network = VARIANTS[layers]()
    assert trainable(network) == COUNTS[layers]
    assert network.name == f"resnet{layers}"
    assert network.output_shape == (None, 1000)


def test_torchvision_counts_the_same(goldens):
    counts = json.loads((goldens / "parameters.json").read_text())
    assert (counts["resnet18"], counts["resnet50"]) == (COUNTS[18], COUNTS[50])


def test_the_keras_version_has_keras_number_of_parameters(zeros):
    network = resnet50(version="keras")
    assert network.count_params() == 25_636_712
    assert trainable(network) == 25_583_592


def keras_name(name):
    """Name of a layer in keras.applications."""
    fixed = {"stem_conv": "conv1_conv", "stem_norm": "conv1_bn", "final_norm": "post_bn"}
    if name in fixed:
        return fixed[name]
    stage, block, rest = re.fullmatch(r"stage(\d)_block(\d+)_(.+)", name).groups()
    kind = {"conv": "conv", "norm": "bn"}[re.search("conv|norm", rest)[0]]
    part = {"shortcut_": "0", "pre_": "preact"}.get(rest[:-4]) or rest[-1]
    return f"conv{int(stage) + 1}_block{int(block) + 1}_{part}_{kind}"


@pytest.mark.parametrize(
    ("build", "layers", "version"),
    [("ResNet50", 50, "keras"), ("ResNet50V2", 50, "v2")],
)
def test_is_keras_own_resnet(build, layers, version, zeros):
    theirs = getattr(keras.applications, build)(
        include_top=False, weights=None, input_shape=(75, 64, 3)
    )
    ours = VARIANTS[layers](include_top=False, input_shape=(75, 64, 3), version=version)
    assert theirs.count_params() == ours.count_params()
    random = np.random.default_rng(0)
    for layer in (layer for layer in ours.layers if layer.weights):
        other = theirs.get_layer(keras_name(layer.name))
        assert [w.shape for w in layer.weights] == [w.shape for w in other.weights]
        for mine, weight in zip(layer.weights, other.weights, strict=True):
            # Like he_normal for the kernels; variances must be positive.
            fan = np.prod(weight.shape[:-1]) if len(weight.shape) > 1 else 100
            value = random.normal(size=weight.shape) * np.sqrt(2 / fan)
            value = 1 + np.abs(value) if weight.name in ("gamma", "moving_variance") else value
            for target in (mine, weight):
                target.assign(value)
    x = image(1, 75, 64, 3)
    expected = theirs(x).numpy()
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(ours(x)["P5"], expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("layers", [18, 34, 50])
def test_every_layer_with_weights_has_its_torchvision_name(layers):
    network = VARIANTS[layers](input_shape=(32, 32, 3), **SMALL)
    found = {}
    for layer in (layer for layer in network.layers if layer.weights):
        fits = [re.fullmatch(pattern, layer.name) for pattern, _ in TORCHVISION]
        (found[layer.name],) = [
            match.expand(name) for match, (_, name) in zip(fits, TORCHVISION, strict=True) if match
        ]
    assert len(set(found.values())) == len(found)
    assert found["stage2_block1_conv2"] == "layer2.1.conv2"
    assert found["stage2_block0_shortcut_norm"] == "layer2.0.downsample.1"
    # torchvision has a shortcut's convolution wherever shapes change: not in resnet18's layer1.
    assert ("stage1_block0_shortcut_conv" in found) == (layers > 34)


def test_strides_lie_where_each_version_has_them():
    def strides(version, layers=50):
        network = VARIANTS[layers](input_shape=(64, 64, 3), version=version, **SMALL)
        convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
        return {x.name for x in convolutions if x.strides == (2, 2) and "shortcut" not in x.name}

    assert strides("torchvision") == {"stem_conv", *(f"stage{s}_block0_conv2" for s in (2, 3, 4))}
    assert strides("keras") == {"stem_conv", *(f"stage{s}_block0_conv1" for s in (2, 3, 4))}
    last = ("stage1_block2_conv2", "stage2_block3_conv2", "stage3_block5_conv2")
    assert strides("v2") == {"stem_conv", *last}
    last = ("stage1_block1_conv1", "stage2_block1_conv1", "stage3_block1_conv1")
    assert strides("v2", 18) == {"stem_conv", *last}


@every_version
@pytest.mark.parametrize(("layers", "shape"), [(50, (65, 97, 2)), (18, (33, 17, 20, 1))])
def test_the_pyramid_halves_and_rounds_up(layers, version, shape):
    network = resnet(layers=layers, include_top=False, input_shape=shape, version=version, width=2)
    pyramid = network(image(1, *shape))
    assert list(pyramid) == ["P1", "P2", "P3", "P4", "P5"]
    for level, feature in enumerate(pyramid.values(), start=1):
        assert feature.shape[1:-1] == tuple(-(-size // 2**level) for size in shape[:-1])
        assert np.isfinite(feature).all()
    assert pyramid["P5"].shape[-1] == (16 if layers == 18 else 64)


@every_version
def test_the_small_stem_keeps_the_size(version):
    network = resnet18(
        include_top=False, input_shape=(28, 30, 1), version=version, stem="small", width=2
    )
    sizes = {name: tuple(x.shape[1:3]) for name, x in network.output.items()}
    assert sizes == {"P0": (28, 30), "P1": (14, 15), "P2": (7, 8), "P3": (4, 4)}
    assert network.get_layer("stem_conv").kernel.shape[:2] == (3, 3)


@pytest.mark.parametrize(
    ("layers", "version"),
    [(18, "torchvision"), (18, "v2"), (50, "torchvision"), (50, "keras"), (50, "v2")],
)
def test_dilation_computes_the_same_at_the_pixels_that_strides_keep(layers, version):
    options = {"include_top": False, "input_shape": (65, 50, 1), "version": version, "width": 2}
    strided = resnet(layers=layers, **options)
    unsettle(strided)
    x = image(1, 65, 50, 1)
    expected = strided(x)
    for output_stride in (16, 8) if layers == 18 else (8,):
        dilated = resnet(layers=layers, output_stride=output_stride, **options)
        dilated.set_weights(strided.get_weights())
        pyramid = dilated(x)
        assert pyramid["P5"].shape[1:3] == (-(-65 // output_stride), -(-50 // output_stride))
        for name, feature in pyramid.items():
            step = max(1, 2 ** int(name[1]) // output_stride)
            np.testing.assert_allclose(
                feature[:, ::step, ::step], expected[name], rtol=1e-4, atol=1e-4
            )


def test_the_first_block_of_a_stage_is_dilated_as_torchvisions():
    # `replace_stride_with_dilation=[False, True, True]`: 1 then 2 in layer3, 2 then 4 in layer4.
    network = resnet50(input_shape=(64, 64, 3), output_stride=8, **SMALL)
    rates = [
        network.get_layer(f"stage{stage}_block{block}_conv2").dilation_rate[0]
        for stage, block in ((2, 1), (3, 0), (3, 1), (3, 5), (4, 0), (4, 1))
    ]
    assert rates == [1, 1, 2, 2, 2, 4]


@pytest.mark.parametrize(
    ("version", "normalization", "shape"),
    [
        ("torchvision", "batch", (32, 40, 1)),
        ("torchvision", "instance", (16, 20, 12, 2)),
        ("torchvision", None, (32, 40, 1)),
        ("keras", "instance", (32, 40, 1)),
        ("v2", "batch", (16, 20, 12, 2)),
        ("v2", None, (32, 40, 1)),
    ],
)
def test_gives_float32_logits_in_mixed_precision(shape, version, normalization):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = resnet18(
        input_shape=shape, version=version, normalization=normalization, dropout=0.2, **SMALL
    )
    logits = network(image(2, *shape))
    assert (tuple(logits.shape), logits.dtype) == ((2, 3), "float32")
    assert np.isfinite(logits).all()


def test_dropout_stands_before_the_logits():
    names = [layer.name for layer in resnet18(input_shape=(32, 32, 1), dropout=0.3, **SMALL).layers]
    assert names[-3:] == ["pool", "dropout", "logits"]


def test_open_sizes_and_a_single_pixel_are_taken():
    network = resnet18(input_shape=(None, None, 1), **SMALL)
    for size in (1, 45):
        assert np.isfinite(network(image(1, size, 32, 1))).all()


@pytest.mark.parametrize(
    "options",
    [
        {"version": "torchvision"},
        {"version": "v2"},
        {"output_stride": 8},
        {"stem": "small", "input_shape": (8, 12, 10, 1)},
    ],
)
def test_one_step_changes_every_weight(options):
    network = resnet(**({"layers": 18, "input_shape": (32, 40, 1)} | SMALL | options))
    before = [keras.ops.convert_to_numpy(w).copy() for w in network.trainable_weights]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(1e-2), loss, run_eagerly=True)
    value = network.train_on_batch(image(4, *network.input_shape[1:]), np.array([0, 1, 2, 0]))
    assert np.isfinite(value)
    assert all(
        np.abs(w - b).max() > 0 for w, b in zip(network.trainable_weights, before, strict=True)
    )


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 50},
        {"layers": 18, "version": "v2"},
        {"layers": 18, "output_stride": 8},
        {"layers": 18, "stem": "small"},
    ],
)
def test_tflite_agrees(options, tmp_path):
    network = resnet(input_shape=(48, 33, 1), width=4, classes=3, **options)
    unsettle(network)
    network = keras.Model(network.input, {"logits": network.output})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert "CONV_2D" in operators(path)
    x = image(48, 33, 1)
    expected = network(x[None])["logits"][0]
    answer = run_tflite(path, x)["logits"]
    np.testing.assert_allclose(answer, expected, atol=1e-4 * float(np.abs(expected).max()))


def test_survives_saving(tmp_path):
    network = resnet18(input_shape=(32, 32, 1), **SMALL)
    network.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = image(1, 32, 32, 1)
    np.testing.assert_array_equal(again(x), network(x))
    network.save_weights(tmp_path / "m.weights.h5")
    path = str(tmp_path / "m.weights.h5")
    third = resnet18(input_shape=(None, None, 1), weights=path, **SMALL)
    np.testing.assert_allclose(third(x), network(x), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 20}, r"`layers` must be one of \(18, 34, 50, 101, 152\); received 20"),
        ({"version": "v1.5"}, "`version` .*received 'v1.5'"),
        ({"stem": "cifar"}, "`stem` .*received 'cifar'"),
        ({"output_stride": 4}, "`output_stride` .*received 4"),
        ({"output_stride": 8, "input_shape": (64, 64, 64, 1)}, "no dilated 3D convolution"),
        ({"width": 0}, "`width` must be at least 1; received 0"),
        ({"normalization": "layer"}, "received 'layer'"),
        ({"input_shape": (64, 3)}, "height, width, channels"),
        ({"input_shape": (64, 0, 3)}, "at least 1 along every"),
        ({"dropout": 1.0}, "received 1.0"),
        ({"classes": 0}, "received 0"),
    ],
)
def test_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        resnet(**arguments)
