import numpy as np
import pytest
from scipy import stats

from kmed.uncertainty import expected_entropy, mutual_information, predictive_entropy


def members(shape=(5, 7, 4, 3), seed=0):
    return np.random.default_rng(seed).dirichlet([0.5] * shape[-1], shape[:-1])


def test_against_scipy():
    p = members()
    np.testing.assert_allclose(predictive_entropy(p), stats.entropy(p.mean(axis=0), axis=-1))
    np.testing.assert_allclose(expected_entropy(p), stats.entropy(p, axis=-1).mean(axis=0))
    # BALD is also the mean divergence of the members from their mean.
    divergence = stats.entropy(p, np.broadcast_to(p.mean(axis=0), p.shape), axis=-1)
    np.testing.assert_allclose(mutual_information(p), divergence.mean(axis=0), atol=1e-12)
    assert predictive_entropy(p).shape == (7, 4)


def test_labels_by_themselves():
    p = members()[..., :1]
    two = np.concatenate([p, 1 - p], axis=-1)
    for measure in (predictive_entropy, expected_entropy, mutual_information):
        np.testing.assert_allclose(measure(p, "sigmoid"), measure(two), atol=1e-12)
    both = np.concatenate([p, p], axis=-1)
    np.testing.assert_allclose(
        predictive_entropy(both, "sigmoid"), 2 * predictive_entropy(p, "sigmoid")
    )


def test_extremes():
    agree = np.tile([[1.0, 0.0, 0.0]], (4, 1, 1))
    assert predictive_entropy(agree) == mutual_information(agree) == 0
    unsure = np.full((4, 1, 3), 1 / 3)
    assert predictive_entropy(unsure)[0] == pytest.approx(np.log(3))
    assert mutual_information(unsure)[0] == 0
    assert (mutual_information(members(seed=1).astype("float32")) >= 0).all()


def test_refused():
    p = members()
    with pytest.raises(ValueError, match=r"received shape \(7, 3\)"):
        predictive_entropy(p[0, :, 0])
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        predictive_entropy(p * 3 - 1)
    with pytest.raises(ValueError, match='kind="sigmoid"'):
        expected_entropy(p[..., :2])
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        mutual_information(p * np.nan)
    with pytest.raises(ValueError, match="'tanh'"):
        mutual_information(p, "tanh")
