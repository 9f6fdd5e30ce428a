import pytest

from kmed.data.modality_names import guessed_modalities, key_of, modality_of
from kmed.data.sample import DataError


@pytest.mark.parametrize(
    ("name", "modality", "key"),
    [
        ("patient07_t1", "t1", "patient07"),
        ("PATIENT-T1-03", "t1", "PATIENT-03"),
        ("p1/t1", "t1", "p1"),
        ("t1/p1_t1_002", "t1", "p1_002"),
        ("p1/t1/scan", "t1", "p1/scan"),
        ("sub-01/anat/sub-01_T1w", "T1w", "sub-01/anat/sub-01"),
        ("images/case_0000", "0000", "images/case"),
        ("t1", "t1", ""),
    ],
)
def test_modality_and_key(name, modality, key):
    assert modality_of(name, [modality, "other"]) == modality
    assert key_of(name, modality) == key


@pytest.mark.parametrize("name", ["patient07_t1c", "pt1", "t12/p", "lesion"])
def test_a_part_of_a_word_is_no_modality(name):
    assert modality_of(name, ["t1", "t2"]) is None


def test_a_folder_decides_before_a_part_of_the_name():
    assert modality_of("t2/study_t1_registered", ["t1", "t2"]) == "t2"


def test_the_longer_of_two_names_that_fit():
    assert modality_of("p1_t1-post", ["t1", "t1-post"]) == "t1-post"


def test_a_name_of_both():
    with pytest.raises(DataError, match="'t1' and 't2'"):
        modality_of("t1_to_t2", ["t1", "t2"])


@pytest.mark.parametrize(
    "names",
    [
        ["t2/a", "t2/b", "t1/a", "t1/b"],
        ["a/t1", "a/t2", "b/t1", "b/t2"],
        ["a/T1/scan", "a/T2/scan"],
        ["a_t1", "a_t2", "b_t1", "b_t2", "a_mask", "b_mask"],
        ["t1_a", "t2_a", "t1_b", "t2_b", "t1_c", "t2_c"],
    ],
)
def test_two_modalities_are_found(names):
    assert guessed_modalities(names, "folder") == ("t1", "t2")


def test_two_unknown_names_are_found_where_only_one_place_has_two():
    names = [f"{stain}/{n}" for stain in ("red", "blue") for n in range(5)]
    assert guessed_modalities(names, "folder") == ("blue", "red")


def test_ambiguous_names_are_refused():
    with pytest.raises(DataError, match="may tell several"):
        guessed_modalities(["red/x", "red/y", "blue/x", "blue/y"], "folder")
    with pytest.raises(DataError, match="more than two modalities, flair, t1, t2"):
        guessed_modalities([f"{p}_{m}" for p in "abc" for m in ("t1", "t2", "flair")], "folder")
    with pytest.raises(DataError, match="cannot tell two modalities by the names of 2 images"):
        guessed_modalities(["a", "b"], "folder")
