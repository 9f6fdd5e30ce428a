import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.image_buffer import ImageBuffer


def pictures(first, count, shape=(2, 3, 1)):
    """Images whose values tell when they came."""
    number = np.arange(first, first + count, dtype="float32")
    return np.broadcast_to(number.reshape(-1, *(1 for _ in shape)), (count, *shape)).copy()


def one_after_the_other(size, batches, draws):
    """The published algorithm, an image at a time: what comes back, and what is held."""
    held, shown = [], []
    for images, numbers in zip(batches, draws, strict=True):
        for image, (exchange, which) in zip(images, numbers, strict=True):
            if not np.isfinite(image):
                shown.append(image)
            elif len(held) < size:
                held.append(image)
                shown.append(image)
            elif exchange < 0.5:
                shown.append(image)
            else:
                place = int(which * size)
                shown.append(held[place])
                held[place] = image
    return shown, held


@pytest.mark.parametrize("size", [1, 3, 5])
def test_is_the_published_algorithm_an_image_at_a_time(size):
    random = np.random.default_rng(size)
    buffer = ImageBuffer(size, (2, 3, 1))
    query = tf.function(
        buffer.query,
        input_signature=(tf.TensorSpec((None, 2, 3, 1)), tf.TensorSpec((None, 2))),
    )
    counts = (1, 2, 7, 1, 4, 16, 3)  # fills up within a batch; more images than it can hold
    batches = [pictures(100 * i, count) for i, count in enumerate(counts)]
    for i, place in ((1, 1), (2, 0), (2, 3), (5, 9)):
        batches[i][place] = np.nan if place else np.inf
    draws = [random.uniform(size=(count, 2)).astype("float32") for count in counts]
    shown = [query(*pair).numpy() for pair in zip(batches, draws, strict=True)]
    flat = np.concatenate(shown)
    assert (np.isnan(flat) | (flat == flat[:, :1, :1])).all()  # whole images
    expected, held = one_after_the_other(size, [b[:, 0, 0, 0] for b in batches], draws)
    np.testing.assert_array_equal(flat[:, 0, 0, 0], expected)
    np.testing.assert_array_equal(buffer.images.numpy()[:, 1, 2, 0], held)
    assert buffer.filled.numpy() == size


def test_half_of_the_images_come_from_the_buffer_each_place_as_often():
    size, count = 50, 4000
    buffer = ImageBuffer(size, (1, 1, 1))
    draws = np.random.default_rng(0).uniform(size=(count, 2)).astype("float32")
    first = buffer.query(pictures(0, size, (1, 1, 1)), draws[:size])
    np.testing.assert_array_equal(np.ravel(first), np.arange(size))
    images = pictures(size, count, (1, 1, 1))
    shown, places = [], []
    for begin in range(0, count, 8):
        before = buffer.images.numpy()
        shown.append(buffer.query(images[begin : begin + 8], draws[begin : begin + 8]).numpy())
        places += np.flatnonzero(np.ravel(before != buffer.images.numpy())).tolist()
    shown = np.ravel(np.concatenate(shown))
    own = shown == np.ravel(images)
    assert abs(own.mean() - 0.5) < 4 * np.sqrt(0.25 / count)
    assert len(np.unique(shown[~own])) == (~own).sum()  # an exchanged image is gone
    frequencies = np.bincount(places, minlength=size) / len(places)
    assert abs(frequencies - 1 / size).max() < 4 * np.sqrt(1 / size / len(places))


def test_a_buffer_of_nothing_gives_every_image_back():
    buffer = ImageBuffer(0, (None, None, 1))
    images = pictures(0, 3)
    np.testing.assert_array_equal(buffer.query(images, np.ones((3, 2), "float32") * 0.9), images)
    assert not buffer.weights


def test_is_part_of_the_weights_and_rebuilds_from_its_config():
    buffer = ImageBuffer(2, (2, 2, 2, 3), name="fakes")
    images = pictures(1, 2, (2, 2, 2, 3))
    buffer.query(images, tf.zeros((2, 2)))
    other = ImageBuffer.from_config(buffer.get_config())
    assert other.name == "fakes" and not other.trainable_weights and other.filled.numpy() == 0
    other.set_weights(buffer.get_weights())
    exchanged = other.query(pictures(7, 1, (2, 2, 2, 3)), tf.constant([[0.5, 0.99]]))
    np.testing.assert_array_equal(exchanged, images[1:])


def test_refuses_images_of_any_size_and_negative_room():
    with pytest.raises(ValueError, match="at least 0; received -1"):
        ImageBuffer(-1, (2, 2, 1))
    with pytest.raises(ValueError, match=r"images of one size.* received \(None, None, 1\)"):
        ImageBuffer(50, (None, None, 1))
