"""Small networks with weights as if they had been trained."""

import keras
import numpy as np
import pytest

from kmed.applications.unet import unet

layers = keras.layers


def filled(network, seed=0):
    """Seeded weights, batch statistics that are not those of a new network."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, w.shape) for w in weights])
        elif weights:
            # Signals keep their size through the layers, so that probabilities are not all 0 or 1.
            scale = [np.prod(w.shape[:-1]) ** -0.5 for w in weights]
            drawn = [s * random.normal(size=w.shape) for s, w in zip(scale, weights, strict=True)]
            layer.set_weights(drawn)
    return network


def classifier(classes=3, seed=0, dropout=0.4, name="classifier"):
    image = keras.Input((8, 10, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Dense(classes, name="logits")(x)
    return filled(keras.Model(image, x * 3.0, name=name), seed)


def segmenter(rank=2, classes=3, seed=0, dropout=0.3):
    shape = (16, 24, 1) if rank == 2 else (8, 8, 16, 1)
    network = unet(input_shape=shape, classes=classes, filters=(3, 4), dropout=dropout)
    return filled(network, seed)


def images(network, count=3, seed=1):
    shape = network.input_shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def softmax(logits):
    logits = np.asarray(logits, "float64")
    e = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


@pytest.fixture
def survives(tmp_path):
    """A network like any other, which gives the same numbers when it is saved and loaded."""

    def check(model):
        assert model.inputs[0].name == "image"
        assert model.layers[-1].name == "logits" and model.output.dtype == "float32"
        x = images(model, 2)
        model.save(tmp_path / "model.keras")
        loaded = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_array_equal(model(x, training=False), loaded(x, training=False))

    return check


@pytest.fixture
def exports(tmp_path):
    """As a bundle's network: SavedModel and TFLite's built-in operators agree with Keras."""
    from kmed import preprocessors
    from kmed.export import Bundle, check_agreement, operators

    def check(model):
        rank, classes = len(model.input_shape) - 2, model.output_shape[-1]
        labels = ["background", "liver", "lesion"][: max(classes, 2)]
        size = model.input_shape[1:-1]
        xray = preprocessors.xray(rank=rank)
        bundle = Bundle("wrapped", xray, model, labels=labels, size=size)
        path = bundle.save(tmp_path)
        random = np.random.default_rng(2)
        odd = tuple(n + 3 for n in size)
        raw = [random.uniform(0, 255, (*shape, 1)) for shape in (size, odd)]
        rows = check_agreement(path, raw)
        assert set(rows) == {"saved_model", "tflite"}
        assert not any("Flex" in name for name in operators(path / "model.tflite"))
        return bundle

    return check


@pytest.fixture
def takes_any_size():
    """In a bundle that pads, which rebuilds the network without a fixed size."""
    from kmed import preprocessors
    from kmed.export import Bundle

    def check(model):
        names = ["background", "liver", "lesion"][: max(model.output_shape[-1], 2)]
        options = {"labels": names, "size": model.input_shape[1:-1]}
        fixed = Bundle("wrapped", preprocessors.xray(), model, **options)
        free = Bundle("wrapped", preprocessors.xray(), model, fit="pad", **options)
        assert free.levels == 2
        raw = np.random.default_rng(2).uniform(0, 255, (16, 24, 1))
        np.testing.assert_allclose(free.predict(raw)[1], fixed.predict(raw)[1], atol=1e-6)
        assert free.predict(np.ones((21, 19, 1)))[0].shape == (21, 19)

    return check
