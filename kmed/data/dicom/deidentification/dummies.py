"""What values of each value representation look like, and one of each that says nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from kmed.data.dicom.deidentification.pseudonyms import shifted

# Reference: DICOM PS3.5, 6.2 (Value Representation).
_DUMMIES = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED"),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), b"\0" * 8),
    **dict.fromkeys(("FD", "FL"), 0.0),
    **dict.fromkeys(("SL", "SS", "SV", "UL", "US", "UV", "AT"), 0),
    **dict.fromkeys(("DS", "IS"), "0"),
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "urn:removed",
}
# pydicom keeps as text what is none of these. Dates are looked at one by one.
_FORMS = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "DS": re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"),
    "IS": re.compile(r"[-+]?\d+(\.0*)?"),
    "TM": re.compile(r"[0-9:.]+"),
    "UI": re.compile(r"[0-9.]+"),
}


def dummy(vr: str) -> object:
    """Gives a value that is valid and says nothing.

    Args:
        vr: value representation.

    Returns:
        A value that is not empty, but for sequences, which get one empty item.

    Raises:
        KeyError: UI, which takes a UID instead, and what the standard does not have.

    Example:
        >>> dummy("PN"), dummy("DA")
        ('REMOVED', '19000101')
    """
    return Sequence([Dataset()]) if vr == "SQ" else _DUMMIES[vr]


def well_formed(element: DataElement) -> bool:
    """Tells whether numbers, dates, times, ages and UIDs are what their representation says.

    Reference: DICOM PS3.5, 6.2 (Value Representation).

    Args:
        element: of any value representation; texts and binary numbers are always well formed.

    Example:
        >>> well_formed(DataElement(0x00101010, "AS", "047Y"))
        True
    """
    values = [value.strip(" \0") for value in values_of(element)]
    if element.VR in ("DA", "DT"):
        return all(not value or shifted(value, 0) is not None for value in values)
    form = _FORMS.get(element.VR)
    return form is None or all(not value or form.fullmatch(value) for value in values)


def values_of(element: DataElement) -> Iterator[str]:
    """Gives each value of an element as a text, none of an empty one."""
    value = element.value
    if value is None or (isinstance(value, str) and value == ""):
        return
    for one in value if isinstance(value, MultiValue | list | tuple) else [value]:
        yield "" if one is None else str(one)
