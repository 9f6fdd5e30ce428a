import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.dcgan import dcgan_discriminator, dcgan_generator
from kmed.export import export_saved_model, export_tflite
from kmed.export.tflite import load_tflite


def parameters(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def random(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def labels(*values):
    return np.array(values, "int32")


def small(builder, shape=(32, 32, 1), classes=None, **options):
    if builder is dcgan_generator:
        options = {"latent": 8} | options
    return builder(shape, classes, **{"filters": 4} | options)


def test_has_the_parameters_of_pytorchs_example():
    generator, discriminator = dcgan_generator(), dcgan_discriminator()
    assert (parameters(generator), parameters(discriminator)) == (3_576_704, 2_765_568)
    assert generator.output_shape == discriminator.input_shape == (None, 64, 64, 3)


def test_has_the_papers_channels_and_kernels():
    network = dcgan_generator(filters=128, kernel_size=5)
    shapes = [layer.output.shape[1:] for layer in network.layers if "relu" in layer.name]
    assert shapes == [(4, 4, 1024), (8, 8, 512), (16, 16, 256), (32, 32, 128)]
    assert network.get_layer("up1_conv").kernel.shape == (5, 5, 512, 1024)


def test_weights_start_as_in_the_paper():
    for network, first in ((dcgan_generator(), "start"), (dcgan_discriminator(), "down3_conv")):
        kernel = network.get_layer(first).kernel.numpy()
        assert abs(kernel.mean()) < 1e-3 and abs(kernel.std() - 0.02) < 1e-3
    scale = dcgan_generator().get_layer("start_norm").gamma.numpy()
    assert abs(scale.mean() - 1) < 0.005 and abs(scale.std() - 0.02) < 0.005


@pytest.mark.parametrize("builder", [dcgan_generator, dcgan_discriminator])
def test_layers_start_differently(builder):
    network = (
        small(builder, classes=1, spectral=True)
        if builder is dcgan_discriminator
        else (small(builder, classes=1))
    )
    kernels = [w.numpy().ravel()[:8] for w in network.trainable_weights if w.name == "kernel"]
    for i, kernel in enumerate(kernels):
        assert all(np.abs(kernel - other).max() > 1e-3 for other in kernels[:i])


def test_the_first_layer_is_a_transposed_convolution_of_one_pixel():
    network, z = small(dcgan_generator), random(2, 8)
    start = keras.Model(network.input, network.get_layer("start_reshape").output)
    up = keras.layers.Conv2DTranspose(16, 4, use_bias=False)
    up(z[:, None, None])
    kernel = network.get_layer("start").kernel.numpy().reshape(8, 4, 4, 16)
    up.kernel.assign(kernel.transpose(1, 2, 3, 0))
    np.testing.assert_allclose(start(z), up(z[:, None, None]), atol=1e-6)


def test_normalises_and_activates_where_the_paper_does():
    generator, discriminator = small(dcgan_generator), small(dcgan_discriminator)
    for network, kind, norms in (
        (generator, keras.layers.Activation, ["start_norm", "up1_norm", "up2_norm"]),
        (discriminator, keras.layers.LeakyReLU, ["down1_norm", "down2_norm"]),
    ):
        names = [layer.name for layer in network.layers]
        assert [name for name in names if name.endswith("_norm")] == norms
        activations = [layer for layer in network.layers if isinstance(layer, kind)]
        assert len(activations) == (4 if network is generator else 3)
        assert not any(weight.name == "bias" for weight in network.weights)
    np.testing.assert_allclose(discriminator.get_layer("down0_relu").negative_slope, 0.2)
    critic = small(dcgan_discriminator, normalization=None)
    assert not any("norm" in layer.name for layer in critic.layers)
    assert critic.get_layer("down0_conv").use_bias


@pytest.mark.parametrize("shape", [(32, 64, 1), (128, 128, 3), (256, 256, 1), (32, 32, 64, 2)])
@pytest.mark.parametrize("kernel_size", [4, 5])
def test_sizes(shape, kernel_size):
    options = {"filters": 1, "kernel_size": kernel_size}
    generator = small(dcgan_generator, shape, **options)
    y = generator(random(2, 8), training=True)
    assert y.shape == (2, *shape) and y.dtype == "float32" and np.abs(y).max() <= 1
    assert min(generator.get_layer("start_reshape").output.shape[1:-1]) == 4
    logits = small(dcgan_discriminator, shape, **options)(y, training=True)
    assert logits.shape == (2, 1) and logits.dtype == "float32"


def test_the_generator_makes_different_images_of_different_classes():
    network = small(dcgan_generator, classes=3)
    assert set(network.input) == {"latent", "labels"}
    z = np.repeat(random(1, 8), 3, axis=0)
    y = np.array(network({"latent": z, "labels": labels(0, 1, 1)}))
    assert np.abs(y[0] - y[1]).max() > 0 and np.abs(y[2] - y[1]).max() == 0


def test_projection_adds_the_inner_product_with_a_vector_of_the_class():
    network = small(dcgan_discriminator, classes=3, spectral=False)
    image = np.repeat(random(1, 32, 32, 1), 3, axis=0)
    features = keras.Model(network.input, network.get_layer("flatten").output)
    given = {"image": image, "labels": labels(0, 1, 2)}
    flat = np.array(features(given))[0]
    own = flat @ network.get_layer("projection").kernel.numpy()
    expected = flat @ network.get_layer("logits").kernel.numpy() + own
    np.testing.assert_allclose(np.array(network(given))[:, 0], expected, atol=1e-6)


def test_concatenation_shows_a_channel_for_each_class():
    network = small(dcgan_discriminator, classes=3, conditioning="concatenation")
    joined = keras.Model(network.input, network.get_layer("join").output)
    image = random(2, 32, 32, 1)
    seen = np.array(joined({"image": image, "labels": labels(2, 0)}))
    np.testing.assert_array_equal(seen[..., :1], image)
    np.testing.assert_array_equal(seen[0, ..., 1:], np.broadcast_to([0, 0, 1], (32, 32, 3)))
    np.testing.assert_array_equal(seen[1, ..., 1:], np.broadcast_to([1, 0, 0], (32, 32, 3)))
    volume = small(dcgan_discriminator, (32, 32, 32, 1), 2, conditioning="concatenation", filters=1)
    assert volume({"image": random(1, 32, 32, 32, 1), "labels": labels(1)}).shape == (1, 1)


@pytest.mark.parametrize("conditioning", ["projection", "concatenation"])
def test_every_weight_has_a_dense_gradient(conditioning):
    options = {"conditioning": conditioning, "normalization": None, "spectral": True}
    networks = [
        (
            small(dcgan_discriminator, classes=3, filters=16, **options),
            {"image": random(2, 32, 32, 1), "labels": labels(0, 2)},
        ),
        (
            small(dcgan_generator, classes=3, filters=16),
            {"latent": random(2, 8), "labels": labels(0, 2)},
        ),
    ]
    for network, given in networks:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(network(given, training=True) ** 2)
        weights = [weight.value for weight in network.trainable_weights]
        for gradient in tape.gradient(loss, weights):
            assert isinstance(gradient, tf.Tensor) and np.isfinite(gradient).all()


def test_half_precision_gives_float32_images_and_logits():
    keras.config.set_dtype_policy("mixed_float16")
    generator = small(dcgan_generator, classes=2)
    image = generator({"latent": random(2, 8), "labels": labels(0, 1)}, training=True).numpy()
    assert image.dtype == "float32" and generator.get_layer("up1_conv").compute_dtype == "float16"
    for conditioning in ("projection", "concatenation"):
        options = {"classes": 2, "spectral": True, "conditioning": conditioning}
        network = small(dcgan_discriminator, **options)
        logits = network({"image": image, "labels": labels(0, 1)}, training=True)
        assert logits.dtype == "float32" and np.isfinite(logits).all()


@pytest.mark.parametrize(("shape", "classes"), [((32, 32, 1), 3), ((32, 32, 32, 1), None)])
def test_exports_agree(shape, classes, tmp_path):
    network = small(dcgan_generator, shape, classes, filters=2)
    # At the start images are nearly 0, and so would be any difference.
    network.set_weights([10 * w if w.ndim > 1 else w for w in network.get_weights()])
    given = {"latent": random(3, 8)}
    if classes:
        given["labels"] = labels(0, 2, 1)
    expected = network(given if classes else given["latent"], training=False).numpy()
    assert np.abs(expected).max() > 0.1
    lite = load_tflite(export_tflite(network, tmp_path / "a.tflite"))  # of built-in operators
    first = {name: value[0] for name, value in given.items()}
    (found,) = lite(first if classes else first["latent"]).values()
    np.testing.assert_allclose(found, expected[0], atol=1e-4)
    named = keras.Model(network.input, {"image": network.output})
    served = tf.saved_model.load(export_saved_model(named, tmp_path / "saved", "generate"))
    found = served.signatures["generate"](**{k: tf.constant(v) for k, v in given.items()})
    np.testing.assert_allclose(found["image"], expected, atol=1e-4)


@pytest.mark.parametrize("builder", [dcgan_generator, dcgan_discriminator])
def test_is_the_same_after_saving_and_cloning(builder, tmp_path):
    first = small(builder, classes=3)
    first.save_weights(tmp_path / "a.weights.h5")
    second = small(builder, classes=3, weights=tmp_path / "a.weights.h5")
    first.save(tmp_path / "a.keras")
    clone = keras.models.clone_model(first)
    clone.set_weights(first.get_weights())
    given = {"latent": random(2, 8), "image": random(2, 32, 32, 1), "labels": labels(0, 2)}
    given = {name: given[name] for name in first.input}
    for network in (second, keras.models.load_model(tmp_path / "a.keras"), clone):
        np.testing.assert_array_equal(network(given), first(given))


@pytest.mark.parametrize(
    ("builder", "options", "message"),
    [
        (dcgan_generator, {"shape": (48, 64, 1)}, r"powers of two .*; received \(48, 64, 1\)"),
        (dcgan_generator, {"shape": (16, 16, 1)}, "from 32 to 256"),
        (dcgan_discriminator, {"shape": (512, 512, 1)}, "from 32 to 256"),
        (dcgan_discriminator, {"shape": (None, 32, 1)}, "from 32 to 256"),
        (dcgan_generator, {"shape": (32, 1)}, "height, width, channels"),
        (dcgan_generator, {"latent": 0}, "`latent` must be at least 1; received 0"),
        (dcgan_generator, {"classes": 0}, "`classes` must be None or at least 1; received 0"),
        (dcgan_generator, {"filters": 0}, "received 0"),
        (dcgan_discriminator, {"kernel_size": 3}, r"one of \(4, 5\); received 3"),
        (dcgan_discriminator, {"conditioning": "sum"}, "received 'sum'"),
        (dcgan_discriminator, {"normalization": "layer"}, "received 'layer'"),
    ],
)
def test_refuses_what_does_not_fit(builder, options, message):
    with pytest.raises(ValueError, match=message):
        small(builder, **options)
