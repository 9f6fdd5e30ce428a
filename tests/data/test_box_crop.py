import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from kmed.data import box_crop
from kmed.data.box_crop import OVERLAPS, crop_window

WINDOW = np.array([0, 0, 60, 40], "float32")


def crops(boxes, labels, count=400, seed=(1, 2), window=WINDOW):
    boxes = np.broadcast_to(np.array(boxes, "float32"), (count, len(boxes), 4))
    labels = np.broadcast_to(np.array(labels, "int32"), (count, len(labels)))
    windows = np.broadcast_to(np.array(window, "float32"), (count, 4))
    return crop_window(tf.constant(windows), tf.constant(boxes), tf.constant(labels), seed).numpy()


def overlap(first, second):
    """Intersection over union of one pair, with plain numbers."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    both = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return both / (sum(areas) - both)


def test_patches_are_of_the_papers_sizes_and_shapes():
    # Without objects every patch fits: six of seven are patches, the seventh is the whole.
    found = crops([[0, 0, 0, 0]], [-1], 4000)
    whole = (found == WINDOW).all(-1)
    assert abs(whole.mean() - 1 / 7) < 0.02
    patches = found[~whole]
    assert (patches[:, :2] >= 0).all() and (patches[:, 2:] <= WINDOW[2:] + 1e-4).all()
    share = (patches[:, 2:] - patches[:, :2]) / WINDOW[2:]
    aspect = share[:, 0] / share[:, 1]
    assert 0.5 - 1e-3 < aspect.min() < 0.52 and 1.9 < aspect.max() < 2 + 1e-3
    side = np.sqrt(share.prod(-1))
    assert stats.kstest(side, stats.uniform(0.3, 0.7).cdf).pvalue > 0.01
    assert abs(np.log(aspect).mean()) < 0.02  # wide as often as high
    free = patches[:, 0] / (WINDOW[2] - (patches[:, 2] - patches[:, 0]))
    assert stats.kstest(free, stats.uniform().cdf).pvalue > 0.01


def test_every_patch_holds_a_centre():
    boxes = np.array([[5, 8, 21, 18], [40, 4, 50, 14]])
    found = crops(boxes, [0, 1])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = (centres > found[:, None, :2]) & (centres < found[:, None, 2:])
    assert inside.all(-1).any(-1).all()
    assert not inside.all(-1).all()  # and loses the other now and then


def test_constraints_by_hand():
    patches = np.array([[0, 0, 20, 20], [0, 0, 10, 10], [10, 0, 30, 20], [12, 12, 40, 40]], "f4")
    box = np.array([[0, 0, 20, 20], [0, 0, 0, 0]], "float32")
    # Overlaps 1, 1/4, 1/3 and 8 * 8 / (400 + 784 - 64) = 0.057. The centre (10, 10) lies inside of
    # the first alone, and on the edge of the second and of the third.
    fits = box_crop._fits(tf.constant(patches[None]), box[None], np.array([[0, -1]]))
    assert fits.shape == (1, len(OVERLAPS), 4)
    assert fits[0].numpy().tolist() == [[True, False, False, False]] * 6
    shifted = np.array([[0, 0, 18, 18]], "float32")  # centre (9, 9)
    fits = box_crop._fits(tf.constant(patches[None]), shifted[None], np.array([[0]]))[0].numpy()
    # Overlaps 0.81 and 100 / 324 = 0.31 of those that hold the centre.
    assert fits[:, 0].tolist() == [True] * 5 + [False]
    assert fits[:, 1].tolist() == [True] * 3 + [False] * 3
    assert not fits[:, 2:].any()


def test_overlaps_that_no_patch_reaches_are_left_out():
    # Of all patches that hold the small object, the smallest overlaps it by 16 / 200.
    found = crops([[10, 10, 14, 14], [0, 0, 0, 0]], [0, -1])
    whole = (found == WINDOW).all(-1)
    assert abs(whole.mean() - 1 / 2) < 0.08  # the whole, or a patch with any overlap
    # The object is the whole window: all constraints can be satisfied, and the strictest is.
    found = crops([WINDOW], [0])
    overlaps = np.array([overlap(patch, WINDOW) for patch in found])
    assert abs((overlaps == 1).mean() - 1 / 7) < 0.06
    assert overlaps.min() < 0.3
    assert (overlaps >= 0.9).mean() > 2 / 7 - 0.07


def test_padding_and_a_window_that_does_not_start_at_0():
    window = np.array([-30, -20, 90, 60], "float32")
    found = crops([[5, 8, 21, 18], [0, 0, 0, 0]], [0, -1], window=window)
    assert (found[:, :2] >= window[:2] - 1e-3).all() and (found[:, 2:] <= window[2:] + 1e-3).all()
    assert ((found[:, :2] < [13, 13]) & (found[:, 2:] > [13, 13])).all()


@pytest.mark.parametrize("seed", [(1, 2), (5, 0)])
def test_equal_seeds_give_equal_crops(seed):
    boxes = [[5, 8, 21, 18]]
    first, second = (crops(boxes, [0], 9, seed) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first != crops(boxes, [0], 9, (7, 7))).any()
    assert len(np.unique(first, axis=0)) > 3
