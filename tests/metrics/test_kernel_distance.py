import numpy as np
import pytest

from kmed.metrics.kernel_distance import cubic_kernel, discrepancy, kernel_distance


def one_by_one(real, fake):
    """Gretton's unbiased estimate with Bińkowski's kernel, pair by pair."""

    def k(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(table):
        pairs = [k(x, y) for i, x in enumerate(table) for j, y in enumerate(table) if i != j]
        return sum(pairs) / len(pairs)

    between = [k(x, y) for x in real for y in fake]
    return within(real) + within(fake) - 2 * sum(between) / len(between)


def test_pairs_in_loops():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(14, 5)), rng.normal(0.3, 2, (14, 5))
    found = kernel_distance(real, fake)
    assert found.value == pytest.approx(one_by_one(real, fake), rel=1e-12)
    assert np.isnan(found.deviation) and (found.subsets, found.size) == (1, 14)
    other = discrepancy(
        cubic_kernel(real, real), cubic_kernel(fake[:9], fake[:9]), cubic_kernel(real, fake[:9])
    )
    assert other == pytest.approx(one_by_one(real, fake[:9]), rel=1e-12)


def test_subsets():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(14, 5)), rng.normal(0.3, 2, (20, 5))
    found = kernel_distance(real, fake, subsets=7, size=10, seed=3)
    rng, values = np.random.default_rng(3), []
    for _ in range(7):
        rows = [rng.choice(n, 10, replace=False) for n in (14, 20)]
        values.append(one_by_one(real[rows[0]], fake[rows[1]]))
    assert found.value == pytest.approx(np.mean(values))
    assert found.deviation == pytest.approx(np.std(values, ddof=1))
    assert found == kernel_distance(real, fake, subsets=7, size=10, seed=3)
    assert kernel_distance(real, fake).size == 14


def test_unbiased_for_any_number():
    rng = np.random.default_rng(0)
    for count in (5, 50):
        values = [kernel_distance(*rng.normal(size=(2, count, 3))).value for _ in range(400)]
        assert abs(np.mean(values)) < 4 * np.std(values) / 20


def test_what_does_not_fit_is_said():
    table = np.ones((5, 3))
    with pytest.raises(ValueError, match=r"received \(5, 3\) and \(5, 2\)"):
        kernel_distance(table, table[:, 1:])
    with pytest.raises(ValueError, match="received 0 and 1000"):
        kernel_distance(table, table, subsets=0)
    with pytest.raises(ValueError, match="`size` at least 2; received 100 and 1"):
        kernel_distance(table, table, size=1)
