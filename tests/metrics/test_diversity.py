import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from kmed.metrics import distances
from kmed.metrics.diversity import COLLAPSED, diversity, least_diversity, mean_distance


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(distances, "_ROWS", 7)


def images(count, seed=0, shape=(4, 4, 1)):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype("float32")


def nearest_other(table):
    found = cdist(table, table)
    np.fill_diagonal(found, np.inf)
    return found.min(axis=1).mean()


def test_scipys_distances():
    fake, real = images(19) / 2, images(30, 1)
    flat = [table.reshape(len(table), -1).astype("float64") for table in (fake, real)]
    assert mean_distance(real) == pytest.approx(pdist(flat[1]).mean(), rel=1e-9)
    assert diversity(fake, real) == pytest.approx(pdist(flat[0]).mean() / pdist(flat[1]).mean())
    chosen = np.linspace(0, 29, 19).round().astype(int)
    expected = nearest_other(flat[0]) / nearest_other(flat[1][chosen])
    assert least_diversity(fake, real) == pytest.approx(expected)
    chosen = np.linspace(0, 29, 10).round().astype(int)
    expected = nearest_other(flat[1][chosen]) / nearest_other(flat[0][:10])
    assert least_diversity(real, fake[:10]) == pytest.approx(expected)


def test_collapses():
    real = images(40)
    same = np.repeat(images(1, 2), 20, axis=0)
    assert diversity(same, real) < 1e-6 and least_diversity(same, real) < 1e-6
    nearly = same + 0.02 * images(20, 3)
    assert 0 < diversity(nearly, real) < COLLAPSED
    one_of_each_class = np.tile(images(4, 2), (5, 1, 1, 1))
    assert diversity(one_of_each_class, real) > 0.5
    assert least_diversity(one_of_each_class, real) < 1e-6


def test_what_does_not_fit_is_said():
    real = images(6)
    for measure in (diversity, least_diversity):
        with pytest.raises(ValueError, match=r"received \(6, 4, 4, 1\) and \(6, 4, 4\)"):
            measure(real, real[..., 0])
        with pytest.raises(ValueError, match="two of each at least"):
            measure(real[:1], real)
        with pytest.raises(ValueError, match="images that differ"):
            measure(real, np.zeros_like(real))
        with pytest.raises(ValueError, match="finite"):
            measure(np.full_like(real, np.nan), real)
    with pytest.raises(ValueError, match="two images are needed at least; received 1"):
        mean_distance(real[:1])
