import dataclasses

import pytest

from kmed.data.items import CrossModal, Item, whole_items
from kmed.data.sample import Sample


def sample(name, patient, label=None):
    return Sample(id=name, patient=patient, files=(), read=None, label=label)


def two_modalities():
    studies = [
        (patient, {m: [sample(f"{patient}/{m}", patient, label)] for m in ("t2", "t1")})
        for patient, label in (("b", 1), ("a", 0))
    ]
    return studies, CrossModal(
        modalities=("t2", "t1"), items=whole_items(studies), labels=("well", "sick")
    )


def test_whole_images():
    studies, both = two_modalities()
    assert [item.key for item in both.items["t1"]] == ["b", "a"]
    assert [item.label for item in both.items["t2"]] == [1, 0]
    assert {item.slice for items in both.items.values() for item in items} == {None}
    unlabelled = whole_items(studies, label_of=lambda sample: None)
    assert unlabelled["t1"][0].label is None


def test_samples_of_both_modalities_are_listed_once():
    _, both = two_modalities()
    assert [s.id for s in both.samples] == ["a/t1", "a/t2", "b/t1", "b/t2"]
    slices = tuple(
        dataclasses.replace(item, id=f"{item.id}/{n}", slice=n)
        for item in both.items["t1"]
        for n in range(3)
    )
    text = Item(id="1", patient="a", study="a", key="a", text="normal")
    mixed = CrossModal(modalities=("t1", "text"), items={"t1": slices, "text": (text,)})
    assert [s.id for s in mixed.samples] == ["a/t1", "b/t1"]


@pytest.mark.parametrize("wanted", [["a"], [sample("other", "a")]])
def test_part_keeps_patients_of_both_modalities(wanted):
    _, both = two_modalities()
    part = both.part(wanted)
    assert {m: [item.id for item in part.items[m]] for m in part.modalities} == {
        "t2": ["a/t2"],
        "t1": ["a/t1"],
    }
    assert part.labels == ("well", "sick") and part.split is None
