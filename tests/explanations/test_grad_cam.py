import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.unet import unet
from kmed.explanations import grad_cam
from kmed.uncertainty import ensemble, monte_carlo_dropout
from kmed.uncertainty import test_time_augmentation as mirrored

from .conftest import linear_classifier, noise, scaled

layers = keras.layers
mirrored.__test__ = False


def cam(network, x, classes):
    """Zhou et al. 2016: the feature maps weighted by the dense layer's weights of a class."""
    features = np.asarray(keras.Model(network.input, network.get_layer("relu").output)(x))
    kernel = network.get_layer("logits").get_weights()[0]
    return scaled(np.stack([f @ kernel[:, c] for f, c in zip(features, classes, strict=True)]))


@pytest.mark.parametrize("shape", [(9, 12, 2), (5, 6, 7, 1)])
def test_equals_cam_where_cam_is_defined(shape):
    network = linear_classifier(shape)
    x = noise(network, 3)
    heat = grad_cam(network, x, class_index=1)
    assert heat.shape == (3, *shape[:-1]) and heat.dtype == np.float32
    np.testing.assert_allclose(heat, cam(network, x, [1, 1, 1]), atol=1e-5)
    predicted = np.argmax(network(x), axis=1)
    np.testing.assert_allclose(grad_cam(network, x), cam(network, x, predicted), atol=1e-5)
    np.testing.assert_allclose(
        grad_cam(network, x, class_index=[0, 1, 2]), cam(network, x, [0, 1, 2]), atol=1e-5
    )


def test_resized_as_tensorflow_resizes():
    network = linear_classifier((16, 24, 2), strides=4)
    x = noise(network)
    small = keras.Model(network.input, network.get_layer("relu").output)(x)
    small = small @ network.get_layer("logits").kernel[:, :1]
    expected = scaled(tf.image.resize(small, (16, 24)).numpy()[..., 0])
    np.testing.assert_allclose(grad_cam(network, x, class_index=0), expected, atol=1e-5)


def test_plus_plus_against_the_formula():
    """Equation 19, one cell after the other, derivatives of exp(S) written out."""
    network = linear_classifier((5, 6, 1))
    x = noise(network, 1)
    deep = keras.Model(network.input, [network.get_layer("relu").output, network.output])
    with tf.GradientTape() as tape:
        tape.watch(image := tf.constant(x))
        features, logits = deep(image)
        score = logits[0, 2]
    slope = tape.gradient(score, features)[0].numpy().astype("float64")
    features, y = features[0].numpy().astype("float64"), np.exp(float(score))
    weights = np.zeros(features.shape[-1])
    for k in range(features.shape[-1]):
        for i in range(5):
            for j in range(6):
                first = y * slope[i, j, k]
                second, third = y * slope[i, j, k] ** 2, y * slope[i, j, k] ** 3
                alpha = second / (2 * second + features[..., k].sum() * third)
                weights[k] += alpha * max(first, 0)
    heat = grad_cam(network, x, class_index=2, variant="grad_cam++")
    np.testing.assert_allclose(heat, scaled((features @ weights)[None]), atol=1e-5)


def test_without_evidence_all_is_zero():
    network = linear_classifier()
    kernel, bias = network.get_layer("logits").get_weights()
    kernel[:, 2] = -np.abs(kernel[:, 2])
    network.get_layer("logits").set_weights([kernel, bias])
    for variant in ("grad_cam", "grad_cam++"):
        assert not grad_cam(network, noise(network), class_index=2, variant=variant).any()


@pytest.mark.parametrize("variant", ["grad_cam", "grad_cam++"])
def test_a_network_that_looks_at_one_corner(variant):
    image = keras.Input((32, 32, 1), name="image")
    x = layers.Conv2D(3, 3, strides=4, padding="same", activation="relu", name="conv")(image)
    corner = layers.Cropping2D(((0, 4), (4, 0)))(x)  # above and right
    network = keras.Model(image, layers.Dense(2)(layers.Flatten()(corner)))
    network.set_weights([np.abs(w) for w in network.get_weights()])
    x = np.zeros((1, 32, 32, 1))
    x[0, 4:9, 22:27] = 1
    heat = grad_cam(network, x, class_index=0, variant=variant)[0]
    assert heat[:16, 16:].sum() > 0.9 * heat.sum() > 0


def test_one_logit_has_two_classes():
    network = linear_classifier(classes=1)
    x = noise(network, 4)
    features = np.asarray(keras.Model(network.input, network.get_layer("relu").output)(x))
    kernel = network.get_layer("logits").get_weights()[0][:, 0]
    for c, sign in ((1, 1), (0, -1)):
        heat = grad_cam(network, x, class_index=c)
        np.testing.assert_allclose(heat, scaled(sign * features @ kernel), atol=1e-5)
    signs = np.where(np.asarray(network(x)) > 0, 1, -1)[:, :, None]
    np.testing.assert_allclose(grad_cam(network, x), scaled(signs * (features @ kernel)), atol=1e-5)


