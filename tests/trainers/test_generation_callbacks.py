import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kmed.metrics.diversity import diversity
from kmed.trainers.generation_callbacks import GeneratedSamples, ModeCollapse

REAL = np.random.default_rng(0).uniform(-1, 1, (12, 8, 8, 1)).astype("float32")


def grid(value):
    return np.full((6, 9, 3), value, np.uint8)


def boards(folder):
    """(step, tag, picture) of every image in TensorBoard's files."""
    events = [
        event
        for file in sorted(folder.glob("events*"))
        for event in tf.compat.v1.train.summary_iterator(str(file))
    ]
    values = [(event.step, value) for event in events for value in event.summary.value]
    return [
        (step, value.tag, tf.image.decode_png(value.tensor.string_val[2]).numpy())
        for step, value in values
    ]


def fit(*callbacks, epochs=3, first=0):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", jit_compile=False)
    options = {"epochs": epochs, "initial_epoch": first, "verbose": 0, "callbacks": callbacks}
    return model.fit(np.ones((2, 1)), np.ones((2, 1)), **options).history


def test_a_picture_every_so_many_epochs(tmp_path):
    drawn = iter(range(1, 9))
    fit(
        GeneratedSamples(
            lambda: grid(next(drawn)), tmp_path / "samples", every=2, board=tmp_path / "board"
        )
    )
    files = sorted((tmp_path / "samples").iterdir())
    assert [file.name for file in files] == ["samples-0001.png", "samples-0003.png"]
    np.testing.assert_array_equal(Image.open(files[1]), grid(2))
    (one, two) = boards(tmp_path / "board")
    assert (one[:2], two[:2]) == ((0, "samples"), (2, "samples"))
    np.testing.assert_array_equal(two[2], grid(2))


def test_a_resumed_training_writes_the_rest(tmp_path):
    for first, epochs in ((0, 2), (2, 4)):
        fit(GeneratedSamples(lambda: grid(7), tmp_path), first=first, epochs=epochs)
    names = [f"samples-{number:04d}.png" for number in (1, 2, 3, 4)]
    assert sorted(file.name for file in tmp_path.iterdir()) == names


def test_grey_pictures(tmp_path):
    callback = GeneratedSamples(lambda: grid(9)[..., 0], tmp_path, board=tmp_path / "board")
    fit(callback, epochs=1)
    np.testing.assert_array_equal(Image.open(tmp_path / "samples-0001.png"), grid(9))
    assert boards(tmp_path / "board")[0][2].shape == (6, 9, 1)


def test_what_is_no_picture(tmp_path):
    with pytest.raises(ValueError, match="`every` must be at least 1; received 0"):
        GeneratedSamples(lambda: grid(1), tmp_path, every=0)
    bad = ((np.zeros((4, 4, 3)), r"\(4, 4, 3\) float64"), (grid(1)[..., :2], "received 2"))
    for picture, message in bad:
        with pytest.raises(ValueError, match=message):
            GeneratedSamples(lambda picture=picture: picture, tmp_path).on_epoch_end(0)
    assert not list(tmp_path.iterdir())


def test_diversity_is_logged_for_those_behind():
    seen = []

    class Behind(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs["diversity"])

    history = fit(ModeCollapse(lambda: REAL[:6] / 2, REAL), Behind())
    expected = diversity(REAL[:6] / 2, REAL)
    assert seen == history["diversity"] == pytest.approx([expected] * 3)
    assert history["least_diversity"] == pytest.approx([0.5] * 3, rel=0.2)


def epochs(callback, logs):
    """Runs epochs with what they log."""
    for number, one in enumerate(logs):
        callback.on_epoch_end(number, dict(one))


def test_a_collapse_is_said_once_until_it_is_over():
    said = []
    same = np.repeat(REAL[:1], 6, axis=0)
    of_each_class = np.tile(REAL[:2], (3, 1, 1, 1))
    drawn = iter([REAL[:6], same, same, REAL[:6], of_each_class])
    epochs(ModeCollapse(lambda: next(drawn), REAL, say=said.append), [{}] * 5)
    assert len(said) == 2
    assert "epoch 2: generated images are nearly the same (distances 0.00" in said[0]
    assert "epoch 5" in said[1] and "to the nearest other 0.00" in said[1]


def test_a_discriminator_that_is_always_right():
    def log(real, fake):
        return {"real_accuracy": real, "fake_accuracy": fake}

    said = []
    sure = log(1.0, 0.995)
    callback = ModeCollapse(lambda: REAL, REAL, say=said.append)
    epochs(callback, [sure, sure, log(1.0, 0.9), sure, sure, sure, sure, sure, {}, sure])
    assert len(said) == 1
    assert "epoch 6: for 3 epochs the discriminator has been right about over 99%" in said[0]


def test_images_to_compare_with():
    with pytest.raises(ValueError, match="images that differ"):
        ModeCollapse(lambda: REAL, np.zeros_like(REAL))
    with pytest.raises(ValueError, match=r"received \(12, 8, 8\) and \(12, 8, 8, 1\)"):
        ModeCollapse(lambda: REAL[..., 0], REAL).on_epoch_end(0, {})
