import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.data.box_windows import (
    boxes_through_window,
    compacted,
    image_through_window,
    mirror,
    part_of_window,
)

SIZE = (40, 60)  # height, width
BOXES = np.array([[5, 8, 21, 18], [30, 4, 50, 34], [12, 25, 26, 39]], "float32")
LABELS = np.array([0, 1, 2], "int32")


def painted(boxes=BOXES, size=SIZE):
    """One channel for each box, 1 inside of it and 0 outside."""
    image = np.zeros((*size, len(boxes)), "float32")
    for channel, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        image[y1:y2, x1:x2, channel] = 1
    return tf.constant(image)


def found(image, channel):
    """The box that is painted in a channel, to the pixel; None if there is nothing."""
    rows, columns = np.nonzero(np.asarray(image)[..., channel] > 0.5)
    if not len(rows):
        return None
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], "float32")


def moved(window, mirrored=(False, False), size=SIZE, boxes=BOXES, labels=LABELS):
    """Image, boxes and labels of what is seen."""
    window = tf.constant(window, tf.float32)
    target = tf.constant([0, 0, size[1], size[0]], tf.float32)
    image = image_through_window(painted(boxes), window, tf.constant(mirrored), tf.constant(size))
    return image, *boxes_through_window(boxes, labels, window, tf.constant(mirrored), target)


def test_a_window_of_a_window_by_hand():
    window = tf.constant([10.0, 20.0, 30.0, 60.0])
    np.testing.assert_allclose(part_of_window(window, tf.constant([0.0, 0, 1, 1])), window)
    found = part_of_window(window, tf.constant([-0.5, 0.25, 0.5, 1.0]))
    np.testing.assert_allclose(found, [0, 30, 20, 60])


def test_boxes_by_hand():
    # The window is 20 wide and 10 high and shown 40 wide and 30 high: twice and three times.
    boxes = np.array([[12, 6, 16, 8], [4, 5, 14, 9], [26, 12, 40, 15], [0, 0, 0, 0]], "float32")
    labels = np.array([3, 1, 2, -1], "int32")
    window, target = tf.constant([8.0, 5, 28, 15]), tf.constant([0.0, 0, 40, 30])
    still = tf.constant([False, False])
    seen, kept = boxes_through_window(boxes, labels, window, still, target)
    # The second is cut at the left; the centre of the third (33, 13.5) lies outside.
    np.testing.assert_allclose(seen, [[8, 3, 16, 9], [0, 0, 12, 12], [0] * 4, [0] * 4], atol=1e-5)
    assert kept.numpy().tolist() == [3, 1, -1, -1]
    seen, _ = boxes_through_window(boxes, labels, window, tf.constant([True, True]), target)
    np.testing.assert_allclose(seen[:2], [[24, 21, 32, 27], [28, 18, 40, 30]], atol=1e-5)
    # The same window, painted into a corner that starts at (100, 200).
    seen, _ = boxes_through_window(
        boxes, labels, window, still, tf.constant([100.0, 200, 140, 230])
    )
    np.testing.assert_allclose(seen[0], [108, 203, 116, 209], atol=1e-4)


@pytest.mark.parametrize("seen", [29.9, 30.1])
def test_the_centre_decides(seen):
    # The centre of (20, 0, 40, 10) is at x = 30.
    boxes, labels = np.array([[20, 0, 40, 10]], "float32"), np.array([0])
    window = tf.constant([0, 0, seen, 10])
    found, kept = boxes_through_window(boxes, labels, window, tf.constant([False, False]), window)
    if seen < 30:
        assert kept[0] == -1 and not found.numpy().any()
    else:
        np.testing.assert_allclose(found, [[20, 0, seen, 10]], rtol=1e-5)


def test_batches_and_single_images_agree():
    random = np.random.default_rng(0)
    windows = random.uniform(-20, 20, (5, 4)).astype("float32") + [0, 0, 60, 60]
    mirrored = random.random((5, 2)) < 0.5
    targets = np.tile(np.array([0, 0, 60, 40], "float32"), (5, 1))
    boxes, labels = np.stack([BOXES] * 5), np.stack([LABELS] * 5)
    together = boxes_through_window(boxes, labels, windows, tf.constant(mirrored), targets)
    for row in range(5):
        alone = boxes_through_window(
            BOXES, LABELS, windows[row], tf.constant(mirrored[row]), targets[row]
        )
        for one, other in zip(alone, together, strict=True):
            np.testing.assert_array_equal(one, other[row])


