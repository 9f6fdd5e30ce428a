import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed import losses
from kmed.applications.segnet import segnet, segnet_basic
from kmed.export import export_tflite, operators, run_tflite

BUILDERS = {"segnet": segnet, "segnet_basic": segnet_basic}
SMALL = {"segnet": {"filters": (4, 4, 6, 8, 8)}, "segnet_basic": {"filters": (4, 4, 6, 8)}}
every_variant = pytest.mark.parametrize("name", BUILDERS)


def small(name, shape=(32, 32, 1), classes=2, **options):
    return BUILDERS[name](input_shape=shape, classes=classes, **SMALL[name], **options)


def image(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize(("build", "parameters"), [(segnet, 29_449_355), (segnet_basic, 1_416_587)])
def test_has_the_references_parameters(build, parameters):
    network = build()
    assert network.output_shape == (None, 360, 480, 11)
    assert sum(int(np.prod(weight.shape)) for weight in network.trainable_weights) == parameters
    # The reference counts scale and shift of a batch normalisation, not its moving statistics.
    statistics = sum(int(np.prod(weight.shape)) for weight in network.non_trainable_weights)
    assert network.count_params() == parameters + statistics


@pytest.mark.parametrize(
    ("name", "size", "normalization"),
    [
        ("segnet", (45, 7), "batch"),
        ("segnet_basic", (32, 48), "batch"),
        ("segnet_basic", (45, 7), None),
        ("segnet_basic", (45, 7), "instance"),
    ],
)
def test_gives_logits_of_the_inputs_size(name, size, normalization):
    known = small(name, (*size, 2), 3, normalization=normalization)
    open_sizes = small(name, (None, None, 2), 3, normalization=normalization)
    open_sizes.set_weights(known.get_weights())
    x = image(1, *size, 2)
    logits = known(x)
    assert logits.shape == (1, *size, 3) and logits.dtype == "float32"
    np.testing.assert_allclose(open_sizes(x), logits, atol=1e-5)


def test_pools_and_unpools_sizes_as_the_reference_does():
    # 45 rows are pooled to 23 and unpooled to 45 again: `upsample_h: 45` of the Caffe model.
    network = segnet(input_shape=(360, 480, 3), filters=(1, 1, 1, 1, 1))
    shapes = {layer.name: layer.output for layer in network.layers}
    assert shapes["block5_pool"][0].shape[1:3] == (12, 15)
    assert shapes["decoder5_unpool"].shape[1:3] == (23, 30)
    assert shapes["decoder4_unpool"].shape[1:3] == (45, 60)
    basic = segnet_basic(filters=(1, 1, 1, 1))
    assert not [
        layer.name for layer in basic.layers if "decoder" in layer.name and "relu" in layer.name
    ]
    assert [layer.name for layer in network.layers if "relu" in layer.name][-1] == "decoder1_relu2"


def test_unpools_with_the_indices_of_the_encoder():
    # Without its convolutions the outermost pair keeps each window's maximum where it was.
    network = segnet_basic(input_shape=(8, 8, 1), filters=(2, 2, 2, 2), normalization=None)
    found = keras.Model(
        network.input,
        [network.get_layer(n).output for n in ("block1_relu1", "decoder1_unpool")]
        + [network.get_layer("decoder2_conv1").output],
    )
    before, after, values = found(image(2, 8, 8, 1))
    _, places = tf.nn.max_pool_with_argmax(before, 2, 2, "VALID")
    expected = np.zeros((2, 8 * 8 * 2), "float32")
    for row, place, value in zip(expected, np.array(places), np.array(values), strict=True):
        row[place.ravel()] = value.ravel()
    np.testing.assert_array_equal(after, expected.reshape(2, 8, 8, 2))


@every_variant
def test_without_top_gives_the_decoders_pyramid(name):
    pyramid = small(name, (45, 32, 1), include_top=False).output
    sizes = [45, 23, 12, 6, 3, 2][: len(pyramid)]
    assert {n: x.shape[1] for n, x in pyramid.items()} == {f"P{i}": n for i, n in enumerate(sizes)}


@every_variant
def test_dropout_is_where_bayesian_segnet_has_it(name):
    names = [n.name for n in small(name, dropout=0.5).layers if "dropout" in n.name]
    blocks = (3, 4, 5) if name == "segnet" else (3, 4)
    assert names == [f"block{b}_dropout" for b in blocks] + [
        f"decoder{b}_dropout" for b in reversed(blocks)
    ]


@pytest.mark.parametrize(
    ("name", "mode"), [("segnet", {"run_eagerly": True}), ("segnet_basic", {"jit_compile": True})]
)
def test_one_step_changes_the_weights(name, mode):
    network = small(name)
    before = network.get_weights()
    loss = losses.ClassWeightedCrossEntropy(class_weights=(0.6, 2.0))
    network.compile("adam", loss, **mode)
    x = image(2, 32, 32, 1)
    value = network.train_on_batch(x, (x[..., 0] > 0).astype("int32"))
    assert np.isfinite(value).all()
    kernels = [w.path for w in network.weights if "kernel" in w.path]
    changed = {
        weight.path
        for weight, old in zip(network.weights, before, strict=True)
        if np.abs(keras.ops.convert_to_numpy(weight) - old).max() > 0
    }
    assert set(kernels) <= changed


@pytest.mark.parametrize(
    ("name", "policy"), [("segnet", "mixed_float16"), ("segnet_basic", "mixed_bfloat16")]
)
def test_logits_stay_float32_in_mixed_precision(name, policy):
    keras.config.set_dtype_policy(policy)
    logits = small(name)(image(1, 32, 32, 1))
    assert logits.dtype == "float32" and np.isfinite(logits).all()


@pytest.mark.parametrize(("name", "size"), [("segnet", (27, 38)), ("segnet_basic", (32, 32))])
def test_tflite_has_it_built_in(name, size, tmp_path):
    network = small(name, (*size, 1))
    network = keras.Model(network.input, {"out": network.output})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert not [n for n in operators(path) if n.startswith(("Flex", "custom:"))]
    x = image(1, *size, 1)
    np.testing.assert_allclose(run_tflite(path, x[0])["out"], network(x)["out"][0], atol=1e-4)


@every_variant
def test_weights_from_a_file_and_saving(name, tmp_path):
    first, x = small(name), image(1, 32, 32, 1)
    first.save_weights(tmp_path / "a.weights.h5")
    second = small(name, weights=tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(first(x), second(x))
    first.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(x), first(x))


@every_variant
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"filters": (8, 8)}, r"`filters` must be [45] positive numbers; received \(8, 8\)"),
        ({"input_shape": (8, 32, 32, 1)}, "height, width, channels"),
        ({"classes": 0}, "at least 1; received 0"),
        ({"dropout": 1.0}, "received 1.0"),
        ({"normalization": "layer"}, "received 'layer'"),
    ],
)
def test_refuses_what_does_not_fit(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        BUILDERS[name](**({"input_shape": (32, 32, 1)} | arguments))
