import numpy as np
import pytest

from kmed.ops.class_targets import class_targets


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_indices_become_one_hot(dtype):
    labels = np.array([2, 0, 1], dtype)
    expected = np.eye(3)[[2, 0, 1]]
    np.testing.assert_array_equal(class_targets(labels, 3), expected)
    np.testing.assert_array_equal(class_targets(labels[:, None], 3), expected)


def test_soft_targets_stay_what_they_are():
    soft = np.array([[0.25, 0.75], [1.0, 0.0]], "float32")
    np.testing.assert_array_equal(class_targets(soft, 2), soft)
    several = np.array([[1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_array_equal(class_targets(several, 2, exclusive=False), several)
    np.testing.assert_array_equal(class_targets([[1.0]], 1, exclusive=False), [[1.0]])


def test_what_is_no_target_is_not_a_number():
    found = class_targets([0, 3, -1, 0.5, np.nan], 3)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, True]
    found = class_targets([[0.5, 0.5], [1.0, 1.0], [-0.5, 1.5], [np.nan, 1.0]], 2)
    assert np.isnan(found).any(axis=1).tolist() == [False, True, True, True]


def test_shapes_that_are_neither():
    with pytest.raises(ValueError, match="class indices or"):
        class_targets(np.zeros((2, 3)), 4)
    with pytest.raises(ValueError, match=r"\(B, 4\) targets"):
        class_targets(np.zeros(2), 4, exclusive=False)
