"""Zhao et al.'s changes against loops over voxels."""

import math

import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.differentiable_augmentation import (
    DRAWS,
    POLICIES,
    check_policy,
    differentiable_augmentation,
)


def some(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, shape).astype("float32"), rng.uniform(size=(shape[0], DRAWS))


def by_hand(image, u, name):
    """One image `([D,] H, W, C)` in float64."""
    x, sides = image.astype("float64"), image.shape[:-1]
    if name == "brightness":
        return x + u[0] - 0.5
    if name == "saturation":
        mean = x.mean(axis=-1, keepdims=True)
        return mean + (x - mean) * 2 * u[1]
    if name == "contrast":
        return x.mean() + (x - x.mean()) * (u[2] + 0.5)
    result = np.zeros_like(x) if name == "translation" else x.copy()
    if name == "translation":
        reach = [math.floor(n / 8 + 0.5) for n in sides]
        shift = [math.floor(u[3 + i] * (2 * r + 1)) - r for i, r in enumerate(reach)]
        for place in np.ndindex(*sides):
            source = tuple(p + s for p, s in zip(place, shift, strict=True))
            if all(0 <= p < n for p, n in zip(source, sides, strict=True)):
                result[place] = x[source]
        return result
    numbers = [u[6], u[7]]
    if len(sides) == 3:
        scaled = u[5] * (2 * math.floor(sides[2] / 8 + 0.5) + 1)
        numbers.append(scaled - math.floor(scaled))
    first, last = [], []
    for n, number in zip(sides, numbers, strict=True):
        cut = math.floor(n / 2 + 0.5)
        center = math.floor(number * (n + 1 - cut % 2))
        first.append(center - cut // 2)
        last.append(center - cut // 2 + cut)
    for place in np.ndindex(*sides):
        if all(a <= p < b for p, a, b in zip(place, first, last, strict=True)):
            result[place] = 0
    return result


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("shape", [(5, 12, 17, 3), (4, 16, 9, 1), (3, 6, 9, 16, 2)])
def test_each_change_by_hand(name, shape):
    images, draws = some(*shape)
    found = differentiable_augmentation(images, draws.astype("float32"), (name,))
    expected = [by_hand(image, u, name) for image, u in zip(images, draws, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    if not (name == "saturation" and shape[-1] == 1):
        assert np.abs(np.asarray(found) - images).max() > 0.01


def test_a_policy_is_applied_in_its_order():
    images, draws = some(3, 8, 8, 2)
    policy = ("contrast", "cutout", "brightness")
    expected = images
    for name in policy:
        expected = np.stack([by_hand(x, u, name) for x, u in zip(expected, draws, strict=True)])
    found = differentiable_augmentation(images, draws, policy)
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_array_equal(differentiable_augmentation(images, draws, ()), images)


def test_an_example_depends_on_its_own_numbers_alone():
    images, draws = some(6, 8, 8, 1)
    whole = np.asarray(differentiable_augmentation(images, draws))
    parts = [differentiable_augmentation(images[i : i + 2], draws[i : i + 2]) for i in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_the_ends_of_the_numbers_are_in_range(end):
    images, draws = some(2, 8, 8, 3)
    found = np.asarray(differentiable_augmentation(images, np.full_like(draws, end), ("cutout",)))
    # 9 centers of a box of 4: at both ends half of it is inside, 2 x 2 pixels.
    assert (found == 0).all(axis=-1).sum() == 2 * 4
    moved = differentiable_augmentation(images, np.full_like(draws, end), ("translation",))
    assert (np.asarray(moved) == 0).all(axis=-1).sum() == 2 * (64 - 49)


def test_gradients_pass_as_the_changes_are_linear():
    """The adjoint: <A x, y> = <x, A' y>, for the part of a change that depends on x."""
    images, draws = some(3, 9, 8, 2)
    x, y = tf.constant(images), tf.constant(some(3, 9, 8, 2, seed=1)[0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        product = tf.reduce_sum(differentiable_augmentation(x, draws) * y)
    zero = differentiable_augmentation(tf.zeros_like(x), draws)
    linear = float(product) - float(tf.reduce_sum(zero * y))
    assert float(tf.reduce_sum(x * tape.gradient(product, x))) == pytest.approx(linear, rel=1e-4)


def test_sizes_may_be_unknown_and_types_are_kept():
    images, draws = some(3, 8, 10, 1)
    shape = tf.TensorSpec((None, None, None, 1)), tf.TensorSpec((None, DRAWS))
    compiled = tf.function(differentiable_augmentation, input_signature=shape, jit_compile=False)
    expected = differentiable_augmentation(images, draws)
    np.testing.assert_allclose(compiled(images, draws), expected, atol=1e-6)
    half = differentiable_augmentation(images.astype("float16"), draws)
    assert half.dtype == "float16"
    np.testing.assert_allclose(half, expected, atol=2e-3)


def test_a_cutout_of_volumes_does_not_follow_the_translation():
    """Both take one number; shifts and places of the box are uniform, whatever the other is."""
    draws = np.random.default_rng(0).uniform(size=(4000, DRAWS))
    line = np.ones((4000, 2, 2, 16, 1), "float32")
    moved = np.asarray(differentiable_augmentation(line, draws, ("translation",)))[:, 0, 0, :, 0]
    draws[:, 6:] = 0.5
    cut = np.asarray(differentiable_augmentation(line, draws, ("cutout",))).min((1, 2))[..., 0]
    empty = np.argmin(cut, axis=1) + (cut == 0).sum(axis=1)  # where the box ends
    lost = (moved == 0).sum(axis=1) * np.where(moved[:, 0] == 0, 1, -1)
    assert set(lost) == {-2, -1, 0, 1, 2}
    for shift in set(lost):
        assert (lost == shift).mean() == pytest.approx(0.2, abs=0.03)
        assert empty[lost == shift].mean() == pytest.approx(empty.mean(), abs=0.5)


def test_what_does_not_fit_is_said():
    images, draws = some(2, 8, 8, 1)
    for policy in (("colour",), ("cutout", "cutout"), "cutout"):
        with pytest.raises(ValueError, match="augmentation must be a sequence of some of"):
            differentiable_augmentation(images, draws, policy)
        with pytest.raises(ValueError, match="received"):
            check_policy(policy)
    with pytest.raises(ValueError, match=r"draws \(B, 8\); received \(2, 8, 8, 1\) and \(2, 3\)"):
        differentiable_augmentation(images, draws[:, :3])
    with pytest.raises(ValueError, match=r"received \(2, 8, 8\) and"):
        differentiable_augmentation(images[..., 0], draws)
