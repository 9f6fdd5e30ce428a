import pytest

from kmed.data.items import CrossModal, Item
from kmed.data.part_folders import (
    fused,
    parted,
    patient_of_key,
    patients_below_parts,
    with_own_split,
)
from kmed.data.sample import DataError, Sample


def found(*ids, patient=None):
    """Items of two modalities; patients are the outermost folders."""
    items = {}
    for modality in ("t1", "t2"):
        items[modality] = tuple(
            Item(id=name, patient=who, study=name, key=name, sample=Sample(
                id=f"{name}-{modality}", patient=who, files=(name,), read=None,
            ))
            for name in ids
            for who in [patient or name.split("/")[0]]
        )  # fmt: skip
    return CrossModal(modalities=("t1", "t2"), items=items)


def test_names_of_folders():
    assert [fused(name) for name in ("trainA", "valB", "Test_a", "training b", "valid-A")] == [
        ("train", 0), ("validation", 1), ("test", 0), ("train", 1), ("validation", 0),
    ]  # fmt: skip
    assert [fused(name) for name in ("train", "data", "A", "testAB", "trainC", "")] == [None] * 6
    assert parted("testB/1_B", ("x", "y")) == "test/y/1_B"
    assert parted("trainA", ("x", "y")) == "trainA"  # a file
    assert patient_of_key("train") == "train" and patient_of_key("p1") == "p1"


def test_folders_of_parts_make_a_split_and_are_no_patients():
    both = with_own_split(
        patients_below_parts(found("train/1", "train/2/a", "train/2/b", "val/1", "test/1"))
    )
    parts = [{s.patient for s in part}
             for part in (both.split.train, both.split.validation, both.split.test)]  # fmt: skip
    assert parts == [{"train/1", "train/2"}, {"val/1"}, {"test/1"}]
    assert len(both.split.train) == 6
    assert {item.patient for item in both.items["t1"]} == set.union(*parts)
    assert {item.sample for items in both.items.values() for item in items} == set(both.samples)


def test_patients_that_are_known_stay():
    both = with_own_split(patients_below_parts(found("trainA/1", "testA/1", patient="p7")))
    assert {sample.patient for sample in both.samples} == {"p7"}
    assert [len(both.split.train), len(both.split.test)] == [2, 2]


def test_no_split():
    for ids in (("p1", "p2"), ("train/1", "p2"), ("test/1", "test/2")):
        assert with_own_split(found(*ids)).split is None
    with pytest.raises(DataError, match="no part for training"):
        with_own_split(found("val/1", "test/2"))
