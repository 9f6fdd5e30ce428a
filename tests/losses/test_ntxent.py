import numpy as np
import pytest

from kmed.losses.ntxent import NTXentLoss


def unit(*shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_follows_simclr_on_two_views():
    """Equation 1 of the paper: 2N items, each with one match, all others in the denominator."""
    x, labels = unit(8, 5, seed=0), np.tile(np.arange(4), 2)
    values = []
    for i in range(8):
        e = [np.exp(x[i] @ x[k] / 0.5) for k in range(8)]
        values.append(-np.log(e[(i + 4) % 8] / sum(e[k] for k in range(8) if k != i)))
    loss = NTXentLoss(0.5)
    np.testing.assert_allclose(loss.call(labels, x), np.mean(values), rtol=1e-9)
    # Lengths do not matter.
    long = x * np.arange(1, 9)[:, None]
    np.testing.assert_allclose(loss.call(labels, long), np.mean(values), rtol=1e-9)


def test_across_modalities_with_loops():
    a, g = unit(6, 4, seed=0), unit(10, 4, seed=1)
    kind = np.random.default_rng(2).integers(0, 3, (6, 10))
    values = []
    for i, j in zip(*np.nonzero(kind == 0), strict=True):
        others = sum(np.exp(a[i] @ g[k] / 0.1) for k in np.flatnonzero(kind[i] == 1))
        own = np.exp(a[i] @ g[j] / 0.1)
        values.append(-np.log(own / (own + others)))
    found = NTXentLoss().cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-9)


def test_temperature_is_checked():
    with pytest.raises(ValueError, match="`temperature` must be above 0; received 0"):
        NTXentLoss(0)
