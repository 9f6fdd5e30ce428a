from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from kmed.data.augmentation import Augmentation, augment

NOTHING = Augmentation(flip="none").scaled(0)


def shapes(rank):
    """A smooth image whose value at each voxel says which side of the mask's edge it is on."""
    size = (24, 32, 40)[-rank:]
    grid = np.meshgrid(*[np.linspace(-1, 1, n) for n in size], indexing="ij")
    image = 1.2 - np.sqrt(sum((g - 0.1) ** 2 for g in grid))
    return image[..., None].astype("float32"), (image > 0.6).astype("int32")


@pytest.mark.parametrize("rank", [2, 3])
def test_nothing_changes_nothing(rank):
    image, mask = shapes(rank)
    found, labels, weight = augment(tf.constant(image), tf.constant(mask), None, [1, 2], NOTHING)
    np.testing.assert_allclose(found, image, atol=1e-5)
    np.testing.assert_array_equal(labels, mask)
    assert weight is None


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("seed", range(4))
def test_image_mask_and_weight_move_together(rank, seed):
    image, mask = shapes(rank)
    only_geometry = Augmentation(contrast=0, brightness=0, noise=0, elastic=0.04)
    weight = tf.constant(image[..., 0])
    found, labels, moved = augment(
        tf.constant(image), tf.constant(mask), weight, [seed, 5], only_geometry
    )
    assert np.abs(found.numpy() - image).max() > 0.05
    np.testing.assert_allclose(moved, found[..., 0], atol=1e-6)
    # Off the edge by more than the change across one voxel, the image still tells the label.
    sure = np.abs(found[..., 0] - 0.6) > 0.12
    np.testing.assert_array_equal(labels.numpy()[sure], found.numpy()[..., 0][sure] > 0.6)


@pytest.mark.parametrize("rank", [2, 3])
def test_an_image_without_mask_changes_as_one_with(rank):
    image, mask = (tf.constant(array) for array in shapes(rank))
    change = Augmentation()
    alone, labels, weight = augment(image, None, None, [1, 2], change)
    np.testing.assert_array_equal(alone, augment(image, mask, None, [1, 2], change)[0])
    assert labels is None and weight is None


def test_equal_seeds_give_equal_results():
    image, mask = (tf.constant(array) for array in shapes(2))
    first, second, third = (
        augment(image, mask, None, seed, Augmentation())[0].numpy()
        for seed in ([1, 1], [1, 1], [1, 2])
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - third).max() > 0.1


def test_flips_are_exact_mirrors():
    image, mask = (tf.constant(array) for array in shapes(2))
    only_flips = Augmentation().scaled(0)
    mirrors = {
        augment(image, mask, None, [seed, 0], only_flips)[0].numpy().round(4).tobytes()
        for seed in range(20)
    }
    expected = {
        np.flip(image.numpy(), axes).round(4).tobytes() for axes in [(), (0,), (1,), (0, 1)]
    }
    assert len(mirrors) == 4
    assert mirrors == expected or all(
        min(np.abs(np.frombuffer(m, "f4") - np.frombuffer(e, "f4")).max() for e in expected) < 1e-3
        for m in mirrors
    )


def test_rotation_keeps_distances_from_the_centre():
    image = np.zeros((65, 65, 1), "float32")
    image[32, 52] = 1  # 20 to the right of the centre
    turn = Augmentation(
        flip="none", zoom=0, elastic=0, contrast=0, brightness=0, noise=0, rotation_degrees=90
    )
    found = augment(tf.constant(image), tf.zeros((65, 65), tf.int32), None, [3, 3], turn)[0].numpy()
    rows, columns = np.nonzero(found[..., 0] > 0.05)
    values = found[rows, columns, 0]
    centre = np.array([rows @ values, columns @ values]) / values.sum() - 32
    assert abs(np.hypot(*centre) - 20) < 0.7
    assert abs(centre[0]) > 1


def test_refuses_what_is_out_of_range():
    with pytest.raises(ValueError, match="`noise` must be 0 or greater; received -1"):
        Augmentation(noise=-1)
    with pytest.raises(ValueError, match="`zoom` must be less than 1"):
        Augmentation(zoom=1)
    with pytest.raises(ValueError, match="at least 2"):
        Augmentation(elastic_nodes=1)


def test_a_shift_moves_the_image_by_whole_pixels_at_most_so_far():
    image = np.zeros((40, 20, 1), "float32")
    image[20, 10] = 1
    still = Augmentation(
        flip="none", rotation_degrees=0, zoom=0, elastic=0, contrast=0, brightness=0, noise=0
    )
    found = []
    for number in range(60):
        shifted = replace(still, shift=0.25)
        moved, _, _ = augment(tf.constant(image), None, None, tf.constant([0, number]), shifted)
        weights = np.asarray(moved)[..., 0]
        rows, columns = np.mgrid[:40, :20]
        centre = np.array([(weights * rows).sum(), (weights * columns).sum()])
        found.append(centre / weights.sum() - (20, 10))
    low, high = np.min(found, axis=0), np.max(found, axis=0)
    assert (low > (-10.1, -5.1)).all() and (high < (10.1, 5.1)).all()
    assert (high - low > (14, 7)).all()
    unmoved, _, _ = augment(tf.constant(image), None, None, tf.constant([0, 1]), still)
    np.testing.assert_array_equal(unmoved, image)
