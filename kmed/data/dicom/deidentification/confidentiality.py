"""The table of the Basic Application Level Confidentiality Profile, and what of it an option moves.

The rows are those of DICOM PS3.15-2026c, Table E.1-1. The columns of the options are those of
2024d; 33 rows that came later have none here, so that options never keep those attributes. Row
50XXXXXX, the curves, stands for all attributes of these repeating groups.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

EDITION = "DICOM PS3.15-2026c, Table E.1-1"
Dates = Literal["remove", "shift", "keep"]

# PS3.16, CID 7050: the methods that a data set names which were applied to it.
METHODS = {
    "profile": ("113100", "Basic Application Confidentiality Profile"),
    "vocabulary": ("113105", "Clean Descriptors Option"),
    "keep": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "shift": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
    "retain_patient": ("113108", "Retain Patient Characteristics Option"),
    "retain_device": ("113109", "Retain Device Identity Option"),
    "retain_uids": ("113110", "Retain UIDs Option"),
    "retain_safe_private": ("113111", "Retain Safe Private Option"),
    "retain_institution": ("113112", "Retain Institution Identity Option"),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is kept although the Basic Profile alone would remove it.

    Attributes:
        retain_uids: leave UIDs as they are; else each is replaced, the same by the same.
        dates: "remove" by the Basic Profile; "shift" all dates of a patient by one number of days,
            times of day stay; "keep" leaves them.
        retain_patient: age, sex, size, weight, ethnic group, smoking, pregnancy.
        retain_device: serial numbers, stations, device descriptions.
        retain_institution: name, address and department of the institution.
        retain_safe_private: the private attributes of PS3.15 Table E.3.10-1 that hold a number or
            a code; all other private attributes go in any case.
        vocabulary: words that may stay in descriptions, such as the Series Description; all other
            words and all numbers are taken out. Without words the descriptions go.
        allow_burned_in: take images that may show text of the patient in their pixels. The pixels
            stay as they are.
    """

    retain_uids: bool = False
    dates: Dates = "remove"
    retain_patient: bool = False
    retain_device: bool = False
    retain_institution: bool = False
    retain_safe_private: bool = False
    vocabulary: frozenset[str] = field(default=frozenset())
    allow_burned_in: bool = False

    def __post_init__(self) -> None:
        if self.dates not in ("remove", "shift", "keep"):
            raise ValueError(f"`dates` must be remove, shift or keep; received {self.dates!r}")
        if isinstance(self.vocabulary, str):
            raise ValueError("`vocabulary` must be a collection of words; received one text")
        words = frozenset(str(word).casefold() for word in self.vocabulary)
        object.__setattr__(self, "vocabulary", words)

    def methods(self) -> list[tuple[str, str]]:
        """Gives code and meaning (CID 7050) of the profile and each option that is applied."""
        names = ["profile", *(name for name in METHODS if getattr(self, name, False)), self.dates]
        return [METHODS[name] for name in sorted(names) if name in METHODS]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One row of the table.

    Attributes:
        tag: eight hexadecimal digits, X for any.
        name: of the attribute.
        basic: action of the Basic Profile: D, Z, X, K, C, U or a choice such as X/Z/D.
        options: action by option's column, for the columns that are not empty.
    """

    tag: str
    name: str
    basic: str
    options: Mapping[str, str]

    def action(self, options: Options) -> str:
        """Gives the action under options: K, "shift", "words", or that of the Basic Profile.

        Example:
            >>> rules()["00101010"].name, rules()["00101010"].action(Options())
            ("Patient's Age", 'X')
            >>> rules()["00101010"].action(Options(retain_patient=True))
            'K'
        """
        asked = [n for n in self.options if n.startswith("retain_") and getattr(options, n)]
        if options.dates == "keep" and "full_dates" in self.options:
            return "K"
        if any(self.options[name] == "K" for name in asked):
            return "K"
        if options.dates == "shift" and "modified_dates" in self.options:
            return "shift"
        # What an option wants cleaned (C) is cleaned by words, or goes.
        if options.vocabulary and (asked or "clean_descriptors" in self.options):
            return "words"
        return self.basic


@cache
def rules() -> dict[str, Rule]:
    """Gives the table's rows by tag."""
    text = files(__package__).joinpath("confidentiality_profile.csv").read_text("utf-8")
    found = {}
    for row in csv.DictReader(text.splitlines()):
        tag, name, basic = row.pop("tag"), row.pop("name"), row.pop("basic")
        found[tag] = Rule(
            tag=tag, name=name, basic=basic, options={k: v for k, v in row.items() if v}
        )
    return found