@pytest.mark.parametrize("rank", [2, 3])
def test_segmenter_of_one_layer(rank):
    """Logits are W A, so the weights are W's times the share of pixels: the map is W A again."""
    shape = (9, 12, 1) if rank == 2 else (4, 6, 5, 1)
    conv = layers.Conv2D if rank == 2 else layers.Conv3D
    image = keras.Input(shape, name="image")
    features = conv(4, 3, padding="same", activation="relu", name="features")(image)
    network = keras.Model(image, conv(3, 1, name="logits")(features))
    random = np.random.default_rng(0)
    network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])
    x = noise(network)
    a = np.asarray(keras.Model(image, features)(x))
    kernel = network.get_layer("logits").get_weights()[0].reshape(4, 3)
    labels = np.argmax(network(x), axis=-1).reshape(2, -1)
    most = [1 + np.bincount(row, minlength=3)[1:].argmax() for row in labels]
    for chosen, expected in ((None, most), (1, [1, 1]), ([2, 0], [2, 0])):
        heat = grad_cam(network, x, class_index=chosen)
        # A class that no pixel was given has no score.
        found = [c in row for c, row in zip(expected, labels, strict=True)]
        by_hand = np.stack([found[i] * a[i] @ kernel[:, c] for i, c in enumerate(expected)])
        np.testing.assert_allclose(heat, scaled(by_hand), atol=1e-5)


def test_segmenter_over_a_mask_and_without_foreground():
    network = unet(input_shape=(16, 16, 1), classes=3, filters=(3, 4))
    x = noise(network)
    mask = np.zeros((16, 16), "uint8")
    mask[:4, :4] = 1

    def score(logits):
        return tf.reduce_sum(logits[:, :4, :4, 2], axis=(1, 2))

    expected = grad_cam(network, x, score=score)
    np.testing.assert_allclose(grad_cam(network, x, class_index=2, mask=mask), expected, atol=1e-6)
    assert not np.allclose(grad_cam(network, x, class_index=2), expected)
    kernel, bias = network.get_layer("logits").get_weights()
    network.get_layer("logits").set_weights([kernel, bias + [100, 0, 0]])
    assert not grad_cam(network, x).any()


def test_the_bottom_of_a_unet():
    network = unet(input_shape=(16, 16, 1), filters=(3, 4, 5), dropout=0.1)
    x = noise(network)
    bottom = grad_cam(network, x, class_index=1, layer="bottom_dropout")
    np.testing.assert_array_equal(grad_cam(network, x, class_index=1), bottom)
    deep = unet(input_shape=(16, 16, 1), filters=(3, 4, 5), deep_supervision=True)
    expected = grad_cam(deep, x, class_index=1, layer="down2_relu2")
    np.testing.assert_array_equal(grad_cam(deep, x, class_index=1), expected)
    assert expected.any()


def test_sizes_known_at_run_time_only():
    network = unet(input_shape=(None, None, 1), filters=(3, 4))
    assert grad_cam(network, np.ones((1, 12, 20, 1)), class_index=0).shape == (1, 12, 20)


def test_detectors_by_a_score():
    image = keras.Input((16, 16, 1), name="image")
    x = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="c3")(image)
    y = layers.Conv2D(4, 3, strides=2, padding="same", activation="relu", name="c4")(x)
    heads = {"P3": layers.Conv2D(5, 1)(x), "P4": layers.Conv2D(5, 1)(y)}
    network = keras.Model(image, heads, name="detector")
    x = noise(network)

    def score(outputs):
        return tf.reduce_max(outputs["P4"][..., 4], axis=(1, 2))

    heat = grad_cam(network, x, score=score)
    np.testing.assert_array_equal(heat, grad_cam(network, x, score=score, layer="c4"))
    assert heat.any()
    with pytest.raises(ValueError, match="give `score`"):
        grad_cam(network, x)
    with pytest.raises(ValueError, match="one number for each of 2"):
        grad_cam(network, x, score=lambda outputs: outputs["P4"])
    with pytest.raises(ValueError, match="leave `class_index`"):
        grad_cam(network, x, score=score, class_index=1)
    with pytest.raises(ValueError, match="must depend on a feature map"):
        grad_cam(network, x, layer="c4", score=lambda o: tf.reduce_sum(o["P3"], axis=(1, 2, 3)))


def test_inside_of_a_nested_model():
    flat = linear_classifier()
    x = keras.Input((9, 12, 2), name="x")
    body = keras.Model(x, flat.get_layer("relu")(flat.get_layer("conv")(x)), name="body")
    image = keras.Input((9, 12, 2), name="image")
    y = flat.get_layer("logits")(flat.get_layer("average")(body(image)))
    outer = keras.Model(image, y)
    whole = keras.Sequential([keras.Input((9, 12, 2)), outer])
    rows = noise(flat)
    expected = grad_cam(flat, rows)
    for network in (outer, whole):
        np.testing.assert_allclose(grad_cam(network, rows), expected, atol=1e-6)
        heat = grad_cam(network, rows, layer="relu")
        np.testing.assert_allclose(heat, expected, atol=1e-6)


