import pytest
from pydicom.sr.codedict import codes

from kmed.data.phantom_tissues import LABELS
from kmed.results.dicom.code_table import SAME
from kmed.results.dicom.codes import (
    CATEGORIES,
    LABEL_CODES,
    LEFT,
    RIGHT,
    Code,
    LabelCode,
    label_code,
    label_codes_of,
)

TUMOR = ("108369006", "SCT", "Neoplasm")


def dictionary(scheme):
    """Meanings by value in the dictionary that pydicom makes of the standard's PS3.16."""
    meanings = {}
    for keyword in getattr(codes, scheme).dir():
        concept = getattr(getattr(codes, scheme), keyword)
        meanings.setdefault(concept.value, set()).add(concept.meaning.lower())
    return meanings


def test_every_code_is_the_standards():
    known = {scheme: dictionary(scheme) for scheme in ("SCT", "NCIt")}
    every = [code.type for code in LABEL_CODES.values()] + [LEFT, RIGHT, *CATEGORIES.values()]
    assert len(every) > 150
    for code in every:
        assert code.meaning.lower() in known[code.scheme].get(code.value, ()), code


def test_categories_are_those_of_the_context_groups():
    for group, category in CATEGORIES.items():
        members = {(c.value, c.scheme_designator) for c in codes.cid7150.concepts.values()}
        assert category[:2] in members
        assert f"cid{group}" in dir(codes) or getattr(codes, f"cid{group}").concepts
    # Every type that a context group lists stands in the category of one that does.
    for code in LABEL_CODES.values():
        groups = [
            group
            for group in CATEGORIES
            for c in getattr(codes, f"cid{group}").concepts.values()
            if (c.value, c.scheme_designator) == code.type[:2]
        ]
        assert not groups or code.category in [CATEGORIES[group] for group in groups], code


def test_every_other_word_has_a_code():
    assert [word for word in SAME if SAME[word] not in LABEL_CODES] == []
    assert not set(SAME) & set(LABEL_CODES)


@pytest.mark.parametrize(
    "names",
    [
        LABELS,
        ("background", "edema", "non-enhancing tumor", "enhancing tumour"),
        ("background", "pancreas", "cancer"),
        ("background", "PZ", "TZ"),
        ("background", "left atrium"),
        ("background", "Vessel", "Tumour"),
        ("background", "right kidney", "left kidney", "gall bladder", "esophagus", "arota")
        + ("postcava", "right adrenal gland", "left adrenal gland", "duodenum", "bladder"),
        ("background", "RV", "left ventricle myocardium", "LV"),
        ("background", "left lung", "right lung"),
        ("background", "kidney_left", "lung_upper_lobe_left", "lung_middle_lobe_right")
        + ("vertebrae_L1", "heart_atrium_left", "adrenal_gland_right", "femur_left"),
    ],
)
def test_public_label_sets(names):
    assert list(label_codes_of(names[1:])) == list(names[1:])


def test_sides_and_places():
    kidney = label_code("Left Kidney")
    assert kidney == label_code("kidney_left") == label_code("kidney (left)")
    assert kidney.type == ("64033007", "SCT", "Kidney")
    assert kidney.laterality == LEFT and kidney.region is None
    assert label_code("left atrium").laterality is None  # its code has the side
    tumour = label_code("liver tumour")
    assert tumour.type == TUMOR and tumour.region == ("10200004", "SCT", "Liver")
    assert tumour.category.meaning == "Morphologically Abnormal Structure"
    cyst = label_code("right kidney cyst")
    assert cyst.region.meaning == "Kidney" and cyst.laterality == RIGHT


@pytest.mark.parametrize(
    "name", ["", "left", "nidus", "liver liver", "left left atrium", "tumor x"]
)
def test_an_unknown_label_says_what_to_give(name):
    with pytest.raises(ValueError, match=r"label_codes=\{.*\(value, scheme, meaning\)"):
        label_code(name)


def test_given_codes():
    given = {"nidus": ("108369006", "SCT", "Neoplasm"), "stent": ("65818007", "SCT", "Stent")}
    assert label_code("nidus", given).category.meaning == "Morphologically Abnormal Structure"
    assert label_code("stent", given).category.meaning == "Physical object"
    own = {"x": ("X1", "99LOCAL", "Thing", "physical object")}
    assert label_code("x", own) == LabelCode(
        category=CATEGORIES[7193], type=Code("X1", "99LOCAL", "Thing")
    )
    assert label_code("liver", {"liver": ("X1", "99LOCAL", "Thing", "Tissue")}).type.value == "X1"
    assert label_code("x", {"x": label_code("liver")}) == label_code("liver")
    with pytest.raises(ValueError, match="category .* unknown; give"):
        label_code("x", {"x": ("X1", "99LOCAL", "Thing")})
    with pytest.raises(ValueError, match="category .* unknown; give"):
        label_code("x", {"x": ("X1", "99LOCAL", "Thing", "Things")})
    with pytest.raises(ValueError, match="at most 16"):
        label_code("x", {"x": ("X" * 17, "99LOCAL", "Thing", "Tissue")})
    for wrong in ("X1", ("X1", "99LOCAL"), ("X1", "99LOCAL", ""), (1, "SCT", "Thing")):
        with pytest.raises(ValueError, match="must be"):
            label_code("x", {"x": wrong})
    with pytest.raises(ValueError, match=r"\['livr'\]"):
        label_codes_of(["liver"], {"livr": TUMOR})
