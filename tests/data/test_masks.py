import numpy as np
import pytest

from kmed.data.masks import class_indices
from kmed.data.sample import DataError


def indices(values, **options):
    mask = class_indices(np.array(values), "m.png", **options)
    assert mask.dtype == np.uint8
    return mask.tolist()


def test_values_that_are_classes_stay():
    assert indices([0, 1, 2], classes=3) == [0, 1, 2]
    assert indices([0.0, 1.9999], classes=3) == [0, 2]
    assert indices([False, True]) == [0, 1]
    assert indices([255, 3]) == [255, 3]
    assert class_indices(np.zeros((0, 3)), "m.png", classes=2).shape == (0, 3)


def test_two_classes_stored_as_0_and_255():
    assert indices([0, 255], classes=2, binary_255=True) == [0, 1]
    assert indices([255, 255], binary_255=True) == [1, 1]
    assert indices([0, 0], classes=2, binary_255=True) == [0, 0]
    assert indices([0, 1], classes=2, binary_255=True) == [0, 1]
    assert indices([0, 255], classes=256, binary_255=True) == [0, 255]
    with pytest.raises(DataError, match="fits two classes, not classes=3"):
        indices([0, 255], classes=3, binary_255=True)
    with pytest.raises(DataError, match="255"):
        indices([0, 1, 255], classes=2, binary_255=True)


def test_mapping():
    assert indices([0, 128, 255], mask_values={0: 0, 128: 2, 255: 1}) == [0, 2, 1]
    with pytest.raises(DataError, match="m.png: holds the value 7, which `mask_values`"):
        indices([0, 7], mask_values={0: 0})
    with pytest.raises(ValueError, match="received 255: 2"):
        indices([0], classes=2, mask_values={255: 2})


@pytest.mark.parametrize("bad", [[0, 3], [-1, 0], [0, 300]])
def test_values_outside_the_classes(bad):
    with pytest.raises(DataError, match=r"m.png: a mask holds class indices from 0 to 2"):
        indices(bad, classes=3)


@pytest.mark.parametrize("bad", [[0.5], [np.nan, 0], [np.inf]])
def test_fractions(bad):
    with (
        pytest.raises(DataError, match="m.png: a mask holds whole numbers"),
        np.errstate(all="ignore"),
    ):
        indices(bad)


@pytest.mark.parametrize("classes", [0, 257, True])
def test_classes_out_of_range(classes):
    with pytest.raises(ValueError, match="`classes` must be from 1 to 256"):
        indices([0], classes=classes)
