import numpy as np
import pytest
import tensorflow as tf

from kmed.data.box_augmentation import BoxAugmentation, draw_mirrors, draw_windows

SIZE = (40, 60)
SEED = tf.constant([3, 5], tf.int32)
WHOLE = np.array([0, 0, 60, 40], "float32")


def windows(augmentation, count=2000, seed=SEED):
    boxes = np.broadcast_to(np.array([[[20, 10, 40, 30]]], "float32"), (count, 1, 4))
    labels = np.zeros((count, 1), "int32")
    return draw_windows(tf.constant(boxes), tf.constant(labels), SIZE, seed, augmentation).numpy()


def only(**changes):
    return BoxAugmentation(**{"zoom_out": 1.0, "crop": None} | changes)


def test_off_changes_nothing():
    np.testing.assert_array_equal(windows(BoxAugmentation.off(), 5), np.tile(WHOLE, (5, 1)))
    assert not draw_mirrors([7], SEED, BoxAugmentation.off()).numpy().any()
    assert not BoxAugmentation.off().resamples
    off = BoxAugmentation.off()
    assert (off.contrast, off.brightness, off.noise, off.mosaic) == (0, 0, 0, 0)


def test_zooming_out_lays_the_image_on_a_larger_canvas():
    found = windows(only(zoom_out=4.0))
    plain = (found == WHOLE).all(-1)
    assert abs(plain.mean() - 0.5) < 0.04
    ratio = (found[:, 2:] - found[:, :2])[~plain] / WHOLE[2:]
    np.testing.assert_allclose(ratio[:, 0], ratio[:, 1], rtol=1e-4)
    assert 1 <= ratio.min() < 1.05 and 3.95 < ratio.max() <= 4.0001
    assert abs(ratio.mean() - 2.5) < 0.1
    # The whole image is on the canvas, anywhere.
    assert (found[:, :2] <= 0).all() and (found[:, 2:] >= WHOLE[2:] - 1e-3).all()
    place = -found[~plain, :2] / (found[:, 2:] - found[:, :2] - WHOLE[2:])[~plain]
    assert np.abs(place.mean(0) - 0.5).max() < 0.04 and np.ptp(place) > 0.95


def test_jitter_is_darknets():
    # Every image at its own size but for the shape: the longer side fills the canvas.
    found = windows(only(jitter=0.3))
    size = WHOLE[2:] / (found[:, 2:] - found[:, :2])  # of the image, in canvases
    np.testing.assert_allclose(size.max(1), 1, rtol=1e-4)
    ratio = size[:, 0] / size[:, 1]
    assert 0.7 / 1.3 - 1e-3 <= ratio.min() < 0.6 and 1.65 < ratio.max() <= 1.3 / 0.7 + 1e-3
    assert abs((ratio < 1).mean() - 0.5) < 0.04


@pytest.mark.parametrize("scale", [(0.25, 0.5), (1.5, 2.0)])
def test_scale_is_the_size_on_the_canvas(scale):
    found = windows(only(scale=scale))
    size = WHOLE[2:] / (found[:, 2:] - found[:, :2])
    np.testing.assert_allclose(size[:, 0], size[:, 1], rtol=1e-4)
    assert scale[0] - 1e-3 <= size.min() < scale[0] + 0.02
    assert scale[1] - 0.02 < size.max() <= scale[1] + 1e-3
    inside, outside = (found[:, :2] >= -1e-3), (found[:, :2] <= 1e-3)
    assert (inside if scale[0] > 1 else outside).all()  # part of the image, or canvas around it
    ends = found[:, 2:] - WHOLE[2:]
    assert ((ends <= 1e-3) if scale[0] > 1 else (ends >= -1e-3)).all()


def test_crops_see_a_part_of_the_zoomed_out_canvas():
    assert windows(only(crop="ssd")).min() >= 0
    both = windows(BoxAugmentation())
    assert both.min() < -50 and (both[:, 0] > 5).any()
    never = windows(only(crop="ssd", crop_probability=0.0), 50)
    np.testing.assert_array_equal(never, np.tile(WHOLE, (50, 1)))
    some = windows(only(crop="ssd", crop_probability=0.5))
    share = (windows(only(crop="ssd")) == WHOLE).all(-1).mean()
    assert abs((some == WHOLE).all(-1).mean() - (0.5 + 0.5 * share)) < 0.04


@pytest.mark.parametrize(
    ("flip", "expected"), [("none", (0, 0)), ("horizontal", (0.5, 0)), ("all", (0.5, 0.5))]
)
def test_mirrors(flip, expected):
    found = draw_mirrors([1000, 2], SEED, only(flip=flip)).numpy()
    assert found.shape == (1000, 2, 2)
    np.testing.assert_allclose(found.mean((0, 1)), expected, atol=0.04)


def test_equal_seeds_give_equal_windows():
    same, other = windows(BoxAugmentation(), 9), windows(BoxAugmentation(), 9, [1, 1])
    np.testing.assert_array_equal(same, windows(BoxAugmentation(), 9))
    assert (same != other).any()


def test_strength():
    change = BoxAugmentation(mosaic=0.6, noise=0.1, jitter=0.2, scale=(0.25, 2.0), sizes=[(8, 8)])
    none = change.scaled(0)
    assert none == BoxAugmentation(
        contrast=0, brightness=0, noise=0, zoom_out=1, crop_probability=0, sizes=[(8, 8)]
    )
    half = change.scaled(0.5)
    assert (half.contrast, half.zoom_out, half.scale) == (0.1, 2.5, (0.5, 2**0.5))
    assert (half.mosaic, half.crop_probability, half.jitter) == (0.3, 0.5, 0.1)
    twice = change.scaled(2)
    assert (twice.mosaic, twice.crop_probability, twice.noise) == (1, 1, 0.2)
    assert change.scaled(1) == change
    with pytest.raises(ValueError, match="`strength` must be 0 or greater; received -1"):
        change.scaled(-1)


def test_what_the_papers_train_with():
    assert BoxAugmentation.ssd() == BoxAugmentation()
    assert BoxAugmentation.ssd().resamples and BoxAugmentation.yolo().resamples
    assert not BoxAugmentation.faster_rcnn().resamples
    assert BoxAugmentation.faster_rcnn().flip == "horizontal"
    assert BoxAugmentation.yolo().scale == (0.25, 2.0)
    assert only(mosaic=0.1).resamples and only(sizes=[(8, 8)]).resamples


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flip": "left"}, "`flip` must be one of"),
        ({"crop": "random"}, "`crop` must be one of"),
        ({"noise": -1}, "`noise` must be 0 or greater; received -1"),
        ({"mosaic": 1.5}, "`mosaic` must be from 0 to 1; received 1.5"),
        ({"zoom_out": 0.5}, "`zoom_out` must be 1 or greater; received 0.5"),
        ({"zoom_out": float("inf")}, "`zoom_out` must be 1 or greater; received inf"),
        ({"jitter": 1}, "`jitter` must be from 0 to 0.9; received 1"),
        ({"scale": (2, 1)}, "`scale` must be a smallest and a largest"),
        ({"sizes": [(0, 5)]}, "`sizes` must hold"),
    ],
)
def test_refuses_what_is_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        BoxAugmentation(**changes)
