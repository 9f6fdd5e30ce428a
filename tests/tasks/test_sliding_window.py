import numpy as np
import pytest

from kmed.tasks.sliding_window import gaussian_window, sliding_window


def whole(predict, image, window, **options):
    parts = list(sliding_window(predict, image, window, **options))
    assert [first for first, _ in parts] == list(np.cumsum([0] + [len(v) for _, v in parts])[:-1])
    return np.concatenate([values for _, values in parts])


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize(
    ("shape", "window"),
    [((17, 30, 9), (8, 16, 16)), ((5, 40, 33), (8, 16, 16)), ((33, 40), (16, 8)), ((8, 8), (8, 8))],
)
def test_identity_gives_the_image_back(shape, window, flips):
    image = np.random.default_rng(0).normal(size=(*shape, 2)).astype("float32")
    found = whole(lambda x: x, image, window, overlap=0.6, flips=flips)
    np.testing.assert_allclose(found, image, atol=1e-5)


def test_margin_is_seen_and_cut_off():
    # The network of margin 1: mean of the 3x3 neighbourhood, valid convolution.
    image = np.random.default_rng(0).normal(size=(20, 21, 1)).astype("float32")

    def mean(x):
        n, m = x.shape[1] - 2, x.shape[2] - 2
        return sum(x[:, i : i + n, j : j + m] for i in range(3) for j in range(3)) / 9

    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), "reflect")
    found = whole(mean, image, (8, 8), margin=1)
    np.testing.assert_allclose(found, mean(padded[None])[0], atol=1e-5)


def test_windows_are_blended_with_gaussian_weights():
    # Two windows of four over six rows; the second predicts 1, the first 0.
    calls = iter([0.0, 1.0])
    image = np.zeros((6, 1, 1), "float32")
    found = whole(
        lambda x: np.full((len(x), 4, 1, 1), next(calls), "float32"),
        image, (4, 1), batch_size=1, overlap=0.5,
    )  # fmt: skip
    weight = gaussian_window((4, 1))[:, 0]
    expected = [
        0,
        0,
        weight[0] / (weight[0] + weight[2]),
        weight[1] / (weight[1] + weight[3]),
        1,
        1,
    ]
    np.testing.assert_allclose(found[:, 0, 0], expected, atol=1e-6)


def test_gaussian_window_equals_monais(goldens):
    expected = np.load(goldens / "monai.npz")["gaussian_window_32_48"]
    np.testing.assert_allclose(gaussian_window((32, 48)), expected, atol=1e-6)


def test_memory_does_not_grow_with_the_first_axis():
    longest = 0
    image = np.broadcast_to(np.float32(1), (400, 16, 16, 1))
    for _, values in sliding_window(lambda x: x, image, (16, 16, 16)):
        longest = max(longest, len(values))
    assert longest <= 16


def test_refuses_what_does_not_fit():
    image = np.zeros((8, 8, 1), "float32")
    with pytest.raises(ValueError, match="one size per spatial axis"):
        next(sliding_window(lambda x: x, image, (8, 8, 8)))
    with pytest.raises(ValueError, match=r"\[0, 1\); received 1"):
        next(sliding_window(lambda x: x, image, (8, 8), overlap=1))
