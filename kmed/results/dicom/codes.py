"""Codes for the names of classes: what a segment or a measurement is, in SNOMED CT's words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydicom.sr.codedict import codes

from kmed.data.sample import DataError
from kmed.results.dicom.code_table import ABNORMALITIES, OTHER_SCHEMES, SAME, STRUCTURES, TISSUES


class Code(NamedTuple):
    """A coded concept, PS3.3 8 (code value, coding scheme designator, code meaning)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class LabelCode:
    """What the voxels of a class are.

    Attributes:
        category: Segmented Property Category, of context group 7150.
        type: Segmented Property Type, for instance a member of context group 7151.
        laterality: Left or Right, of context group 244, of one of a pair of organs.
        region: the organ in which an abnormality lies, where the name of the class says it.
    """

    category: Code
    type: Code
    laterality: Code | None = None
    region: Code | None = None


LEFT, RIGHT = Code("7771000", "SCT", "Left"), Code("24028007", "SCT", "Right")

#: Segmentation Property Categories, CID 7150, by the context group of the types they hold.
CATEGORIES = {
    7191: Code("85756007", "SCT", "Tissue"),
    7192: Code("91723000", "SCT", "Anatomical Structure"),
    7193: Code("260787004", "SCT", "Physical object"),
    7194: Code("49755003", "SCT", "Morphologically Abnormal Structure"),
    7195: Code("246464006", "SCT", "Function"),
    7196: Code("309825002", "SCT", "Spatial and Relational Concept"),
    7197: Code("91720002", "SCT", "Body Substance"),
    7198: Code("105590001", "SCT", "Substance"),
}

_SIDES = {"left": LEFT, "right": RIGHT}


def _rows(text: str, group: int) -> dict[str, LabelCode]:
    pairs = (row.split(maxsplit=1) for row in re.split(r"[;\n]", text) if row.strip())
    return {
        meaning.strip().lower(): LabelCode(
            category=CATEGORIES[group], type=Code(value, "SCT", meaning.strip())
        )
        for value, meaning in pairs
    }


_ABNORMAL = _rows(ABNORMALITIES, 7194) | {
    name: LabelCode(category=CATEGORIES[7194], type=Code(*code))
    for name, code in OTHER_SCHEMES.items()
}
_NORMAL = _rows(TISSUES, 7191) | _rows(STRUCTURES, 7192)

#: Every name that has a code without `label_codes`.
LABEL_CODES = _NORMAL | _ABNORMAL


def label_code(
    name: str, label_codes: Mapping[str, tuple[str, ...] | LabelCode] | None = None
) -> LabelCode:
    """Finds the code of a class by its name.

    Upper and lower case, `_` and `-` make no difference. "left" or "right" before or after an
    organ gives its laterality; an organ before an abnormality ("liver tumor") gives its region.

    Reference: DICOM PS3.16, CID 7150 to 7199 (Segmentation Property Categories and Types); codes
    and meanings as in `pydicom.sr.codedict`.

    Args:
        name: of the class.
        label_codes: codes by name, which come first: `(value, scheme, meaning)`, or
            `(value, scheme, meaning, category)` with the meaning of one of `CATEGORIES`, or a
            whole `LabelCode`.

    Returns:
        The code.

    Raises:
        ValueError: an unknown name, saying how to give a code.

    Example:
        >>> label_code("Kidney_left").type, label_code("Kidney_left").laterality.meaning
        (Code(value='64033007', scheme='SCT', meaning='Kidney'), 'Left')
        >>> label_code("nidus", {"nidus": ("52988006", "SCT", "Lesion")}).category.meaning
        'Morphologically Abnormal Structure'
    """
    given = label_codes or {}
    if name in given:
        return _given(name, given[name])
    words = re.sub(r"[\s_\-()]+", " ", name).strip().lower().replace("tumour", "tumor")
    found = _known(words) or _sided(words) or _located(words)
    if found is None:
        raise ValueError(
            f"no code is known for the label {name!r}; give one with label_codes="
            f"{{{name!r}: (value, scheme, meaning)}}, for instance {{{name!r}: ('52988006', 'SCT', "
            "'Lesion')}; codes are listed at "
            "https://dicom.nema.org/medical/dicom/current/output/chtml/part16/sect_CID_7151.html"
        )
    return found


