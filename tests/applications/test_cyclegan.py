import keras
import numpy as np
import pytest

from kmed.applications.cyclegan import authors_names, cyclegan_generator
from kmed.export import export_tflite, operators, run_tflite
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix


def parameters(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def image(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def small(shape=(16, 16, 1), **options):
    return cyclegan_generator(shape, **{"blocks": 1, "filters": 4} | options)


@pytest.mark.parametrize(("blocks", "size"), [(9, 256), (6, 128)])
def test_gives_what_the_authors_network_gives(
    blocks, size, goldens, golden_weights, golden_image, monkeypatch
):
    # Random numbers for millions of weights take seconds, and every one is replaced.
    monkeypatch.setattr(
        keras.initializers.RandomNormal, "__call__", lambda self, shape, dtype: np.zeros(shape)
    )
    network = cyclegan_generator((size, size, 3), blocks=blocks)
    names = authors_names(blocks)
    fit = load_cyclegan_pix2pix(network, golden_weights(network, names), names)
    assert len(fit.loaded) == len(network.weights) and fit[1:] == ((), (), (), ())
    x = 2 * golden_image("gan", size, size)[None] - 1
    with np.load(goldens / "cyclegan_pix2pix.npz") as golden:
        key = f"cyclegan_generator_{blocks}"
        assert parameters(network) == golden[f"{key}_parameters"]
        found = np.array(network(x, training=False))[0, ::4, ::4]
        np.testing.assert_allclose(found, golden[key], atol=1e-4)


def test_has_the_papers_parameters():
    assert parameters(cyclegan_generator(blocks=6)) == 7_837_699


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((16, 24, 2), {"outputs": 3}),
        ((8, 8, 8, 1), {"outputs": 2}),
        ((16, 16, 1), {"padding": "zero", "normalization": "batch"}),
        ((16, 16, 1), {"normalization": None}),
    ],
)
def test_gives_images_of_the_inputs_size(shape, options):
    network = small(shape, **options)
    y = network(image(2, *shape), training=False)
    assert y.shape == (2, *shape[:-1], options.get("outputs", shape[-1]))
    assert y.dtype == "float32" and np.abs(y).max() <= 1


def test_open_sizes():
    fixed, free = small((16, 24, 1)), small((None, None, 1))
    free.set_weights(fixed.get_weights())
    np.testing.assert_allclose(fixed(image(1, 16, 24, 1)), free(image(1, 16, 24, 1)), atol=1e-6)


def test_norms_have_no_parameters_and_batch_norms_have():
    assert not any("norm" in weight.path for weight in small().weights)
    network = small(normalization="batch")
    assert [weight.name for weight in network.get_layer("up0_norm").weights] == [
        "gamma", "beta", "moving_mean", "moving_variance",
    ]  # fmt: skip
    assert network.get_layer("up0_conv").bias is None
    assert network.get_layer("image_conv").bias is not None


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_gives_float32_images(policy):
    keras.config.set_dtype_policy(policy)
    network = small()
    assert network.get_layer("block0_conv1").compute_dtype == policy.removeprefix("mixed_")
    y = network(image(1, 16, 16, 1))
    assert y.dtype == "float32" and np.isfinite(y).all()


@pytest.mark.parametrize("shape", [(16, 16, 1), (8, 8, 8, 1)])
def test_tflite_has_built_in_operators_and_agrees(shape, tmp_path):
    network, x = small(shape), image(1, *shape)
    path = export_tflite(network, tmp_path / "a.tflite")
    assert "MIRROR_PAD" in operators(path)
    (found,) = run_tflite(path, x[0]).values()
    np.testing.assert_allclose(found, network(x, training=False)[0], atol=1e-4)


def test_is_the_same_after_saving(tmp_path):
    network, x = small(), image(1, 16, 16, 1)
    network.save(tmp_path / "a.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "a.keras")(x), network(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (30, 32, 1)}, r"multiples of 4 from 8 on; received \(30, 32, 1\)"),
        ({"shape": (4, 32, 1)}, "from 8 on"),
        ({"shape": (32, 1)}, "height, width, channels"),
        ({"shape": (32, 32, None)}, "known number of channels"),
        ({"blocks": 0}, "at least 1; received 0, 4 and None"),
        ({"outputs": 0}, "received 1, 4 and 0"),
        ({"padding": "same"}, "received 'same'"),
        ({"normalization": "layer"}, "received 'layer'"),
    ],
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_layers_start_differently():
    network = small(blocks=2, normalization="batch")
    for name, mean in (("kernel", 0), ("gamma", 1)):
        values = [w.numpy().ravel() for w in network.trainable_weights if w.name == name]
        assert abs(np.concatenate(values).mean() - mean) < 0.01
        assert abs(np.concatenate(values).std() - 0.02) < 0.005
        for i, one in enumerate(values):
            assert all(np.abs(one[:4] - other[:4]).max() > 1e-3 for other in values[:i])
