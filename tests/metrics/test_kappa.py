"""Kappa against published examples, loops, and what quadratic weights mean."""

import numpy as np
import pytest

from kmed.metrics import kappa

# Cohen 1968, table 1 in counts of 200: judges' diagnoses, three categories.
COHEN = np.array([[88, 14, 18], [10, 40, 10], [2, 6, 12]])


def by_loops(matrix, fault):
    total, (rows, columns) = matrix.sum(), (matrix.sum(1), matrix.sum(0))
    observed = expected = 0.0
    for i in range(len(matrix)):
        for j in range(len(matrix)):
            observed += fault(i, j) * matrix[i, j] / total
            expected += fault(i, j) * rows[i] * columns[j] / total**2
    return 1 - observed / expected


def test_cohens_own_example():
    # 0.70 observed and 0.41 expected agreement: 0.29 / 0.59
    assert kappa(COHEN) == pytest.approx(0.29 / 0.59)


@pytest.mark.parametrize(
    "weighting, fault",
    [
        (None, lambda i, j: i != j),
        ("linear", lambda i, j: abs(i - j)),
        ("quadratic", lambda i, j: (i - j) ** 2),
    ],
)
def test_against_loops(weighting, fault):
    matrices = np.random.default_rng(0).integers(0, 20, (5, 4, 4))
    expected = [by_loops(matrix, fault) for matrix in matrices]
    np.testing.assert_allclose(kappa(matrices, weighting), expected)


def test_quadratic_weights_are_an_intraclass_correlation():
    # With equal margins it is the correlation of the two gradings (Fleiss and Cohen 1973).
    matrix = np.array([[6, 2, 1], [1, 7, 3], [2, 2, 9]])
    matrix = matrix + matrix.T
    i, j = (np.repeat(g.ravel(), matrix.ravel()) for g in np.indices((3, 3)))
    assert kappa(matrix, "quadratic") == pytest.approx(np.corrcoef(i, j)[0, 1])


def test_its_ends():
    assert kappa(np.diag([3, 4, 5])) == 1
    assert kappa(np.outer([2, 3], [4, 1])) == pytest.approx(0)
    assert kappa([[0, 5], [5, 0]]) == -1
    assert np.isnan(kappa([[7, 0], [0, 0]]))
    with pytest.raises(ValueError, match="weighting"):
        kappa(COHEN, "cubic")
    with pytest.raises(ValueError, match="K, K"):
        kappa(COHEN[:2])
