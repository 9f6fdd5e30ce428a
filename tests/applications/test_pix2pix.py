import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.pix2pix import authors_names, pix2pix_generator
from kmed.export import export_saved_model, export_tflite, run_tflite
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix


def image(*shape):
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def small(shape=(32, 32, 1), **options):
    return pix2pix_generator(shape, **{"filters": 4} | options)


def dropouts(network):
    return [layer.name for layer in network.layers if isinstance(layer, keras.layers.Dropout)]


def test_gives_what_the_authors_network_gives(goldens, golden_weights, golden_image, monkeypatch):
    # Random numbers for fifty million weights take seconds, and every one is replaced.
    monkeypatch.setattr(
        keras.initializers.RandomNormal, "__call__", lambda self, shape, dtype: np.zeros(shape)
    )
    network, names = pix2pix_generator(), authors_names(8)
    arrays = dict(golden_weights(network, names))
    arrays["model.model.3.weight"] = 0.1 * arrays["model.model.3.weight"]
    fit = load_cyclegan_pix2pix(network, arrays, names)
    assert len(fit.loaded) == len(network.weights) and fit[1:] == ((), (), (), ())
    assert dropouts(network) == ["up6_dropout", "up5_dropout", "up4_dropout"]
    count = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    with np.load(goldens / "cyclegan_pix2pix.npz") as golden:
        assert count == golden["pix2pix_generator_256_parameters"] == 54_413_955
        x = 2 * golden_image("gan", 256, 256)[None] - 1
        found = np.array(network(x, training=False))[0, ::4, ::4]
        np.testing.assert_allclose(found, golden["pix2pix_generator_256"], atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((128, 128, 1), 7), ((96, 64, 1), 5), ((512, 512, 1), 8), ((8, 16, 16, 1), 3)],
)
def test_halves_as_often_as_the_size_allows_up_to_the_papers_eight(shape, levels):
    network = pix2pix_generator(shape, filters=1)
    smallest = network.get_layer(f"down{levels - 1}_conv").output.shape
    assert smallest[1:-1] == tuple(size // 2**levels for size in shape[:-1])
    assert len(dropouts(network)) == max(levels - 5, 1)
    assert not any(layer.name.startswith(f"down{levels}") for layer in network.layers)


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((32, 64, 2), {"outputs": 3}),
        ((8, 16, 16, 1), {"outputs": 2}),
        ((32, 32, 1), {"normalization": "instance"}),
        ((32, 32, 1), {"normalization": None, "levels": 3}),
        ((32, 32, 1), {"batch_statistics_at_test": True, "dropout_at_test": True}),
    ],
)
@pytest.mark.parametrize("training", [True, False])
def test_gives_images_of_the_inputs_size(shape, options, training):
    y = small(shape, **options)(image(2, *shape), training=training)
    assert y.shape == (2, *shape[:-1], options.get("outputs", shape[-1]))
    assert y.dtype == "float32" and np.abs(y).max() <= 1


def test_open_sizes():
    fixed, free = small((16, 24, 1)), small((None, None, 1), levels=3)
    free.set_weights(fixed.get_weights())
    np.testing.assert_allclose(fixed(image(1, 16, 24, 1)), free(image(1, 16, 24, 1)), atol=1e-6)


def test_has_biases_and_scales_as_the_authors():
    batch, instance = small(), small(normalization="instance")
    for network, bias in ((batch, False), (instance, True)):
        assert network.get_layer("down0_conv").use_bias is bias
        assert network.get_layer("up1_conv").use_bias is bias
        assert network.get_layer("image_conv").use_bias
    assert not any("norm" in weight.path for weight in instance.weights)
    assert not any(layer.name in ("down0_norm", "down4_norm") for layer in batch.layers)


def test_dropout_is_on_at_test_only_if_asked_for(tmp_path):
    x = image(1, 32, 32, 1)
    plain, noisy = small(), small(dropout_at_test=True)
    np.testing.assert_array_equal(plain(x, training=False), plain(x, training=False))
    assert np.abs(plain(x, training=True) - plain(x, training=True)).max() > 0
    assert np.abs(noisy(x, training=False) - noisy(x, training=False)).max() > 0
    assert dropouts(small(dropout=0.0)) == []
    named = keras.Model(noisy.input, {"image": noisy.output})
    served = tf.saved_model.load(export_saved_model(named, tmp_path / "saved", "translate"))
    first, second = (
        served.signatures["translate"](image=tf.constant(x))["image"] for _ in range(2)
    )
    assert np.abs(first - second).max() > 0


def test_batch_statistics_at_test_are_those_of_a_batch_of_the_image():
    network = small(batch_statistics_at_test=True, dropout=0.0)
    x = image(2, 32, 32, 1)
    at_test = network(x, training=False)
    for i in range(2):
        np.testing.assert_allclose(
            at_test[i : i + 1], network(x[i : i + 1], training=True), atol=1e-5
        )
    assert np.abs(at_test - network(x, training=True)).max() > 1e-3


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_gives_float32_images(policy):
    keras.config.set_dtype_policy(policy)
    network = small()
    assert network.get_layer("down1_conv").compute_dtype == policy.removeprefix("mixed_")
    y = network(image(1, 32, 32, 1), training=True)
    assert y.dtype == "float32" and np.isfinite(y).all()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ((32, 32, 1), {}),
        ((8, 16, 16, 1), {"normalization": "instance"}),
        ((32, 32, 1), {"batch_statistics_at_test": True}),
    ],
)
def test_tflite_has_built_in_operators_and_agrees(shape, options, tmp_path):
    network, x = small(shape, **options), image(1, *shape)
    (found,) = run_tflite(export_tflite(network, tmp_path / "a.tflite"), x[0]).values()
    np.testing.assert_allclose(found, network(x, training=False)[0], atol=1e-4)


def test_is_the_same_after_saving_and_cloning(tmp_path):
    network, x = small(batch_statistics_at_test=True), image(1, 32, 32, 1)
    network.save(tmp_path / "a.keras")
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    for again in (keras.models.load_model(tmp_path / "a.keras"), clone):
        np.testing.assert_array_equal(again(x), network(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (36, 36, 1)}, r"3 levels or more; received \(36, 36, 1\) with 2 levels"),
        ({"shape": (48, 48, 1), "levels": 5}, "with 5 levels"),
        ({"shape": (None, None, 1)}, "an open size needs `levels`"),
        ({"shape": (32, 1)}, "height, width, channels"),
        ({"dropout": 1.0}, "received 1.0"),
        ({"filters": 0}, "at least 1; received 0 and None"),
        ({"normalization": "layer"}, "received 'layer'"),
        (
            {"normalization": "instance", "batch_statistics_at_test": True},
            "is for normalization=\"batch\"; received normalization='instance'",
        ),
    ],
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)


def test_layers_start_differently():
    network = small()
    kernels = [w.numpy().ravel()[:8] for w in network.trainable_weights if w.name == "kernel"]
    for i, kernel in enumerate(kernels):
        assert all(np.abs(kernel - other).max() > 1e-3 for other in kernels[:i])
