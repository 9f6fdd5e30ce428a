"""Single values of a data set, taken from their bytes: quick, and never with a warning."""

from __future__ import annotations

from functools import lru_cache

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from kmed.data.dicom.errors import Damaged

# The tag of a number, the same object each time: dictionaries find it without comparing it.
tag_of = lru_cache(maxsize=4096)(BaseTag)


def _value(ds: Dataset, tag: BaseTag) -> object:
    try:
        element = ds.get_item(tag)
        return None if element is None else element.value
    except NotImplementedError:  # pydicom's word for a VR that is none
        return None


def text(ds: Dataset, tag: BaseTag) -> str:
    """A value of the default character set, unpadded; "" where absent."""
    value = _value(ds, tag)
    if isinstance(value, bytes):
        return value.decode("latin-1").strip("\0 \t\r\n")
    if value is None or isinstance(value, str):
        return (value or "").strip("\0 \t\r\n")
    return "\\".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def words(ds: Dataset, tag: BaseTag) -> str:
    """A value in the file's own character set."""
    value = _value(ds, tag)
    if isinstance(value, bytes) and not value.isascii():
        try:
            value = ds[tag].value
        except Exception:
            # An unknown or wrong character set; the bytes still tell one patient from another.
            return text(ds, tag)
        return str(value or "").strip("\0 ")
    return text(ds, tag)


def number(ds: Dataset, tag: BaseTag, name: str) -> int:
    """A value of VR US; 0 where absent."""
    element = ds.get_item(tag)
    if element is None or element.value in (None, b"", ""):
        return 0
    if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
        order = "little" if element.is_little_endian else "big"
        if len(element.value) == 2 and element.VR in (None, "US", "UN", "SS"):
            return int.from_bytes(element.value, order)
        if len(element.value) == 4 and element.VR in ("UL", "SL"):
            return int.from_bytes(element.value, order)
    elif isinstance(element.value, int):
        return element.value
    raise Damaged(
        f"{name}: element {element.tag} is no 16-bit number (VR {element.VR}, "
        f"{len(element.value) if isinstance(element.value, bytes) else '?'} bytes)",
        files=[name],
    )


def integer(ds: Dataset, tag: BaseTag) -> int | None:
    """A value of VR IS; None where absent or not a number."""
    try:
        return int(text(ds, tag)[:16])
    except ValueError:
        return None
