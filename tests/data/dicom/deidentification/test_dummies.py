"""Dummies are valid, and what is no value of its representation is seen."""

import warnings

import pytest
from pydicom.dataelem import DataElement
from pydicom.valuerep import STANDARD_VR

from kmed.data.dicom.deidentification.dummies import dummy, values_of, well_formed


@pytest.mark.parametrize("vr", sorted(set(map(str, STANDARD_VR)) - {"UI", "SQ"}))
def test_every_dummy_is_a_valid_value(vr):
    element = DataElement(0x00091001, vr, dummy(vr))  # pydicom warns of others, an error here
    assert not element.is_empty and well_formed(element)


def test_a_sequence_has_an_item():
    assert len(dummy("SQ")) == 1


@pytest.mark.parametrize(
    "vr, value, good",
    [
        ("DS", "-1.5e-3", True),
        ("DS", "Roe", False),
        ("IS", "12", True),
        ("AS", "047Y", True),
        ("AS", "Jane", False),
        ("DA", "20240229", True),
        ("DA", "20230229", False),
        ("DT", "2024", True),
        ("TM", "101112.5", True),
        ("TM", "at noon", False),
        ("UI", ["1.2.3", "1.2.4"], True),
        ("UI", ["1.2.3", "Roe"], False),
        ("LO", "Roe", True),
        ("DA", "", True),
    ],
)
def test_forms(vr, value, good):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        element = DataElement(0x00091001, vr, value, already_converted=vr in ("DS", "IS"))
    assert well_formed(element) == good


def test_values_one_by_one():
    assert list(values_of(DataElement(0x00091001, "LO", ["a", "b"]))) == ["a", "b"]
    assert list(values_of(DataElement(0x00091001, "LO", ""))) == []
