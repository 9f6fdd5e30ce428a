"""What pydicom raises becomes an error that says which file, and nothing of its values."""

import pytest

from kmed.data.dicom.errors import Damaged, TooLarge
from kmed.data.dicom.typed import typed_errors


def test_any_error_names_the_file_and_repeats_no_value():
    with pytest.raises(Damaged, match=r"a\.dcm: its pixels can't be read") as refused:
        with typed_errors("a.dcm", "its pixels can't be read"):
            raise NotImplementedError("Unknown Value Representation 'Jane Roe'")
    assert "Jane" not in str(refused.value) and refused.value.files == ("a.dcm",)


def test_errors_of_kmed_and_of_the_machine_pass():
    for error in (TooLarge("too large"), MemoryError(), FileNotFoundError("gone")):
        with pytest.raises(type(error)), typed_errors("a.dcm", "it can't be read"):
            raise error
