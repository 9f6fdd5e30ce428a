"""The profile's table: its rows, the choices between actions, the types of PS3.3."""

import pytest
from pydicom.datadict import dictionary_description, dictionary_has_tag

from kmed.data.dicom.deidentification.confidentiality import (
    METHODS,
    Options,
    resolved,
    rule_of,
    rules,
    safe_private,
    type_of,
)

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_the_table_is_whole():
    assert len(rules()) == 655  # of PS3.15-2026c, without the row of private attributes
    actions = {"D", "Z", "X", "U", "X/Z", "X/D", "Z/D", "X/Z/D", "X/Z/U*"}
    assert {rule.basic for rule in rules().values()} == actions
    for tag, rule in rules().items():
        assert set(rule.options.values()) <= {"K", "C"}
        if "X" not in tag and dictionary_has_tag(int(tag, 16)):
            assert rule.name == dictionary_description(int(tag, 16))


@pytest.mark.parametrize(
    "tag, basic, options",
    [  # read off PS3.15 by hand
        (0x00080050, "Z", {}),
        (0x0008002A, "X/Z/D", {"full_dates": "K", "modified_dates": "C"}),
        (0x00100010, "Z", {}),
        (0x00100030, "Z", {}),
        (0x00101010, "X", {"retain_patient": "K"}),
        (0x00081140, "X/Z/U*", {"retain_uids": "K"}),
        (0x0008103E, "X", {"clean_descriptors": "C"}),
        (0x00181002, "U", {"retain_uids": "K", "retain_device": "K"}),
        (0x00080080, "X/Z/D", {"retain_institution": "K"}),
        (0x0040A730, "D", {"clean_structured": "C"}),
        (0x00700001, "D", {"clean_graphics": "C"}),
    ],
)
def test_rows(tag, basic, options):
    assert (rule_of(tag).basic, dict(rule_of(tag).options)) == (basic, options)


def test_types_are_those_of_the_ct_image():
    # PS3.3: C.7.1.1, C.7.2.1, C.7.5.1, C.7.6.1
    assert type_of(CT, 0x00100010, nested=False) == "2"
    assert type_of(CT, 0x00080050, nested=False) == "2"
    assert type_of(CT, 0x00100021, nested=False) == "3"
    assert type_of(CT, 0x0040A730, nested=False) == "3"
    assert type_of("1.2.3", 0x00100010, nested=False) is None


@pytest.mark.parametrize(
    "action, by_type",
    [
        ("X", "DDZZXX"),
        ("Z", "DDZZZZ"),
        ("D", "DDDDDD"),
        ("U", "UUUUUU"),
        ("X/Z", "DDZZXZ"),
        ("X/D", "DDDDXD"),
        ("Z/D", "DDZZZD"),
        ("X/Z/D", "DDZZXD"),
        ("X/Z/U*", "UUUUUU"),
    ],
)
def test_choices(action, by_type):
    types = ("1", "1C", "2", "2C", "3", None)
    assert "".join(resolved(action, type_) for type_ in types) == by_type


def test_methods_are_codes_of_cid_7050():
    assert Options().methods() == [("113100", METHODS["profile"][1])]
    chosen = Options(dates="shift", retain_uids=True, vocabulary={"axial"})
    assert {code for code, _ in chosen.methods()} == {"113100", "113107", "113110", "113105"}


def test_options_refuse_what_they_are_not():
    with pytest.raises(ValueError, match="`dates` must be"):
        Options(dates="full")
    with pytest.raises(ValueError, match="`vocabulary` must be a collection"):
        Options(vocabulary="axial")


def test_safe_private_attributes():
    assert (0x7053, "Philips PET Private Group", 0x00) in safe_private()
    assert (0x0019, "SIEMENS MR HEADER", 0x0C) in safe_private()
    assert not any(creator.startswith("SIEMENS CSA") for _, creator, _ in safe_private())