@pytest.mark.parametrize("mirrored", [(False, False), (True, False), (False, True), (True, True)])
def test_mirrors_are_exact(mirrored):
    image, boxes, labels = moved([0, 0, 60, 40], mirrored)
    axes = [axis for axis, flipped in ((1, mirrored[0]), (0, mirrored[1])) if flipped]
    np.testing.assert_allclose(image, np.flip(painted().numpy(), axes), atol=1e-6)
    np.testing.assert_array_equal(mirror(painted(), tf.constant(mirrored)),
                                  np.flip(painted().numpy(), axes))  # fmt: skip
    for channel in range(3):
        np.testing.assert_allclose(boxes[channel], found(image, channel), atol=1e-4)
    assert labels.numpy().tolist() == [0, 1, 2]


@pytest.mark.parametrize("size", [(80, 30), (33, 47)])
@pytest.mark.parametrize("mirrored", [(False, False), (True, True)])
@pytest.mark.parametrize(
    "window",
    [
        (0, 0, 60, 40),
        (-30, -60, 120, 100),  # zoomed out
        (3, 2, 33, 38),  # a crop
        (17, 9, 47, 27),
        (-9.5, 6.25, 41.5, 50.75),  # partly outside
    ],
)
def test_a_painted_box_is_found_where_its_box_is(window, mirrored, size):
    image, boxes, labels = moved(window, mirrored, size)
    assert image.shape == (*size, 3)
    for channel in range(3):
        if labels[channel] < 0:
            continue
        assert labels[channel] == channel
        # To half a pixel of rounding, and a little of smoothing.
        np.testing.assert_allclose(boxes[channel], found(image, channel), atol=0.6)
    centres = (BOXES[:, :2] + BOXES[:, 2:]) / 2
    inside = ((centres > window[:2]) & (centres < window[2:])).all(-1)
    np.testing.assert_array_equal(labels >= 0, inside)


def test_outside_is_the_mean_of_each_channel():
    image = image_through_window(
        painted(), tf.constant([-60.0, 0, 60, 40]), tf.constant([False, False]), [40, 120]
    )
    np.testing.assert_allclose(image[:, 60:], painted(), atol=1e-6)
    mean = painted().numpy().mean((0, 1))
    np.testing.assert_allclose(image[:, :60], np.broadcast_to(mean, (40, 60, 3)), atol=1e-6)


def test_resizes_as_keras_does():
    image = tf.random.stateless_uniform((1, 41, 64, 2), [1, 2])
    whole, still = tf.constant([0.0, 0, 64, 41]), tf.constant([False, False])
    for size in ((20, 30), (90, 100)):
        expected = keras.ops.image.resize(image, size, "bilinear", antialias=True)[0]
        seen = image_through_window(image[0], whole, still, size)
        np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_a_window_is_what_keras_translates():
    image = tf.random.stateless_uniform((41, 64, 2), [1, 2])
    image -= tf.reduce_mean(image, (0, 1))  # Keras fills with 0
    window = np.array([-7.5, 4, 30, 60], "float32")
    scale = tf.constant([50 / 56, 70 / 37.5])
    expected = keras.ops.image.scale_and_translate(
        image, (50, 70, 2), scale, -tf.constant([4, -7.5]) * scale, [0, 1], "linear", antialias=True
    )
    seen = image_through_window(image, window, tf.constant([False, False]), [50, 70])
    np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_padding_goes_behind_the_objects():
    boxes = np.arange(24, dtype="float32").reshape(2, 3, 4)
    labels = np.array([[-1, 4, 2], [7, -1, -1]], "int32")
    moved, kept = compacted(boxes, labels)
    assert kept.numpy().tolist() == [[4, 2, -1], [7, -1, -1]]
    np.testing.assert_array_equal(moved[0, :2], boxes[0, 1:])
    moved, kept = compacted(boxes, labels, 2)
    assert kept.numpy().tolist() == [[4, 2], [7, -1]] and moved.shape == (2, 2, 4)
