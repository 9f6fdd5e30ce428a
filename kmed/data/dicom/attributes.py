"""Single attributes of a data set as plain numbers and words, whatever a writer put there."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

from kmed.data.dicom.errors import Damaged
from kmed.data.dicom.raw_values import tag_of

_LONGEST = 60  # characters of a value in a message
_DECIMAL = re.compile(rb"[+-]?(?:\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(?:[eE][+-]?\d{1,2})?")
_STRINGS = {
    "DS": (_DECIMAL, float),
    "IS": (re.compile(rb"[+-]?\d{1,9}"), int),
    "CS": (re.compile(rb"[A-Z0-9_]{1,16}"), bytes.decode),
}


@cache
def _tag(keyword: str) -> BaseTag:
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise ValueError(f"no attribute has the keyword {keyword!r}")
    return tag_of(tag)


def has(ds: Dataset, keyword: str | BaseTag) -> bool:
    """Tells whether a data set has an attribute, many times faster than `keyword in ds`."""
    return (_tag(keyword) if isinstance(keyword, str) else keyword) in ds.keys()


def filled(ds: Dataset, keyword: str | BaseTag) -> Any:
    """Gives the value of an attribute, or None if it is absent, empty or can't be converted."""
    tag = _tag(keyword) if isinstance(keyword, str) else keyword
    if tag not in ds.keys():
        return None
    quick = _quick(ds.get_item(tag))
    if quick is not None:
        return quick
    try:
        value = ds[tag].value
    except Exception:
        # pydicom converts a value when it is asked for; what a wrong one raises depends on its VR.
        return None
    if value is None or (isinstance(value, (str, bytes, list, MultiValue)) and not len(value)):
        return None
    return value


def numbers(
    ds: Dataset, keyword: str | BaseTag, length: int | None = None
) -> tuple[float, ...] | None:
    """Gives the numbers of an attribute.

    Args:
        ds: the data set.
        keyword: of the attribute, or its tag.
        length: how many numbers there must be; None: one at least.

    Returns:
        Finite numbers, or None if the attribute is absent or holds anything else.

    Example:
        >>> ds = Dataset()
        >>> ds.PixelSpacing = [0.5, 0.75]
        >>> numbers(ds, "PixelSpacing", 2), numbers(ds, "PixelSpacing", 3)
        ((0.5, 0.75), None)
    """
    return finite(filled(ds, keyword), length)


def quick(ds: Dataset, keyword: str) -> Any:
    """Gives a well-formed number or code straight from its bytes; None for what pydicom must read.

    It takes a tenth of the time.
    """
    return _quick(ds.get_item(_tag(keyword))) if has(ds, keyword) else None


def _quick(element: Any) -> Any:
    if not isinstance(element, RawDataElement) or not element.value:
        return None
    if element.VR == "US" and len(element.value) == 2:
        return int.from_bytes(element.value, "little" if element.is_little_endian else "big")
    pattern, kind = _STRINGS.get(element.VR, (None, None))
    if pattern is None:
        return None
    parts = element.value.rstrip(b"\0 ").split(b"\\")
    if element.VR != "CS":
        parts = [part.strip(b" ") for part in parts]
    if not all(map(pattern.fullmatch, parts)):
        return None
    return kind(parts[0]) if len(parts) == 1 else [kind(part) for part in parts]


def private_numbers(
    ds: Dataset, group: int, creator: str, offset: int, length: int | None = None
) -> tuple[float, ...] | None:
    """Gives the numbers of a private attribute, as `numbers`.

    Args:
        ds: the data set.
        group: odd group number.
        creator: name of the private block's owner.
        offset: last two hexadecimal digits of the element number.
        length: how many numbers there must be; None: one at least.

    Returns:
        Finite numbers, or None.
    """
    return finite(private(ds, group, creator, offset), length)


def private(ds: Dataset, group: int, creator: str, offset: int) -> Any:
    """Gives the value of a private attribute, or None; arguments as of `private_numbers`.

    Writers reserve the blocks of a group from (gggg,0010) on; the first 32 are looked at.
    `Dataset.private_block` sorts all tags of a file, which takes longer than reading the rest.
    """
    there = ds.keys()
    for block in range(0x10, 0x30):
        # Looked for as a plain number: a tag takes time to make.
        if group << 16 | block not in there:
            continue
        if str(filled(ds, BaseTag(group << 16 | block))).strip() == creator:
            return filled(ds, BaseTag(group << 16 | block << 8 | offset))
    return None


def finite(value: Any, length: int | None = None) -> tuple[float, ...] | None:
    """Gives a value of pydicom as finite numbers, or None if it is not `length` of them."""
    if value is None or isinstance(value, (str, bytes)):
        return None
    try:
        values = tuple(map(float, value)) if hasattr(value, "__iter__") else (float(value),)
    except (TypeError, ValueError, OverflowError):
        return None
    if not all(map(math.isfinite, values)) or (length is not None and len(values) != length):
        return None
    return values


def number(ds: Dataset, keyword: str | BaseTag) -> float | None:
    """Gives the one finite number of an attribute, else None."""
    values = numbers(ds, keyword, 1)
    return None if values is None else values[0]


def whole(ds: Dataset, keyword: str | BaseTag) -> int | None:
    """Gives the one whole number of an attribute, else None."""
    value = number(ds, keyword)
    return int(value) if value is not None and value.is_integer() else None


def items_of(ds: Dataset, keyword: str) -> Sequence[Dataset]:
    """Gives the items of a sequence, none if it is absent.

    Raises:
        Damaged: its bytes are no sequence.
    """
    try:
        items = ds[_tag(keyword)].value if has(ds, keyword) else ()
        return [item for item in items or () if isinstance(item, Dataset)]
    except Exception as error:
        # pydicom parses sequences when they are asked for; what it raises differs.
        raise Damaged(f"{keyword} can't be read; the file is damaged, copy it again") from error


def plain(value: Any) -> Any:
    """Gives a value of pydicom as a number, a string or a tuple, which can be compared and hashed.

    Example:
        >>> plain(MultiValue(float, [0.0, 1.0])), plain("M  ")
        ((0.0, 1.0), 'M')
    """
    if isinstance(value, (list, tuple, MultiValue)):
        return tuple(plain(one) for one in value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float) or hasattr(value, "__float__"):
        return float(value)
    return str(value).strip()[:_LONGEST]


def shortened(ds: Dataset, keyword: str) -> str:
    """Gives the value of an attribute for a message; never ask for one that describes a patient."""
    if not has(ds, keyword):
        return "none"
    text = str(plain(filled(ds, keyword)))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
