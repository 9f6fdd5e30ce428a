import numpy as np

from kmed.index.given import row_lines
from kmed.index.hits import Hits
from kmed.index.manifest import Manifest
from kmed.index.store import Store


def test_positions_become_ids_and_rows(tmp_path):
    Manifest(dimension=2, kind="exact", options={}, facts={}).save(tmp_path)
    store = Store(tmp_path)
    store.append(np.eye(2, dtype=np.float32), row_lines(["a", "b"], [{"slice": 1}, {"slice": 2}]))
    hits = Hits.of(store, np.zeros((2, 2)), np.array([[1, 0], [0, 1]]))
    assert hits.ids == [["b", "a"], ["a", "b"]]
    assert hits.rows[0] == [{"slice": 2}, {"slice": 1}]
    assert Hits.of(store, np.zeros((1, 0)), np.zeros((1, 0), int)).ids == [[]]
