import json
import os
import random
import signal
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from kmed.index import IndexBusyError, VectorIndex, VectorIndexError
from kmed.index.lock import writing
from kmed.index.structures import NAME as STRUCTURE

DIMENSION = 8
OPTIONS = {
    "exact": None,
    "hnsw": {"M": 8, "efConstruction": 40, "efSearch": 64},
    "ivf_pq": {"nlist": 4, "nprobe": 4, "rerank": 30},
}
KINDS = list(OPTIONS)


def _vectors(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype("float32")


def _index(folder, kind="exact", count=0, seed=0):
    index = VectorIndex.create(folder / "index", DIMENSION, kind, {"tower": "ct"}, OPTIONS[kind])
    if count:
        _add(index, count, seed)
    return index


def _add(index, count, seed=0):
    start = len(index)
    ids = [f"n{number}" for number in range(start, start + count)]
    return index.add(ids, _vectors(count, seed), [{"number": int(name[1:])} for name in ids])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_added_is_found_with_its_row_now_and_after_opening(tmp_path, kind):
    with _index(tmp_path, kind) as index:
        assert _add(index, 700) == 700
        assert _add(index, 3, seed=1) == 3
    vectors = np.concatenate([_vectors(700), _vectors(3, seed=1)])
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for seen in (index, VectorIndex.open(tmp_path / "index")):
        assert (len(seen), seen.kind, seen.dimension) == (703, kind, DIMENSION)
        assert seen.facts == {"tower": "ct"} and seen.folder == tmp_path / "index"
        hits = seen.search(5 * vectors[650:], k=4)
        assert [line[0] for line in hits.ids] == [f"n{number}" for number in range(650, 703)]
        assert hits.rows[7][0] == {"number": 657}
        assert hits.scores.shape == (53, 4) and hits.scores.dtype == np.float32
        numbers = np.array([[row["number"] for row in line] for line in hits.rows])
        expected = np.einsum("qd,qkd->qk", units[650:], units[numbers])
        np.testing.assert_allclose(hits.scores, expected, atol=1e-6)


def test_exact_search_is_the_order_of_the_cosines(tmp_path):
    index = _index(tmp_path, count=200)
    vectors, queries = _vectors(200), _vectors(30, seed=1)
    cosines = queries @ vectors.T / np.linalg.norm(vectors, axis=1)
    expected = [[f"n{n}" for n in line] for line in np.argsort(-cosines, axis=1)[:, :10]]
    assert index.search(queries).ids == expected
    assert index.search(queries[0], k=10).ids == expected[:1]


def test_no_more_is_found_than_there_is(tmp_path):
    index = _index(tmp_path)
    empty = index.search(_vectors(2))
    assert empty.ids == empty.rows == [[], []] and empty.scores.shape == (2, 0)
    _add(index, 3)
    assert index.search(_vectors(2), k=10).scores.shape == (2, 3)


def test_ids_are_there_once(tmp_path):
    index = _index(tmp_path, count=5)
    with pytest.raises(VectorIndexError, match="2 of the ids are in the index already.*'n1'.*skip"):
        index.add(["new", "n1", "n2"], _vectors(3))
    assert len(index) == 5 and "new" not in index
    assert index.add(["new", "n1"], _vectors(2, seed=1), existing="skip") == 1
    assert index.add(["n1"], _vectors(1), existing="skip") == index.add([], np.empty((0, 8))) == 0
    assert index.ids == ["n0", "n1", "n2", "n3", "n4", "new"] and "n1" in index
    assert index.search(index.vector("new"), k=1).ids == [["new"]]
    np.testing.assert_allclose(index.vector("n1") @ _vectors(5)[1], np.linalg.norm(_vectors(5)[1]))
    with pytest.raises(VectorIndexError, match="no id 'newer' in the index"):
        index.vector("newer")


@pytest.mark.parametrize("kind", KINDS)
def test_removing_finds_the_others_as_before(tmp_path, kind):
    index = _index(tmp_path, kind, 700)
    other = VectorIndex.open(tmp_path / "index")
    gone = [f"n{number}" for number in range(0, 100)]
    index.save()
    assert index.remove(gone) == 100
    with pytest.raises(VectorIndexError, match="1 are not, such as 'n5'; nothing was changed"):
        index.remove(["n200", "n5"])
    other.refresh()
    for seen in (index, other, VectorIndex.open(tmp_path / "index")):
        assert len(seen) == 600 and "n99" not in seen and "n200" in seen
        nearest = [line[0] for line in seen.search(_vectors(700)[100:], k=1).ids]
        assert nearest == [f"n{number}" for number in range(100, 700)]
    index.add(gone, _vectors(100, seed=3))
    index.remove(index.ids)
    assert index.search(_vectors(1)).ids == [[]]


def test_what_another_has_added_is_seen_after_a_refresh_and_before_adding(tmp_path):
    one = _index(tmp_path, "hnsw", 20)
    other = VectorIndex.open(tmp_path / "index")
    _add(one, 30, seed=1)
    assert len(other) == 20 and other.search(_vectors(1), k=1).ids == [["n0"]]
    with pytest.raises(VectorIndexError, match="such as 'n20'"):
        other.add(["n20"], _vectors(1))
    other.refresh()
    assert len(other) == 50
    other.add(["last"], _vectors(1, seed=9))
    one.refresh()
    assert one.search(_vectors(1, seed=9), k=1).ids == [["last"]]


def test_two_that_write_at_once(tmp_path):
    index = _index(tmp_path, count=3)
    with writing(index.folder):
        for change in (lambda: _add(index, 1), lambda: index.remove(["n0"])):
            with pytest.raises(IndexBusyError, match=f"process {os.getpid()} is writing"):
                change()
        assert len(VectorIndex.open(index.folder).search(_vectors(1)).ids[0]) == 3
    _add(index, 1)


def test_searching_while_another_thread_adds(tmp_path):
    index = _index(tmp_path, "hnsw", 50)
    reader = VectorIndex.open(index.folder)
    wrong = []

    def read():
        while not done.is_set():
            hits = reader.search(_vectors(50), k=1)
            wrong.extend(a for a, n in zip(hits.ids, range(50), strict=True) if a != [f"n{n}"])
            reader.refresh()

    done = threading.Event()
    thread = threading.Thread(target=read)
    thread.start()
    for turn in range(20):
        _add(index, 7, seed=turn + 1)
    done.set()
    thread.join(timeout=30)
    assert not thread.is_alive() and not wrong


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.search(np.ones((1, 3))), r"shape \(N, 8\), the index's dimension"),
        (lambda i: i.search(np.ones(8), k=0), "`k` must be a whole number from 1; received 0"),
        (lambda i: i.search(np.zeros(8)), "have a direction"),
        (lambda i: i.add(["a"], np.ones((2, 8))), "of one number; received 1, 2 and 1"),
        (lambda i: i.add(["a"], np.ones((1, 8)), [{}, {}]), "received 1, 1 and 2"),
        (lambda i: i.add(["a"], np.ones((1, 8)), existing="replace"), "refuse or skip; received"),
        (lambda i: i.add(["a", "a"], np.ones((2, 8))), "'a' is there twice"),
        (lambda i: VectorIndex.create(i.folder, 8), "has an index already: open it"),
        (lambda i: VectorIndex.open(i.folder, {"M": 3}), "received M, which an index is created"),
        (lambda i: VectorIndex.open(i.folder, {"nprobe": 3}), "are none; received nprobe"),
        (lambda i: VectorIndex.open(i.folder / "x"), "has none: `VectorIndex.create` makes one"),
        (lambda i: VectorIndex.create(i.folder / "x", 8, facts={"a": {1}}), "JSON values"),
    ],
)
def test_wrong_arguments_are_told(tmp_path, call, message):
    index = _index(tmp_path, count=2)
    with pytest.raises(VectorIndexError, match=message):
        call(index)
    assert len(VectorIndex.open(index.folder)) == 2


