import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from kmed.metrics import distances
from kmed.metrics.distances import distance_blocks


def whole(a, b):
    found = np.full((len(a), len(b)), np.nan)
    for rows, columns, block in distance_blocks(a, b):
        found[rows, columns] = block
    return found


@pytest.mark.parametrize("offset", [0, 1000])
def test_blocks_are_scipys_distances(monkeypatch, offset):
    monkeypatch.setattr(distances, "_NUMBERS", 100)
    a, b = np.random.default_rng(0).normal(offset, 1, (2, 23, 3, 4)).astype("float32")
    blocks = list(distance_blocks(a, b[:17]))
    assert len(blocks) == 3 * 3
    assert [rows.start for rows, *_ in blocks] == [0] * 3 + [8] * 3 + [16] * 3
    flat = [table.reshape(len(table), -1).astype("float64") for table in (a, b[:17])]
    np.testing.assert_allclose(whole(a, b[:17]), cdist(*flat), rtol=1e-7)


def test_memory_does_not_grow(monkeypatch):
    monkeypatch.setattr(distances, "_NUMBERS", 1 << 16)  # 64 images

    def peak(count):
        known = np.zeros((count, 32, 32), "float32")
        tracemalloc.start()
        for _ in distance_blocks(known[:10], known):
            pass
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(3_000) < 1.1 * peak(300)


def test_what_does_not_fit_is_said():
    table = np.ones((5, 3))
    with pytest.raises(ValueError, match=r"received \(5, 3\) and \(5, 2\)"):
        whole(table, table[:, :2])
    with pytest.raises(ValueError, match=r"not empty; received \(0, 3\)"):
        list(distance_blocks(table[:0], table))
    bad = table.copy()
    bad[3, 1] = np.nan
    for pair in ((bad, table), (table, bad)):
        with pytest.raises(ValueError, match="finite; received others in rows 0 to 4"):
            list(distance_blocks(*pair))