def rule_of(tag: int) -> Rule | None:
    """Gives the row of an attribute, or None where the table has none.

    Example:
        >>> rule_of(0x00100010).name, rule_of(0x60023000).name, rule_of(0x00280010)
        ("Patient's Name", 'Overlay Data', None)
    """
    digits = f"{tag:08X}"
    if digits.startswith("50"):
        return rules()["50XXXXXX"]
    if digits.startswith("60"):
        return rules().get("60XX" + digits[4:])
    return rules().get(digits)


@cache
def safe_private() -> frozenset[tuple[int, str, int]]:
    """Gives (group, creator, low byte of the element) of the private attributes thought safe.

    Reference: DICOM PS3.15, Table E.3.10-1, without its sequences, UIDs, texts and bytes.
    """
    text = files(__package__).joinpath("safe_private.csv").read_text("utf-8")
    return frozenset(
        (int(row["group"], 16), row["creator"], int(row["element"], 16))
        for row in csv.DictReader(text.splitlines())
    )


def type_of(sop_class: str, tag: int, *, nested: bool) -> str | None:
    """Gives an attribute's type in a SOP class.

    Reference: DICOM PS3.3, the modules of each IOD; PS3.5, 7.4 (types).

    Args:
        sop_class: SOP Class UID.
        tag: of the attribute.
        nested: whether it is within a sequence.

    Returns:
        1, 1C, 2, 2C, or 3 for an attribute that may be absent; None where that isn't known. The
        strictest, where modules or sequences differ.

    Example:
        >>> type_of("1.2.840.10008.5.1.4.1.1.2", 0x00100010, nested=False)
        '2'
    """
    modules = _types()["classes"].get(sop_class)
    if modules is None:
        return None
    key = f"{'>' if nested else ''}{tag:08X}"
    found = [_types()["modules"][m][key] for m in modules if key in _types()["modules"][m]]
    return min(found, default=None if nested else "3")


def resolved(action: str, type_: str | None) -> str:
    """Chooses among the actions of a row the one that keeps the data set valid.

    Reference: DICOM PS3.15, Table E.1-1a: X unless Z or D is required to maintain IOD conformance.

    Args:
        action: such as X/Z/D.
        type_: of the attribute, as `type_of` gives it; None takes the strictest choice.

    Returns:
        One of D, Z, X, U, K, C or what is no choice, unchanged.

    Example:
        >>> resolved("X/Z/D", "3"), resolved("X/Z/D", "2"), resolved("X/Z/D", None)
        ('X', 'Z', 'D')
        >>> resolved("Z", "1"), resolved("X", "2"), resolved("X/Z/U*", "3")
        ('D', 'Z', 'U')
    """
    choices = action.split("/")
    if choices[0] not in ("X", "Z"):
        return action
    last = choices[-1].rstrip("*")
    if last == "U":  # an object's references belong together, so that none of them can go alone
        return last
    if type_ == "3":
        return choices[0]
    if type_ is None:
        return last
    if type_ in ("2", "2C"):
        return "Z" if "Z" in choices or last == "X" else last
    return "D"


@cache
def _types() -> dict:
    return json.loads(files(__package__).joinpath("attribute_types.json").read_text("utf-8"))
