import json

import keras
import numpy as np
import pytest
from scipy.signal import correlate

from kmed.applications.alexnet import TORCHVISION, VARIANTS, alexnet
from kmed.export import export_tflite, operators, run_tflite

SMALL = {"filters": (4, 6, 4, 4, 6), "dense_units": (7, 8), "pooled_size": 2, "classes": 3}
every_variant = pytest.mark.parametrize("variant", VARIANTS)


@pytest.fixture
def zeros(monkeypatch):
    # Random numbers for a network of full size take seconds.
    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.VarianceScaling, "__call__", call)


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(
    ("variant", "count"),
    [("torchvision", 61_100_840), ("paper", 60_965_224), ("paper_ungrouped", 62_378_344)],
)
def test_every_variant_has_its_number_of_parameters(variant, count, zeros):
    network = alexnet(variant=variant)
    assert network.count_params() == count
    assert network.output_shape == (None, 1000)
    assert network.get_layer("fc6").kernel.shape[0] == 9216


def test_torchvision_counts_the_same(goldens, zeros):
    counts = json.loads((goldens / "parameters.json").read_text())
    assert alexnet().count_params() == counts["alexnet"]


def test_sizes_are_the_papers():
    # Section 3.5: 55 after the first convolution, then 27 and 13 (figure 2), 6 at the end.
    pyramid = alexnet(include_top=False, variant="paper").output
    assert {name: tuple(x.shape[1:]) for name, x in pyramid.items()} == {
        "P2": (55, 55, 96),
        "P3": (27, 27, 256),
        "P4": (13, 13, 256),
        "P5": (6, 6, 256),
    }


def plain_convolution(x, kernel, bias, *, stride=1, padding, groups=1):
    x = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    inputs, outputs = kernel.shape[2:]
    maps = []
    for o in range(outputs):
        start = o // (outputs // groups) * inputs
        part = x[..., start : start + inputs]
        maps.append(correlate(part, kernel[..., o], mode="valid")[..., 0] + bias[o])
    return np.maximum(np.stack(maps, -1)[::stride, ::stride], 0)


def plain_response(x):
    squares = x.astype(float) ** 2
    total = [squares[..., max(0, i - 2) : i + 3].sum(-1) for i in range(x.shape[-1])]
    return x / (2 + 1e-4 * np.stack(total, -1)) ** 0.75


def plain_pool(x):
    height, width = ((n - 3) // 2 + 1 for n in x.shape[:2])
    windows = [
        [x[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1)) for j in range(width)]
        for i in range(height)
    ]
    return np.array(windows)


@every_variant
def test_computes_what_the_paper_says(variant):
    network = alexnet(
        variant=variant, include_top=False, input_shape=(70, 67, 2), **{"filters": SMALL["filters"]}
    )
    weights = {layer.name: layer.get_weights() for layer in network.layers}
    groups = 2 if variant == "paper" else 1
    respond = (lambda x: x) if variant == "torchvision" else plain_response
    raw = 100 * image(70, 67, 2)  # large, so that the response normalisation shows

    x = respond(plain_convolution(raw, *weights["conv1"], stride=4, padding=2))
    expected = {"P2": x}
    x = respond(plain_convolution(plain_pool(x), *weights["conv2"], padding=2, groups=groups))
    expected["P3"] = x
    x = plain_convolution(plain_pool(x), *weights["conv3"], padding=1)
    x = plain_convolution(x, *weights["conv4"], padding=1, groups=groups)
    x = plain_convolution(x, *weights["conv5"], padding=1, groups=groups)
    expected |= {"P4": x, "P5": plain_pool(x)}
    for name, feature in network(raw[None]).items():
        scale = np.abs(expected[name]).max()
        assert scale > 1
        np.testing.assert_allclose(feature[0], expected[name], atol=1e-5 * scale)


@every_variant
def test_every_layer_has_its_name(variant):
    network = alexnet(variant=variant, input_shape=(63, 63, 3), **SMALL)
    assert {layer.name for layer in network.layers if layer.weights} == set(TORCHVISION)
    names = {layer.name for layer in network.layers}
    assert {"pool1", "pool2", "pool5"} < names
    assert ({"lrn1", "lrn2"} < names) == (variant != "torchvision")


@every_variant
def test_gives_float32_logits_in_mixed_precision(variant):
    keras.config.set_dtype_policy("mixed_bfloat16")
    network = alexnet(variant=variant, input_shape=(None, None, 1), **SMALL)
    for size in (63, 120):
        logits = network(image(2, size, 80, 1))
        assert (tuple(logits.shape), logits.dtype) == ((2, 3), "float32")


@every_variant
def test_one_step_changes_every_weight(variant):
    network = alexnet(variant=variant, input_shape=(80, 80, 1), dropout=0.0, **SMALL)
    before = network.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.SGD(1e-2), loss, run_eagerly=True)
    assert np.isfinite(network.train_on_batch(image(4, 80, 80, 1), np.array([0, 1, 2, 0])))
    changed = [np.abs(a - b).max() for a, b in zip(before, network.get_weights(), strict=True)]
    assert min(changed) > 0


@every_variant
def test_tflite_agrees(variant, tmp_path):
    network = alexnet(variant=variant, input_shape=(70, 67, 1), **SMALL)
    network = keras.Model(network.input, {"logits": network.output})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert "CONV_2D" in operators(path)
    x = 30 * image(70, 67, 1)
    expected = network(x[None])["logits"][0]
    answer = run_tflite(path, x)["logits"]
    np.testing.assert_allclose(answer, expected, atol=1e-5 * float(np.abs(expected).max()))


def test_survives_saving(tmp_path):
    network = alexnet(variant="paper", input_shape=(63, 63, 1), **SMALL)
    network.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    x = image(1, 63, 63, 1)
    np.testing.assert_array_equal(again(x), network(x))
    network.save_weights(tmp_path / "m.weights.h5")
    third = alexnet(
        variant="paper",
        input_shape=(None, None, 1),
        weights=str(tmp_path / "m.weights.h5"),
        **SMALL,
    )
    np.testing.assert_allclose(third(x), network(x), atol=1e-6)


def test_the_smallest_image_is_taken():
    network = alexnet(include_top=False, input_shape=(63, 63, 1), filters=SMALL["filters"])
    assert network.output["P5"].shape == (None, 1, 1, 6)
    with pytest.raises(ValueError, match="at least 63 along every .*62"):
        alexnet(input_shape=(62, 63, 1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (64, 64, 64, 1)}, r"must be \(height, width, channels\) with a known"),
        ({"variant": "caffe"}, "'paper_ungrouped'.; received 'caffe'"),
        ({"variant": "paper", "filters": (4, 5, 4, 4, 4)}, "divisible by the 2 groups"),
        ({"filters": (4, 4)}, "five positive numbers"),
        ({"pooled_size": 0}, "at least 1"),
        ({"dropout": -0.1}, "received -0.1"),
        ({"classes": 0}, "received 0"),
    ],
)
def test_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        alexnet(**arguments)
