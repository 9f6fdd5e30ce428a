"""What pydicom says of values is kept out of warnings and logs, and heard again afterwards."""

import logging
import warnings

import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom.hushed import hushed


def test_values_are_not_repeated(caplog):
    with warnings.catch_warnings(record=True) as warned, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        with hushed():
            Dataset().StudyDate = "Jane Roe"
    assert not warned and "Jane" not in caplog.text


def test_afterwards_and_after_errors_it_speaks():
    with pytest.raises(KeyError), hushed():
        raise KeyError("own")
    with pytest.warns(UserWarning, match="Invalid value"):
        Dataset().StudyDate = "Jane Roe"


def test_others_are_heard():
    with hushed(), pytest.warns(UserWarning, match="own"):
        warnings.warn("own", UserWarning, stacklevel=1)