def test_the_network_is_left_as_it_was():
    network = linear_classifier()
    before, nodes = network.get_weights(), [len(one._inbound_nodes) for one in network.layers]
    with pytest.raises(ValueError):
        grad_cam(network, noise(network), class_index=7)
    grad_cam(network, noise(network))
    assert [len(one._inbound_nodes) for one in network.layers] == nodes
    assert not any("call" in vars(one) for one in network.layers)
    for a, b in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_frozen_and_half_precision_networks():
    network = linear_classifier()
    expected = grad_cam(network, noise(network))
    network.trainable = False
    np.testing.assert_array_equal(grad_cam(network, noise(network)), expected)
    keras.config.set_dtype_policy("mixed_float16")
    half = linear_classifier()
    np.testing.assert_allclose(grad_cam(half, noise(half)), expected, atol=0.02)


def test_pooling_at_the_end_costs_no_resolution():
    image = keras.Input((16, 16, 1), name="image")
    x = layers.ReLU(name="relu")(layers.Conv2D(4, 3, padding="same")(image))
    x = layers.Dense(2)(layers.Flatten()(layers.MaxPooling2D(4)(x)))
    network = keras.Model(image, x)
    x = noise(network)
    np.testing.assert_array_equal(grad_cam(network, x), grad_cam(network, x, layer="relu"))


def test_an_ensemble_shows_all_of_its_members():
    members = [linear_classifier(seed=s) for s in (0, 1)]
    network = ensemble(members)
    x = noise(network)
    both = grad_cam(network, x, class_index=1)
    named = grad_cam(network, x, class_index=1, layer=["member0_relu", "member1_relu"])
    np.testing.assert_array_equal(both, named)
    alone = grad_cam(network, x, class_index=1, layer="member1_relu")
    assert not np.allclose(both, alone)
    twice = ensemble([members[0], members[0]])
    expected = grad_cam(members[0], x, class_index=1, score=None)
    heat = grad_cam(twice, x, score=lambda logits: tf.math.log_softmax(logits)[:, 1])
    by_log = grad_cam(members[0], x, score=lambda logits: tf.math.log_softmax(logits)[:, 1])
    np.testing.assert_allclose(heat, by_log, atol=1e-4)
    assert expected.shape == heat.shape


def test_wrapped_networks():
    network = unet(input_shape=(16, 16, 1), filters=(3, 4), dropout=0.2)
    x = noise(network)
    samples = monte_carlo_dropout(network, 3)
    heat = grad_cam(samples, x, class_index=1)
    np.testing.assert_array_equal(heat, grad_cam(samples, x, class_index=1, layer="down1_relu2"))
    with pytest.raises(ValueError, match="before it is wrapped"):
        grad_cam(mirrored(network), x, class_index=1)
    with pytest.raises(ValueError, match="6 samples or mirror images of a batch of 2"):
        grad_cam(samples, x, class_index=1, layer="up0_relu1")


def test_refused():
    network = linear_classifier()
    x = noise(network)
    with pytest.raises(ValueError, match=r'received "rellu". Near it: relu'):
        grad_cam(network, x, layer="rellu")
    with pytest.raises(ValueError, match="received 'cam'"):
        grad_cam(network, x, variant="cam")
    with pytest.raises(ValueError, match="0 to 2.*received 3"):
        grad_cam(network, x, class_index=3)
    with pytest.raises(ValueError, match="one for each of 2"):
        grad_cam(network, x, class_index=[0, 1, 2])
    with pytest.raises(ValueError, match=r"received shape \(9, 12, 2\)"):
        grad_cam(network, x[0])
    with pytest.raises(ValueError, match="not finite"):
        grad_cam(network, x * np.nan, class_index=0)
    with pytest.raises(ValueError, match="for segmenters"):
        grad_cam(network, x, mask=np.ones((9, 12)))
    segmenter = unet(input_shape=(16, 16, 1), filters=(3, 4))
    with pytest.raises(ValueError, match=r"\(16, 16\)"):
        grad_cam(segmenter, noise(segmenter), mask=np.ones((9, 12)))
    image = keras.Input((4, 4, 1), name="image")
    dense = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)), name="dense")
    with pytest.raises(ValueError, match='"dense" must depend on a feature map.*looked at: none'):
        grad_cam(dense, noise(dense))
    a, b = keras.Input((4, 4, 1)), keras.Input((4, 4, 1))
    with pytest.raises(ValueError, match="of one image"):
        grad_cam(keras.Model([a, b], layers.Add()([a, b])), noise(dense))
