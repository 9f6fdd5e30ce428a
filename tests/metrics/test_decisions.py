import keras
import numpy as np
import pytest

from kmed.export import ClassificationDecoder
from kmed.metrics import decision_confidence, decisions
from kmed.ops.class_targets import KINDS

P = np.array([[0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])


def test_binary_reaches_its_threshold():
    assert decisions(P, "binary").tolist() == [0, 1, 1]
    for thresholds in (0.3, (0.9, 0.3)):  # one number, or one per class of which the second counts
        assert decisions(P, "binary", thresholds).tolist() == [1, 1, 1]


def test_multilabel_has_a_threshold_for_each():
    assert decisions(P, "multilabel").tolist() == [[1, 0], [0, 1], [1, 1]]
    assert decisions(P, "multilabel", (0.6, 0.2)).tolist() == [[1, 1], [0, 1], [0, 1]]


def test_multiclass_takes_the_first_of_equals():
    assert decisions(P, "multiclass").tolist() == [0, 1, 0]


def test_ordinal_takes_the_grade_of_least_absolute_error():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 200)
    grades = np.arange(5)
    expected = [np.argmin([(row * abs(grades - g)).sum() for g in grades]) for row in p]
    assert decisions(p, "ordinal").tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_model_decides_alike(kind):
    logits = np.random.default_rng(1).normal(0, 2, (50, 2 if kind == "binary" else 4))
    thresholds = {"binary": (0.5, 0.3), "multilabel": (0.2, 0.4, 0.6, 0.8)}.get(kind)
    decoded = ClassificationDecoder(kind, thresholds=thresholds)(logits.astype("float32"))
    decoded = {key: keras.ops.convert_to_numpy(value) for key, value in decoded.items()}
    found = decisions(decoded["probabilities"], kind, thresholds)
    np.testing.assert_array_equal(found, decoded["labels"])


def test_confidence():
    np.testing.assert_allclose(decision_confidence(P, "multiclass"), [0.7, 0.6, 0.5])
    np.testing.assert_allclose(decision_confidence(P, "binary"), [0.7, 0.6, 0.5])
    # Half the way from 0.2 down to 0, half the way up to 1, and at the threshold itself.
    p = np.array([0.1, 0.6, 0.2])
    found = decision_confidence(np.stack([1 - p, p], 1), "binary", 0.2)
    np.testing.assert_allclose(found, [0.75, 0.75, 0.5])
    np.testing.assert_allclose(decision_confidence([[0.9, 0.45]], "multilabel"), [0.55])
    np.testing.assert_allclose(decision_confidence([[0.4, 0.3, 0.3]], "ordinal"), [0.3])
    assert decision_confidence(P, "binary", 2.0).max() < 1


def test_refusals():
    with pytest.raises(ValueError, match="kind"):
        decisions(P, "regression")
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        decisions(np.ones((3, 3)) / 3, "binary")
    with pytest.raises(ValueError, match="most probable class"):
        decisions(P, "multiclass", 0.5)
    with pytest.raises(ValueError, match="one for each of 2"):
        decisions(P, "multilabel", (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="finite"):
        decisions(P, "binary", float("inf"))
