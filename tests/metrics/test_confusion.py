"""A matrix worked by hand, and the same from loops."""

import numpy as np
import pytest

from kmed.metrics import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    dice_score,
    f1,
    one_against_rest,
    sensitivity,
    specificity,
)

# Rows are the truth: 10 of class 0, 5 of class 1, 5 of class 2.
MATRIX = np.array([[8, 2, 0], [1, 3, 1], [0, 0, 5]])


def rows():
    truth = np.repeat(np.repeat(np.arange(3), 3), MATRIX.ravel())
    prediction = np.repeat(np.tile(np.arange(3), 3), MATRIX.ravel())
    order = np.random.default_rng(0).permutation(20)
    return truth[order], prediction[order]


def test_the_matrix_counts():
    truth, prediction = rows()
    found = confusion_matrix(truth, prediction, 3)
    np.testing.assert_array_equal(found, MATRIX)
    assert found.dtype == np.int64
    assert confusion_matrix(truth, prediction, 4).shape == (4, 4)


def test_measures_by_hand():
    assert accuracy(MATRIX) == 16 / 20
    np.testing.assert_allclose(sensitivity(MATRIX), [0.8, 0.6, 1.0])
    np.testing.assert_allclose(specificity(MATRIX), [9 / 10, 13 / 15, 14 / 15])
    np.testing.assert_allclose(f1(MATRIX), [16 / 19, 6 / 10, 10 / 11])
    assert balanced_accuracy(MATRIX) == pytest.approx(0.8)


def test_f1_is_the_dice_of_each_class():
    truth, prediction = rows()
    np.testing.assert_allclose(f1(MATRIX), dice_score(truth, prediction, 3))


def test_one_against_rest():
    truth, prediction = rows()
    for k, found in enumerate(one_against_rest(MATRIX)):
        expected = confusion_matrix(1 * (truth == k), 1 * (prediction == k), 2)
        np.testing.assert_array_equal(found, expected)
        assert sensitivity(found)[1] == pytest.approx(sensitivity(MATRIX)[k])
        assert sensitivity(found)[0] == pytest.approx(specificity(MATRIX)[k])


def test_weights_count_rows_several_times():
    truth, prediction = rows()
    weights = np.random.default_rng(1).integers(0, 3, (6, 20))
    found = confusion_matrix(truth, prediction, 3, weights)
    for matrix, w in zip(found, weights, strict=True):
        expected = confusion_matrix(np.repeat(truth, w), np.repeat(prediction, w), 3)
        np.testing.assert_array_equal(matrix, expected)
    for measure in (accuracy, balanced_accuracy, sensitivity, specificity, f1):
        each = [measure(matrix) for matrix in found]
        np.testing.assert_allclose(measure(found), each)


def test_a_missing_class_is_not_a_number():
    matrix = [[3, 1, 1], [0, 4, 0], [0, 0, 0]]
    np.testing.assert_allclose(sensitivity(matrix), [0.6, 1, np.nan])
    np.testing.assert_allclose(f1(matrix), [6 / 8, 8 / 9, np.nan])
    np.testing.assert_allclose(specificity(matrix)[2], 8 / 9)
    assert np.isnan(balanced_accuracy(matrix)) and accuracy(matrix) == 7 / 9
    assert f1([[5, 0], [3, 0]])[1] == 0  # there, but never found
    assert np.isnan(specificity([[5, 0], [0, 0]])[0])


def test_refusals():
    with pytest.raises(ValueError, match="0..1; received 2"):
        confusion_matrix([0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match="`prediction` must hold"):
        confusion_matrix([0, 1], [0, -1], 2)
    with pytest.raises(ValueError, match="equally long"):
        confusion_matrix([0, 1], [0], 2)
    with pytest.raises(ValueError, match=r"\(..., K, K\)"):
        accuracy([[1, 2, 3]])
