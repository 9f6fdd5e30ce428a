"""Networks whose explanation is known by hand."""

import keras
import numpy as np

layers = keras.layers


def linear_classifier(shape=(9, 12, 2), filters=4, classes=3, seed=0, strides=1):
    """Convolution, ReLU, global average, dense: Grad-CAM is CAM, whose weights are the dense's."""
    random = np.random.default_rng(seed)
    rank = len(shape) - 1
    conv = (layers.Conv2D if rank == 2 else layers.Conv3D)(
        filters, 3, strides=strides, padding="same", name="conv"
    )
    gap = layers.GlobalAveragePooling2D if rank == 2 else layers.GlobalAveragePooling3D
    image = keras.Input(shape, name="image")
    x = layers.ReLU(name="relu")(conv(image))
    x = layers.Dense(classes, name="logits")(gap(name="average")(x))
    network = keras.Model(image, x, name="linear")
    network.set_weights([random.normal(size=w.shape) for w in network.get_weights()])
    return network


def spot_detector(size=(32, 32), classes=2):
    """Class 1 where anything is brighter than 0.5."""
    image = keras.Input((*size, 1), name="image")
    x = layers.Conv2D(1, 1, activation="relu", name="bright")(image)
    x = layers.Dense(classes, name="logits")(layers.GlobalAveragePooling2D()(x))
    network = keras.Model(image, x, name="spot")
    kernel = np.zeros((1, classes))
    kernel[0, 1] = 1.0
    network.set_weights([np.ones((1, 1, 1, 1)), np.array([-0.5]), kernel, np.zeros(classes)])
    return network


def noise(network, count=2, seed=1):
    shape = network.input_shape[1:]
    return np.random.default_rng(seed).normal(size=(count, *shape)).astype("float32")


def scaled(heat):
    """Positive part, each image's largest value 1."""
    heat = np.maximum(heat, 0)
    largest = heat.reshape(len(heat), -1).max(axis=1).reshape(-1, *[1] * (heat.ndim - 1))
    return heat / np.where(largest > 0, largest, 1)