def test_options_of_searching_may_differ_from_the_index_own(tmp_path):
    _index(tmp_path, "hnsw", 20)
    opened = VectorIndex.open(tmp_path / "index", {"efSearch": 7})
    assert opened.options == OPTIONS["hnsw"] | {"efSearch": 7}
    assert VectorIndex.open(tmp_path / "index").options["efSearch"] == 64
    assert repr(opened).endswith("index', hnsw, 20 x 8)")


def test_the_structure_is_made_again_when_its_file_is_deleted(tmp_path):
    index = _index(tmp_path, "hnsw", 100)
    index.save()
    path = index.folder / STRUCTURE
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(VectorIndexError, match="delete this file"):
        VectorIndex.open(index.folder)
    path.unlink()
    assert VectorIndex.open(index.folder).search(_vectors(100), k=1).ids[99] == ["n99"]


def test_nothing_but_what_the_caller_gave_is_written(tmp_path):
    index = _index(tmp_path, count=2)
    values = json.loads((index.folder / "index.json").read_text())
    assert values["facts"] == {"tower": "ct"}
    (rows,) = index.folder.glob("*.jsonl")
    assert rows.read_text() == '["n0", {"number": 0}]\n["n1", {"number": 1}]\n'
    assert (index.folder / "lock").read_text() == str(os.getpid())


