import numpy as np
import pytest

from kmed.data.class_weights import balanced_class_weights, checked_targets
from kmed.data.sample import DataError


def test_each_class_weighs_the_same():
    targets = [0] * 6 + [1] * 3 + [2]
    weights = balanced_class_weights(targets, 3, "multiclass")
    np.testing.assert_allclose(weights, [10 / 18, 10 / 9, 10 / 3], rtol=1e-6)
    assert weights.dtype == np.float32 and weights[targets].mean() == pytest.approx(1)


def test_positives_weigh_as_much_as_negatives():
    targets = [(1, 0), (0, 0), (1, 1), (1, 0)]
    weights = balanced_class_weights(targets, 2, "multilabel")
    np.testing.assert_allclose(weights, [1 / 3, 3])


def test_classes_that_cannot_be_weighted():
    with pytest.raises(DataError, match="class 1 has no training example"):
        balanced_class_weights([0, 2], 3, "ordinal")
    for targets in ([(0, 1), (0, 0)], [(1, 1), (1, 0)]):
        with pytest.raises(DataError, match="label 0 is on . of 2 training examples"):
            balanced_class_weights(targets, 2, "multilabel")


@pytest.mark.parametrize(
    ("targets", "classes", "kind", "message"),
    [
        ([0, 2], 2, "binary", "must be from 0 to 1; received 0 to 2"),
        ([0, -1], 3, "multiclass", "must be from 0 to 2; received -1"),
        ([[0, 2]], 2, "multilabel", "must be from 0 to 1"),
        ([[0, 1]], 3, "multilabel", r"shape \(N, K\) .* 3 classes; received int64 \(1, 2\)"),
        ([[0], [1]], 2, "binary", r"shape \(N,\)"),
        ([0.0, 1.0], 2, "binary", "integers"),
        ([], 2, "binary", "integers"),
        ([0], 2, "both", "`kind` must be one of"),
    ],
)
def test_targets_that_do_not_fit(targets, classes, kind, message):
    with pytest.raises(ValueError, match=message):
        checked_targets(targets, classes, kind)
