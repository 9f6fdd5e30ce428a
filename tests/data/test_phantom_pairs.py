import pytest

from kmed.data.phantom_pairs import phantom_pairs, phantom_set
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError

GRID = {"shape": (8, 16, 16), "spacing_mm": (15, 20, 20)}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("pairs") / "set", patients=3, **GRID)


def test_slices_of_ct_and_t2(root):
    found = phantom_pairs(root)
    assert found.modalities == ("ct", "t2") and found.labels == () and found.split is None
    keys = [item.key for item in found.items["ct"]]
    assert keys == [item.key for item in found.items["t2"]]
    assert len(keys) == len(set(keys)) > 15
    assert {item.patient for item in found.items["ct"]} == {f"patient-000{n}" for n in (1, 2, 3)}
    assert {item.label for item in found.items["ct"]} == {None}
    first, second, *_ = found.items["t2"]
    assert second.position_mm - first.position_mm == 15 and first.study == second.study


def test_volumes_are_labelled_by_their_lesions(root):
    found = phantom_pairs(root, ("t1", "CT"), rank=3)
    assert found.modalities == ("t1", "CT") and found.labels == ("no lesion", "lesion")
    assert [item.label for item in found.items["CT"]] == [s.label for s in found.samples[::2]]
    named = phantom_pairs(root, rank=3, labels=["well", "sick"])
    assert named.labels == ("well", "sick")
    with pytest.raises(ValueError, match="must name no lesion and lesion"):
        phantom_pairs(root, rank=3, labels=["a", "b", "c"])


def test_modalities_that_were_not_written(root, tmp_path):
    with pytest.raises(DataError, match="no modality 'pet'"):
        phantom_pairs(root, ("ct", "pet"))
    two = phantoms(tmp_path / "two", patients=1, modalities=("t1", "t2"), **GRID)
    assert phantom_pairs(two).modalities == ("t1", "t2")
    one = phantoms(tmp_path / "one", patients=1, modalities=("t1",), **GRID)
    with pytest.raises(DataError, match="have one modality, t1"):
        phantom_pairs(one)


def test_what_phantoms_wrote(root, tmp_path):
    assert phantom_set(root)
    assert not phantom_set(tmp_path)
    (tmp_path / "dataset.json").write_text('{"labels": {}}')
    assert not phantom_set(tmp_path)