def _kill_at_call(step):
    calls = iter(range(1, 1000))

    def counted(call):
        def instead(*args, **options):
            if next(calls) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **options)

        return instead

    for name in ("open", "replace", "fsync", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


def kill_at_every_step(kind):
    """In processes of their own that end at the first, second, third ... call of the system."""
    folder = Path(kind)
    index = VectorIndex.create(folder, DIMENSION, kind, None, OPTIONS[kind])
    _add(index, 3)
    index.save()
    killed = 0
    for step in range(1, 100):
        before = len(VectorIndex.open(folder))
        child = os.fork()
        if not child:
            opened = VectorIndex.open(folder)
            _kill_at_call(step)
            _add(opened, 4, seed=step)
            opened.save()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        opened = VectorIndex.open(folder)
        assert len(opened) in (before, before + 4), (step, before, len(opened))
        assert opened.ids == [f"n{number}" for number in range(len(opened))]
        hits = opened.search(np.stack([opened.vector(name) for name in opened.ids]), k=1)
        assert hits.ids == [[name] for name in opened.ids]
        assert [row["number"] for (row,) in hits.rows] == list(range(len(opened)))
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0 and len(opened) == before + 4
            break
        killed += 1
        _add(opened, 1, seed=1000 + step)
    listed = sum(2 for _ in opened._store.manifest.segments)
    assert len(list(folder.glob("segment-*"))) == listed
    assert not list(folder.glob(".*"))
    return killed


def kill_at_any_time():
    """A process adds and tells what is finished, until it is killed from outside."""
    VectorIndex.create("index", DIMENSION, "exact")
    wait = random.Random(0)
    added = 0
    for _ in range(8):
        reading, telling = os.pipe()
        child = os.fork()
        if not child:
            opened = VectorIndex.open("index")
            while True:
                _add(opened, 50, seed=len(opened))
                os.write(telling, b"%d\n" % len(opened))
        os.close(telling)
        with open(reading, "rb") as pipe:
            told = pipe.readline()
            time.sleep(0.1 * wait.random())
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            finished = int((told + pipe.read()).split()[-1])
        opened = VectorIndex.open("index")
        assert finished <= len(opened) <= finished + 50, (finished, len(opened))
        assert opened.ids == [f"n{number}" for number in range(len(opened))]
        assert len(opened) > added
        added = len(opened)
    assert added % 50 == 0
    for start in range(0, added, 50):
        expected = _vectors(50, seed=start)
        found = np.stack([opened.vector(f"n{start + n}") for n in range(50)])
        np.testing.assert_allclose(
            found, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6
        )


def kill():
    """One process for all three, as its start is the longest part."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of fork, where there are threads
    assert kill_at_every_step("exact") >= 10
    assert kill_at_every_step("hnsw") >= 12
    kill_at_any_time()


def test_finished_additions_survive_a_kill(run_isolated):
    run_isolated(kill, env={"OMP_NUM_THREADS": "1"})  # as fork and pools of threads don't agree


def test_faiss_and_tensorflow_share_a_process(tmp_path):
    # Both have pools of threads; a conflict would show as a hang, a crash or wrong values.
    tf = pytest.importorskip("tensorflow")
    kernel, images = tf.ones((3, 3, 1, 4)), tf.ones((4, 32, 32, 1))
    index = _index(tmp_path, "hnsw", 200)
    network = tf.function(lambda x: tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "VALID"), (1, 2)))
    for _ in tf.data.Dataset.range(10).map(lambda n: n + 1, num_parallel_calls=2):
        assert float(network(images)[0, 0]) == 30 * 30 * 9
        assert index.search(_vectors(40), k=1).ids == [[f"n{number}"] for number in range(40)]