def label_codes_of(
    names: Iterable[str], label_codes: Mapping[str, tuple[str, ...] | LabelCode] | None = None
) -> dict[str, LabelCode]:
    """Finds the codes of several classes, as `label_code`.

    Args:
        names: of the classes, without the background.
        label_codes: as in `label_code`.

    Returns:
        Code by name.

    Raises:
        ValueError: unknown names, or a key of `label_codes` that is none of the names.
    """
    names = list(names)
    unused = sorted(set(label_codes or {}) - set(names))
    if unused:
        raise ValueError(f"`label_codes` has codes of {unused}; the labels are {names}")
    return {name: label_code(name, label_codes) for name in names}


def read_codes(path: str | os.PathLike) -> dict[str, tuple[str, ...]]:
    """Reads codes of labels from a JSON file.

    Args:
        path: of `{"nidus": ["52988006", "SCT", "Lesion"]}`, with the category's meaning as a
            fourth text where `label_code` needs one.

    Returns:
        What `label_code` takes as `label_codes`.

    Raises:
        DataError: another content.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from error
    rows = content.items() if isinstance(content, dict) else [("", None)]
    for name, code in rows:
        texts = isinstance(code, list) and all(isinstance(text, str) and text for text in code)
        if not texts or len(code) not in (3, 4):
            raise DataError(
                f'{path}: must be {{"LABEL": ["code value", "scheme", "meaning"]}}, a fourth text '
                f"being the meaning of a category; received {code!r} for {name!r}"
            )
    return {name: tuple(code) for name, code in rows}


def _known(words: str) -> LabelCode | None:
    vertebra = re.fullmatch(r"vertebrae? ([ctl]\d+)", words)
    words = f"{vertebra[1]} vertebra" if vertebra else SAME.get(words, words)
    return LABEL_CODES.get(words)


def _sided(words: str) -> LabelCode | None:
    """One of a pair of organs: "left kidney", "kidney left"."""
    first, _, rest = words.partition(" ")
    start, _, last = words.rpartition(" ")
    for side, organ in ((first, rest), (last, start)):
        code = _known(organ) if side in _SIDES else None
        # A lobe or ventricle whose name has a side already has none to be given.
        if code and not re.search("left|right", code.type.meaning.lower()):
            return LabelCode(category=code.category, type=code.type, laterality=_SIDES[side])
    return None


def _located(words: str) -> LabelCode | None:
    """An abnormality of an organ: "liver tumor", "left kidney cyst"."""
    cuts = [i for i, letter in enumerate(words) if letter == " "]
    for cut in cuts:
        kind, organ = _known(words[cut + 1 :]), words[:cut]
        place = _known(organ) or _sided(organ)
        if kind and place and kind.type.value in _ABNORMAL_VALUES and place.type in _PLACES:
            return LabelCode(
                category=kind.category,
                type=kind.type,
                laterality=place.laterality,
                region=place.type,
            )
    return None


_ABNORMAL_VALUES = {code.type.value for code in _ABNORMAL.values()}
_PLACES = {code.type for code in _NORMAL.values()}


def _given(name: str, code: tuple[str, ...] | LabelCode) -> LabelCode:
    if isinstance(code, LabelCode):
        return code
    if isinstance(code, str) or len(code) not in (3, 4) or not all(map(_text, code)):
        raise ValueError(
            f"label_codes[{name!r}] must be (value, scheme, meaning), three texts; received {code}"
        )
    type_ = Code(*code[:3])
    if len(type_.value) > 16 or len(type_.scheme) > 16 or len(type_.meaning) > 64:
        raise ValueError(
            f"label_codes[{name!r}]: value and scheme have at most 16 characters, the meaning 64; "
            f"received {code}"
        )
    names = {category.meaning.lower(): category for category in CATEGORIES.values()}
    if len(code) == 4:
        category = names.get(code[3].strip().lower())
    else:
        category = _category(type_)
    if category is None:
        raise ValueError(
            f"label_codes[{name!r}]: the category of {code} is unknown; give (value, scheme, "
            f"meaning, category) with one of {[c.meaning for c in CATEGORIES.values()]}"
        )
    return LabelCode(category=category, type=type_)


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _category(code: Code) -> Code | None:
    """The category whose context group has the code; the first where several have."""
    for known in LABEL_CODES.values():
        if known.type[:2] == code[:2]:
            return known.category
    for group, category in CATEGORIES.items():
        members = getattr(codes, f"cid{group}").concepts.values()
        if any((one.value, one.scheme_designator) == code[:2] for one in members):
            return category
    return None
