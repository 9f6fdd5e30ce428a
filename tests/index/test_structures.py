import numpy as np
import pytest

from kmed.index.errors import VectorIndexError
from kmed.index.given import unit_vectors
from kmed.index.structures import NAME, Structure, checked_options, first_count, list_count

KINDS = {
    "hnsw": {"M": 8, "efConstruction": 40, "efSearch": 32},
    "ivf_pq": {"nlist": 8, "m": 8, "nprobe": 8, "rerank": 10, "sample": 2000},
}
DIMENSION = 16


def _vectors(count, seed=0):
    random = np.random.default_rng(seed)
    return unit_vectors(random.standard_normal((count, DIMENSION)), DIMENSION)


@pytest.fixture(params=KINDS, scope="module")
def structure(request):
    vectors = _vectors(1000)
    made = Structure.make(request.param, KINDS[request.param], DIMENSION, vectors, 1000)
    made.add(vectors[:700])
    made.add(vectors[700:])
    return made


def test_the_true_ten_are_among_the_candidates(structure):
    vectors, queries = _vectors(1000), _vectors(50, seed=1)
    _, positions = structure.candidates(queries, 10)
    truth = np.argsort(-(queries @ vectors.T), axis=1)[:, :10]
    found = [len(set(a) & set(b)) for a, b in zip(positions.tolist(), truth.tolist(), strict=True)]
    assert len(structure) == 1000 and np.mean(found) > 9.5
    assert positions.shape[1] == (100 if structure.approximate else 10)


def test_only_codes_give_approximate_scores(structure):
    vectors, queries = _vectors(1000), _vectors(20, seed=1)
    scores, positions = structure.candidates(queries, 5)
    error = np.abs(scores - np.take_along_axis(queries @ vectors.T, positions, axis=1))
    assert error.max() < (0.5 if structure.approximate else 1e-6)
    assert (error.max() > 1e-3) == structure.approximate


def test_comes_back_from_its_file_and_goes_on(structure, tmp_path):
    vectors, queries = _vectors(1000), _vectors(20, seed=1)
    structure.save(tmp_path, 3)
    parts = iter([vectors[:1], vectors[1:600], vectors[600:], vectors[:100]])
    args = tmp_path, structure.kind, structure.options, 3, 1100, parts
    loaded = Structure.load(*args)
    for one, other in zip(
        structure.candidates(queries, 7), loaded.candidates(queries, 7), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    loaded.add(queries)
    positions = loaded.candidates(queries, 1)[1]
    assert len(loaded) == 1020 and (positions == np.arange(1000, 1020)[:, None]).any(axis=1).all()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_graph_is_written_without_the_vectors(tmp_path):
    made = Structure.make("hnsw", KINDS["hnsw"], 512, None, 100)
    made.add(np.ones((100, 512), np.float32))
    made.save(tmp_path, 0)
    assert (tmp_path / NAME).stat().st_size < 100 * 512 * 4 / 4


def test_a_file_of_other_positions_or_more_vectors_is_not_taken(structure, tmp_path):
    assert Structure.load(tmp_path, structure.kind, structure.options, 0, 1000, iter([])) is None
    structure.save(tmp_path, 3)
    for generation, count in ((4, 1000), (3, 999)):
        args = tmp_path, structure.kind, structure.options, generation, count
        assert Structure.load(*args, iter([])) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "sealed with nothing"])
def test_a_damaged_file_is_found_and_the_way_out_is_told(structure, tmp_path, damage):
    structure.save(tmp_path, 0)
    path = tmp_path / NAME
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 255
    if damage == "sealed with nothing":
        content[-256:] = b" " * 256
    path.write_bytes({"cut": content[:-300], "empty": b""}.get(damage, content))
    args = tmp_path, structure.kind, structure.options, 0, 1000, iter([_vectors(1000)])
    with pytest.raises(VectorIndexError, match="delete this file, and the index makes it again"):
        Structure.load(*args)


def test_lists_are_outgrown_by_four_times_the_vectors(structure):
    assert not structure.outgrown(3999)
    assert structure.outgrown(4000) == (structure.kind == "ivf_pq")


def test_options_are_completed():
    assert checked_options("exact", 3, None) == {}
    options = checked_options("ivf_pq", 96, {"nprobe": 5})
    assert options["m"] == 48 and options["nprobe"] == 5 and options["nlist"] is None
    assert checked_options("ivf_pq", 9, None)["m"] == 3


@pytest.mark.parametrize(
    ("kind", "dimension", "options", "message"),
    [
        ("flat", 8, None, "must be one of exact, hnsw, ivf_pq; received 'flat'"),
        ("exact", 0, None, "`dimension` must be a whole number from 1; received 0"),
        ("exact", 8, {"M": 3}, "kind 'exact' are none; received M"),
        ("hnsw", 8, {"nprobe": 3}, "are M, efConstruction, efSearch; received nprobe"),
        ("hnsw", 8, {"M": 1}, "'M' must be at least 2; received 1"),
        ("hnsw", 8, {"efSearch": 0}, "'efSearch' of kind 'hnsw' must be a whole number"),
        ("hnsw", 8, {"efSearch": 1.5}, "received 1.5"),
        ("ivf_pq", 8, {"nlist": True}, "received True"),
        ("ivf_pq", 8, {"m": 3}, "must divide its dimension; received 3, dimension 8"),
        ("ivf_pq", 7, None, "dimension 7 is prime and can't be cut; take kind 'hnsw'"),
    ],
)
def test_wrong_options_are_refused(kind, dimension, options, message):
    with pytest.raises(VectorIndexError, match=message):
        checked_options(kind, dimension, options)


def test_each_list_has_enough_to_learn_from():
    for count in (10_000, 50_000, 1_000_000, 20_000_000):
        sample = min(count, 262_144)
        lists = list_count(count, sample)
        assert 39 * lists <= sample and (lists & (lists - 1)) == 0
    assert first_count("ivf_pq", KINDS["ivf_pq"] | {"nlist": 100}) == 3900
    assert first_count("ivf_pq", KINDS["ivf_pq"] | {"nlist": None}) == 10_000
    assert first_count("hnsw", KINDS["hnsw"]) == 1
