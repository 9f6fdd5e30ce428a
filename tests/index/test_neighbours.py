import numpy as np
import pytest

from kmed.index.errors import VectorIndexError
from kmed.index.given import row_lines, unit_vectors
from kmed.index.lock import writing
from kmed.index.manifest import Manifest
from kmed.index.neighbours import Neighbours
from kmed.index.store import Store
from kmed.index.structures import NAME

KINDS = {
    "exact": {},
    "hnsw": {"M": 8, "efConstruction": 40, "efSearch": 64},
    "ivf_pq": {"nlist": 8, "m": 8, "nprobe": 8, "rerank": 20, "sample": 2000},
}
DIMENSION = 16


def _vectors(count, seed=0):
    random = np.random.default_rng(seed)
    return unit_vectors(random.standard_normal((count, DIMENSION)), DIMENSION)


def _store(folder, kind, count):
    Manifest(dimension=DIMENSION, kind=kind, options=KINDS[kind], facts={}).save(folder)
    store = Store(folder)
    _append(store, _vectors(count))
    return store


def _append(store, vectors):
    numbers = range(len(store), len(store) + len(vectors))
    store.append(vectors, row_lines(map(str, numbers), [{}] * len(vectors)))


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_cosines_in_falling_order(tmp_path, kind):
    neighbours = Neighbours(_store(tmp_path, kind, 1000), KINDS[kind])
    neighbours.catch_up()
    vectors, queries = _vectors(1000), _vectors(50, seed=1)
    scores, positions = neighbours.nearest(queries, 10)
    products = queries @ vectors.T
    np.testing.assert_allclose(scores, np.take_along_axis(products, positions, 1), atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()
    truth = np.argsort(-products, axis=1)[:, :10]
    shared = [len(set(a) & set(b)) for a, b in zip(positions.tolist(), truth.tolist(), strict=True)]
    assert np.mean(shared) > (9.99 if kind == "exact" else 9.5)


@pytest.mark.parametrize("kind", ["hnsw", "ivf_pq"])
def test_k_are_found_even_where_the_structure_finds_fewer(tmp_path, kind):
    options = KINDS[kind] | ({"efSearch": 1} if kind == "hnsw" else {"nprobe": 1})
    neighbours = Neighbours(_store(tmp_path, kind, 700), options)
    neighbours.catch_up()
    queries = _vectors(5, seed=1)
    scores, positions = neighbours.nearest(queries, 650)
    assert all(len(set(line)) == 650 for line in positions.tolist())
    expected = -np.sort(-(queries @ _vectors(700).T), axis=1)[:, :650]
    np.testing.assert_allclose(scores, expected, atol=0.2 if kind == "hnsw" else 1e-6)


def test_a_structure_is_made_when_there_are_enough_vectors_and_again_when_outgrown(tmp_path):
    store = _store(tmp_path, "ivf_pq", 100)
    neighbours = Neighbours(store, KINDS["ivf_pq"])
    neighbours.catch_up()
    assert neighbours._structure is None
    assert neighbours.nearest(_vectors(3), 1)[1].tolist() == [[0], [1], [2]]
    trained = []
    for _ in range(6):
        _append(store, _vectors(600, seed=len(store)))
        neighbours.catch_up()
        trained.append(neighbours._structure.trained)
    assert trained == [700, 700, 700, 700, 3100, 3100]
    assert len(neighbours._structure) == 3700


def test_is_written_when_it_has_grown_and_taken_up_when_opened(tmp_path, monkeypatch):
    store = _store(tmp_path, "hnsw", 400)
    neighbours = Neighbours(store, KINDS["hnsw"])
    neighbours.catch_up()
    assert not (tmp_path / NAME).exists()  # few are added again in a moment
    neighbours.save(least=1)
    _append(store, _vectors(50, seed=1))
    told = []
    opened = Neighbours(store, KINDS["hnsw"])
    opened.catch_up(lambda done, all_: told.append((done, all_)))
    assert told == [(450, 450)] and opened._saved == 400
    _append(store, _vectors(1000, seed=2))
    opened.catch_up()
    assert opened._saved == 1450
    monkeypatch.setattr("kmed.index.neighbours._MANY", 10)
    monkeypatch.setattr("kmed.index.store._PART", 100)
    (tmp_path / NAME).unlink()
    written = []
    again = Neighbours(store, KINDS["hnsw"])
    monkeypatch.setattr(again, "_write", lambda structure: written.append(len(structure)))
    again.catch_up()
    assert written[0] == 100 and written[-1] == 1450  # a long build is kept on its way


def test_another_process_is_writing(tmp_path):
    neighbours = Neighbours(_store(tmp_path, "hnsw", 50), KINDS["hnsw"])
    neighbours.catch_up()
    with writing(tmp_path):
        neighbours.save()
    assert not (tmp_path / NAME).exists()
    neighbours.save()
    assert (tmp_path / NAME).exists()


def test_a_full_disk_is_a_warning_as_nothing_is_lost(tmp_path, monkeypatch):
    neighbours = Neighbours(_store(tmp_path, "hnsw", 50), KINDS["hnsw"])
    neighbours.catch_up()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kmed.index.structures.Structure.save", full)
    with pytest.warns(RuntimeWarning, match="No space left.*no vector is lost"):
        neighbours.save()
    assert neighbours.nearest(_vectors(1), 1)[1] == 0


def test_an_interrupted_addition_leaves_no_half_structure(tmp_path, monkeypatch):
    store = _store(tmp_path, "hnsw", 50)
    neighbours = Neighbours(store, KINDS["hnsw"])
    neighbours.catch_up()
    _append(store, _vectors(50, seed=1))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kmed.index.structures.Structure.add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            neighbours.catch_up()
    queries = _vectors(50, seed=1)
    for _ in range(2):
        assert neighbours.nearest(queries, 1)[1].ravel().tolist() == list(range(50, 100))
        neighbours.catch_up()
    assert len(neighbours._structure) == 100


def test_positions_that_moved_need_another_structure(tmp_path):
    store = _store(tmp_path, "hnsw", 60)
    neighbours = Neighbours(store, KINDS["hnsw"])
    neighbours.catch_up()
    neighbours.save()
    Store(tmp_path).remove(np.arange(10))  # another process
    store.read()
    neighbours.catch_up()
    assert neighbours.nearest(_vectors(60)[10:], 1)[1].ravel().tolist() == list(range(50))
    neighbours.discard()
    assert not (tmp_path / NAME).exists()


def test_a_damaged_structure_is_an_error(tmp_path):
    store = _store(tmp_path, "hnsw", 60)
    (tmp_path / NAME).write_bytes(b"x" * 1000)
    with pytest.raises(VectorIndexError, match="is damaged: delete this file"):
        Neighbours(store, KINDS["hnsw"]).catch_up()
