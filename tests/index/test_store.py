import numpy as np
import pytest

from kmed.index.errors import IndexBusyError, VectorIndexError
from kmed.index.given import row_lines, unit_vectors
from kmed.index.manifest import Manifest
from kmed.index.store import Store

DIMENSION = 4


@pytest.fixture
def store(tmp_path):
    Manifest(dimension=DIMENSION, kind="exact", options={}, facts={}).save(tmp_path)
    return Store(tmp_path)


def _add(store, first, count):
    """Vectors that tell their number, as ids and rows do."""
    numbers = range(first, first + count)
    vectors = unit_vectors([[1, number, 0, 0] for number in numbers], DIMENSION)
    lines = row_lines([str(n) for n in numbers], [{"number": n} for n in numbers])
    store.append(vectors, lines)


def _numbers(vectors):
    return np.round(vectors[:, 1] / vectors[:, 0]).astype(int).tolist()


def test_positions_follow_the_order_of_adding(store):
    for first, count in ((0, 5), (5, 1), (6, 9)):
        _add(store, first, count)
    for seen in (store, Store(store.folder)):
        assert len(seen) == 15
        assert seen.row(5) == ("5", {"number": 5})
        assert list(seen.known()) == [str(number) for number in range(15)]
        assert _numbers(np.concatenate(seen.arrays())) == list(range(15))
        assert _numbers(seen.gather(np.array([14, 0, 5, 5]))) == [14, 0, 5, 5]


def test_many_small_additions_are_few_segments(store):
    for number in range(40):
        _add(store, number, 1)
    counts = [entry["count"] for entry in store.manifest.segments]
    assert counts == [32, 8]  # as the binary digits of 40
    assert len(list(store.folder.glob("segment-*"))) == 4
    assert _numbers(np.concatenate(store.arrays())) == list(range(40))


def test_large_segments_are_not_written_again(store, monkeypatch):
    monkeypatch.setattr("kmed.index.store._SMALL", 8)
    for number in range(20):
        _add(store, number, 1)
    assert [entry["count"] for entry in store.manifest.segments] == [8, 8, 4]


def test_parts_start_at_a_position(store, monkeypatch):
    monkeypatch.setattr("kmed.index.store._PART", 3)
    _add(store, 0, 8)
    _add(store, 8, 2)
    assert [_numbers(part) for part in store.parts(4)] == [[4, 5, 6], [7], [8, 9]]
    assert not list(store.parts(10))


def test_a_sample_is_in_order_and_always_the_same(store):
    _add(store, 0, 30)
    sample = _numbers(store.sample(10))
    assert sample == sorted(set(sample)) == _numbers(Store(store.folder).sample(10))
    assert _numbers(store.sample(99)) == list(range(30))


def test_removing_closes_the_ranks_and_leaves_no_trace_on_the_disk(store):
    _add(store, 0, 8)
    _add(store, 8, 2)
    _add(store, 10, 1)
    store.remove(np.array([9, 2, 8, 3]))
    assert list(store.known()) == ["0", "1", "4", "5", "6", "7", "10"]
    assert _numbers(np.concatenate(store.arrays())) == [0, 1, 4, 5, 6, 7, 10]
    assert store.manifest.generation == 1
    written = b"".join(path.read_bytes() for path in store.folder.glob("*.jsonl"))
    assert b'"4"' in written and b'"3"' not in written and b'"9"' not in written
    store.remove(np.arange(7))
    assert len(store) == 0 and not store.known() and not list(store.folder.glob("segment-*"))


def test_reading_takes_up_what_another_has_done(store):
    _add(store, 0, 3)
    other = Store(store.folder)
    assert list(other.known()) == ["0", "1", "2"]
    _add(store, 3, 5)  # its segment takes the first one in, whose files are deleted
    assert other.row(1) == ("1", {"number": 1}) and len(other) == 3
    assert other.read() is False
    assert list(other.known())[3:] == ["3", "4", "5", "6", "7"]
    store.remove(np.array([0]))
    assert other.read() is True
    assert list(other.known()) == ["1", "2", "3", "4", "5", "6", "7"]


def test_segments_that_are_united_while_the_folder_is_read(store, monkeypatch):
    _add(store, 0, 2)
    load = Manifest.load
    old = iter([load(store.folder)])
    _add(store, 2, 2)
    monkeypatch.setattr(Manifest, "load", lambda folder: next(old, None) or load(folder))
    assert len(Store(store.folder)) == 4


def test_a_folder_that_never_rests_is_busy(store, monkeypatch):
    _add(store, 0, 2)
    load = Manifest.load

    def always_another(folder):
        found = load(folder)
        entry = found.segments[0] | {"name": f"segment-{np.random.random()}"}
        return Manifest(dimension=DIMENSION, kind="exact", options={}, facts={}, segments=(entry,))

    monkeypatch.setattr(Manifest, "load", always_another)
    with pytest.raises(IndexBusyError, match="changed all the time"):
        Store(store.folder)


def test_a_file_that_is_gone_is_named(store):
    _add(store, 0, 2)
    (path,) = store.folder.glob("*.npy")
    path.unlink()
    with pytest.raises(VectorIndexError, match=f"{path.name} is gone: restore it"):
        Store(store.folder)
