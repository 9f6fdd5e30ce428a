"""SSIM against MONAI, and against loops over windows."""

import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.structural_similarity import SCALE_WEIGHTS, ms_ssim, smallest_size, ssim


def pair(*shape, seed=0, noise=0.2):
    rng = np.random.default_rng(seed)
    a = rng.uniform(0, 1, shape)
    return a, np.clip(a + rng.normal(0, noise, shape), 0, 1)


def by_hand(a, b, data_range, size=11, sigma=1.5, uniform=False):
    """Luminance x structure, and structure, of images `([D,] H, W)`: equations 13 to 17."""
    line = (
        np.ones(size) if uniform else np.exp(-((np.arange(size) - size // 2) ** 2) / 2 / sigma**2)
    )
    w = line
    for _ in range(a.ndim - 1):
        w = np.multiply.outer(w, line)
    w /= w.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    whole, structure = [], []
    for place in np.ndindex(*(n - size + 1 for n in a.shape)):
        part = tuple(slice(p, p + size) for p in place)
        x, y = a[part], b[part]
        mx, my = (w * x).sum(), (w * y).sum()
        vx, vy = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum()
        cov = (w * (x - mx) * (y - my)).sum()
        structure.append((2 * cov + c2) / (vx + vy + c2))
        whole.append((2 * mx * my + c1) / (mx**2 + my**2 + c1) * structure[-1])
    return np.mean(whole), np.mean(structure)


def test_equal_to_monai(goldens):
    known = np.load(goldens / "monai.npz")
    a, b = (np.moveaxis(known[f"image_{x}_n1hw"], 1, -1).astype("float32") for x in "ab")
    np.testing.assert_allclose(ssim(a, b, data_range=1), known["ssim_range1"][:, 0], atol=1e-5)
    found = ms_ssim(a, b, data_range=1)
    np.testing.assert_allclose(found, known["ms_ssim_range1"][:, 0], atol=1e-5)


@pytest.mark.parametrize(
    "shape, settings",
    [
        ((14, 17), {}),
        ((12, 11), {"size": 7, "sigma": 0.8}),
        ((9, 12), {"size": 4, "window": "uniform"}),
        ((8, 9, 10), {"size": 7}),
    ],
)
def test_follows_the_equations(shape, settings):
    a, b = pair(2, *shape, 3)
    found = ssim(a * 50 - 20, b * 50 - 20, data_range=50.0, **settings)
    keys = {"size": 11, "sigma": 1.5} | settings
    keys["uniform"] = keys.pop("window", None) == "uniform"
    if keys["size"] % 2 == 0:
        assert keys["uniform"]  # the hand-worked gaussian has a middle
    expected = []
    for x, y in zip(a * 50 - 20, b * 50 - 20, strict=True):
        channels = [by_hand(x[..., c], y[..., c], 50, **keys)[0] for c in range(3)]
        expected.append(np.mean(channels))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert found.dtype == "float64"
    single = ssim((a * 50 - 20).astype("float32"), b * 50 - 20, data_range=50, **settings)
    np.testing.assert_allclose(single, expected, atol=1e-6)


def halved(x):
    """Means of blocks of two, an odd row at the end left out."""
    for axis in range(x.ndim):
        x = np.moveaxis(x, axis, 0)
        x = (x[0 : len(x) // 2 * 2 : 2] + x[1::2][: len(x) // 2]) / 2
        x = np.moveaxis(x, 0, axis)
    return x


@pytest.mark.parametrize("shape", [(23, 20), (10, 11, 13)])
def test_scales_by_hand(shape):
    a, b = pair(1, *shape, 1)
    expected, x, y = 1.0, a[0, ..., 0], b[0, ..., 0]
    weights = (0.2, 0.5) if len(shape) == 3 else (0.2, 0.5, 0.3)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = halved(x), halved(y)
        whole, structure = by_hand(x, y, 1.0, size=5)
        expected *= (whole if scale == len(weights) - 1 else structure) ** weight
    found = ms_ssim(a, b, data_range=1.0, weights=weights, size=5)
    np.testing.assert_allclose(found, [expected], rtol=1e-7)


def test_an_offset_of_16_bit_images_costs_no_digits():
    a, b = pair(1, 16, 16, 1)
    a, b = a * 100 + 30000, b * 100 + 30000
    exact = ssim(a, b, data_range=100)
    single = ssim(a.astype("float32"), b.astype("float32"), data_range=100)
    # Rounding of the images themselves: float32 has steps of 0.002 there.
    np.testing.assert_allclose(single, exact, atol=1e-4)


def test_is_1_for_equal_images_and_symmetric():
    a, b = (x.astype("float32") for x in pair(2, 16, 16, 1))
    np.testing.assert_allclose(ssim(a, a, data_range=1), [1, 1], atol=1e-6)
    np.testing.assert_allclose(ssim(a, b, data_range=1), ssim(b, a, data_range=1), atol=1e-6)


@pytest.mark.parametrize("measure", [ssim, ms_ssim])
@pytest.mark.parametrize("kind", ["noise", "constant", "equal", "negative"])
def test_gradients_are_finite(measure, kind):
    a = pair(1, 24, 24, 1)[0].astype("float32")
    b = {
        "noise": pair(1, 24, 24, 1, seed=1)[0].astype("float32"),
        "constant": np.zeros_like(a),
        "equal": a,
        "negative": 1 - a,
    }[kind]
    settings = {} if measure is ssim else {"weights": (0.5, 0.5)}

    @tf.function(jit_compile=False)
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = measure(x, a, data_range=1.0, **settings)
        return value, tape.gradient(value, x)

    value, gradient = slope(tf.constant(b))
    assert np.isfinite(value).all() and np.isfinite(gradient).all()
    if kind == "noise" and measure is ssim:
        assert np.abs(gradient).max() > 0
    if kind == "negative" and measure is ms_ssim:
        assert float(value[0]) == 0 and not np.any(gradient)


def test_the_gradient_is_that_of_differences():
    a, b = pair(1, 12, 13, 1)
    x = tf.constant(b)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = ssim(x, a, data_range=1.0, size=5)
    gradient = tape.gradient(value, x).numpy()
    direction = np.random.default_rng(3).normal(size=b.shape)
    up, down = (ssim(b + s * 1e-5 * direction, a, data_range=1.0, size=5) for s in (1, -1))
    np.testing.assert_allclose((gradient * direction).sum(), (up - down) / 2e-5, rtol=1e-5)


def test_sizes_may_be_unknown_until_run_time():
    a, b = (x.astype("float32") for x in pair(2, 15, 12, 1))
    shape = (tf.TensorSpec((None, None, None, 1)),) * 2
    compiled = tf.function(lambda x, y: ssim(x, y, data_range=1.0), shape, jit_compile=False)
    np.testing.assert_allclose(compiled(a, b), ssim(a, b, data_range=1.0), atol=1e-6)


def test_what_does_not_fit_is_said():
    a, b = pair(1, 16, 16, 1)
    assert (smallest_size(), sum(SCALE_WEIGHTS)) == (176, pytest.approx(1, abs=1e-3))
    with pytest.raises(ValueError, match=r"one shape.*\(1, 16, 16, 1\) and \(1, 16, 15, 1\)"):
        ssim(a, b[:, :, 1:], data_range=1)
    with pytest.raises(ValueError, match=r"needs 11 pixels along each axis; received \(16, 10\)"):
        ssim(a[:, :, 6:], b[:, :, 6:], data_range=1)
    with pytest.raises(ValueError, match=r"11 pixels on 5 scale\(s\) needs 176 pixels"):
        ms_ssim(a, b, data_range=1)
    for data_range in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`data_range` must be the largest possible"):
            ssim(a, b, data_range=data_range)
    with pytest.raises(ValueError, match="`window` must be one of .*; received 'box', 11"):
        ssim(a, b, data_range=1, window="box")
    with pytest.raises(ValueError, match="`weights` must be numbers above 0; received"):
        ms_ssim(a, b, data_range=1, weights=())
