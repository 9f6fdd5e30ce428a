import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.patchgan import authors_names, patchgan
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix


def image(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


@pytest.mark.parametrize(
    ("channels", "name", "normalization"), [(3, "gan", "instance"), (6, "gan6", "batch")]
)
def test_gives_what_the_authors_network_gives(
    channels, name, normalization, goldens, golden_weights, golden_image
):
    network = patchgan((256, 256, channels), normalization=normalization)
    names = authors_names(3)
    fit = load_cyclegan_pix2pix(network, golden_weights(network, names), names)
    assert len(fit.loaded) == len(network.weights) and fit[1:] == ((), (), (), ())
    count = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    with np.load(goldens / "cyclegan_pix2pix.npz") as golden:
        key = f"patchgan_{channels}"
        assert count == golden[f"{key}_parameters"]
        x = 2 * golden_image(name, 256, 256, channels)[None] - 1
        found = np.array(network(x, training=False))[0]
        np.testing.assert_allclose(found, golden[key], atol=1e-4)


def test_has_the_papers_parameters():
    for shape, kind, count in (
        ((256, 256, 3), "instance", 2_764_737),
        ((None, None, 6), "batch", 2_768_705),
    ):
        network = patchgan(shape, normalization=kind)
        assert sum(int(np.prod(one.shape)) for one in network.trainable_weights) == count


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field(layers, field):
    size = field + 2 ** (layers + 2)
    size -= size % 2**layers
    network = patchgan((size, size, 1), layers=layers, filters=16, normalization=None)
    for weight in network.trainable_weights:  # positive, so that nothing cancels
        weight.assign(np.abs(weight.numpy()) * 10)
    x = tf.constant(image(1, size, size, 1))
    with tf.GradientTape() as tape:
        tape.watch(x)
        logits = network(x, training=False)
        middle = logits.shape[1] // 2
        logit = logits[0, middle, middle, 0]
    seen = np.abs(tape.gradient(logit, x)[0, ..., 0]) > 0
    for axis in (0, 1):
        (rows,) = np.nonzero(seen.any(axis))
        assert rows[-1] - rows[0] + 1 == len(rows) == field


@pytest.mark.parametrize(
    ("shape", "options", "logits"),
    [
        ((32, 48, 2), {}, (2, 4)),
        ((33, 47, 1), {}, (2, 3)),
        ((16, 16, 16, 1), {"layers": 2}, (2, 2, 2)),
        ((32, 32, 1), {"normalization": None, "spectral": True}, (2, 2)),
        ((16, 16, 16, 2), {"layers": 1, "spectral": True}, (6, 6, 6)),
    ],
)
def test_gives_a_logit_for_each_patch(shape, options, logits):
    network = patchgan(shape, filters=4, **options)
    assert network.output_shape == (None, *logits, 1)
    y = network(image(2, *shape), training=True)
    assert y.shape == (2, *logits, 1) and y.dtype == "float32" and np.isfinite(y).all()


def test_open_sizes():
    fixed = patchgan((32, 40, 1), filters=4)
    free = patchgan((None, None, 1), filters=4)
    free.set_weights(fixed.get_weights())
    x = image(1, 32, 40, 1)
    np.testing.assert_allclose(fixed(x), free(x), atol=1e-5)


@pytest.mark.parametrize("spectral", [False, True])
def test_half_precision_gives_float32_logits(spectral):
    keras.config.set_dtype_policy("mixed_float16")
    network = patchgan((32, 32, 1), filters=4, spectral=spectral)
    assert network.get_layer("conv1").compute_dtype == "float16"
    y = network(image(1, 32, 32, 1), training=True)
    assert y.dtype == "float32" and np.isfinite(y).all()


def test_is_the_same_after_saving(tmp_path):
    network, x = patchgan((32, 32, 1), filters=4, spectral=True), image(1, 32, 32, 1)
    network.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(x), network(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (16, 32, 1)}, r"3 \* 2\*\*layers = 24 .* take fewer `layers`"),
        ({"input_shape": (32, 1)}, "height, width, channels"),
        ({"layers": 0}, "at least 1; received 64 and 0"),
        ({"normalization": "layer"}, "received 'layer'"),
        ({"spectral": True, "weights": "latest_net_D.pth"}, "no network of the structure"),
    ],
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        patchgan(**({"input_shape": (32, 32, 1)} | options))


def test_layers_start_differently():
    network = patchgan((32, 32, 1), filters=4, spectral=True)
    kernels = [w.numpy().ravel()[:8] for w in network.trainable_weights if w.name == "kernel"]
    for i, kernel in enumerate(kernels):
        assert all(np.abs(kernel - other).max() > 1e-3 for other in kernels[:i])
