import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.data.sample import Objects
from kmed.ops.suppression import select_detections
from kmed.results.boxes import box_sheet
from kmed.trainers.box_pictures import BoxPictures

IMAGES = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype("float32")
OBJECTS = [
    Objects(boxes=[[4, 4, 12, 12]], labels=[0]),
    Objects(boxes=np.zeros((0, 4)), labels=[]),
]
LABELS = ["cell", "platelet"]


def network():
    """One box of each class per image, everywhere the same at the start; dropout to be off."""
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 1))
    x = keras.layers.GlobalAveragePooling2D()(image)
    x = keras.layers.Dropout(0.5)(x)
    return keras.Model(image, keras.layers.Dense(2, bias_initializer="ones")(x))


def decode(outputs):
    boxes = keras.ops.tile([[[8.0, 8.0, 24.0, 30.0]]], (len(outputs), 1, 1))
    scores = keras.ops.sigmoid(outputs)[:, None]
    return select_detections(boxes, scores, score_threshold=0.1, iou_threshold=0.5)


def draw(images, found, truth):
    return box_sheet(images, found, truth, labels=LABELS, size=64)


def pictures(folder):
    """(step, picture) of every image in TensorBoard's files."""
    events = [
        event
        for file in sorted(folder.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(file))
    ]
    values = [(event.step, value) for event in events for value in event.summary.value]
    return [
        (step, tf.image.decode_png(value.tensor.string_val[2]).numpy()) for step, value in values
    ]


def fit(callback, epochs, first=0):
    model = network()
    model.compile("sgd", "mse", jit_compile=False)
    options = {"epochs": epochs, "initial_epoch": first, "verbose": 0, "callbacks": [callback]}
    model.fit(IMAGES, np.zeros((2, 2), "float32"), **options)
    return model


def test_a_picture_every_so_many_epochs(tmp_path):
    seen = []

    def watched(images, found, truth):
        seen.append((found, truth))
        return draw(images, found, truth)

    callback = BoxPictures(
        IMAGES, OBJECTS, decode=decode, draw=watched, folder=tmp_path / "new", every=2
    )
    model = fit(callback, 3)
    written = pictures(tmp_path / "new")
    assert [step for step, _ in written] == [0, 2]
    found, truth = seen[-1]
    np.testing.assert_array_equal(written[-1][1], draw(list(IMAGES), found, truth))
    assert truth[0]["boxes"].tolist() == [[4, 4, 12, 12]] and len(truth[1]["labels"]) == 0
    assert found[0]["boxes"].shape == (2, 4) and set(found[0]["labels"].tolist()) == {0, 1}
    # The last epoch's weights, without dropout.
    expected = np.sort(1 / (1 + np.exp(-model.predict(IMAGES, verbose=0))))[:, ::-1]
    np.testing.assert_allclose([one["scores"] for one in found], expected, rtol=1e-5)


def test_pictures_change_nothing_of_the_training(tmp_path):
    callback = BoxPictures(IMAGES, OBJECTS, decode=decode, draw=draw, folder=tmp_path)
    with_pictures, without = fit(callback, 3), fit(keras.callbacks.Callback(), 3)
    for a, b in zip(with_pictures.get_weights(), without.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_resumed_training_goes_on(tmp_path):
    for first in (0, 2):
        callback = BoxPictures(IMAGES, OBJECTS, decode=decode, draw=draw, folder=tmp_path)
        fit(callback, first + 2, first)
    assert sorted(step for step, _ in pictures(tmp_path)) == [0, 1, 2, 3]


def test_refused(tmp_path):
    options = {"decode": decode, "draw": draw, "folder": tmp_path}
    with pytest.raises(ValueError, match=r"one entry for each; received \(2, 32, 32, 1\) and 1"):
        BoxPictures(IMAGES, OBJECTS[:1], **options)
    with pytest.raises(ValueError, match="`every` must be at least 1; received 0"):
        BoxPictures(IMAGES, OBJECTS, every=0, **options)
    assert not list(tmp_path.iterdir())
