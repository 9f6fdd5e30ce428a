import numpy as np
import pytest

from kmed.export.box_comparison import AgreementError
from kmed.export.embedding_comparison import EmbeddingComparison


def compared(difference):
    comparison = EmbeddingComparison()
    one = {"embedding": np.array([0.6, 0.8])}
    comparison.add(one, one)
    comparison.add(one, {"embedding": np.array([0.6, 0.8 + difference])})
    return comparison


def test_the_largest_difference_counts():
    comparison = compared(-9e-6)
    assert comparison.row() == {"images": 2, "max_difference": pytest.approx(9e-6)}
    comparison.check("x")


@pytest.mark.parametrize("difference", [2e-5, float("nan")])
def test_more_is_refused(difference):
    with pytest.raises(AgreementError, match="x differs from Keras"):
        compared(difference).check("x")


def test_nothing_compared_is_refused():
    with pytest.raises(ValueError, match="empty"):
        EmbeddingComparison().check("x")
