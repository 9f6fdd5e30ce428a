import numpy as np
import pytest

from kmed.losses.sigmoid_pairs import SigmoidLoss


def unit(*shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_follows_siglip():
    """Algorithm 1 of the paper, with loops."""
    images, texts = unit(5, 4, seed=0), unit(5, 4, seed=1)
    same = np.eye(5, dtype=bool)
    for scale, bias in ((10.0, -10.0), (3.0, 0.5)):
        total = 0
        for i in range(5):
            for j in range(5):
                z = 1 if i == j else -1
                total -= np.log(1 / (1 + np.exp(-z * (scale * images[i] @ texts[j] + bias))))
        loss = SigmoidLoss(scale, bias)
        assert loss.learnable == {"log_scale": np.log(scale), "bias": bias}
        found = loss.cross(images, texts, same, ~same)
        np.testing.assert_allclose(found, total / 5, rtol=1e-6)
        learnt = SigmoidLoss().cross(
            images, texts, same, ~same, log_scale=np.log(scale), bias=np.float64(bias)
        )
        np.testing.assert_allclose(learnt, total / 5, rtol=1e-6)
        fixed = SigmoidLoss(scale, bias, learnable=False)
        assert fixed.learnable == {}
        np.testing.assert_allclose(fixed.cross(images, texts, same, ~same), found, rtol=1e-6)


def test_anchors_of_which_nothing_is_known_do_not_count():
    images, texts = unit(3, 4, seed=0), unit(4, 4, seed=1)
    same, other = np.eye(3, 4, dtype=bool), ~np.eye(3, 4, dtype=bool)
    less = SigmoidLoss().cross(images[:2], texts, same[:2], other[:2])
    same[2] = other[2] = False
    np.testing.assert_allclose(SigmoidLoss().cross(images, texts, same, other), less, rtol=1e-6)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`scale` must be above 0; received -1"):
        SigmoidLoss(-1.0)
    with pytest.raises(ValueError, match="`bias` must be a number; received inf"):
        SigmoidLoss(bias=float("inf"))
