import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from kmed.metrics import distances
from kmed.metrics.memorisation import memorisation, nearest_rows


def images(count, seed, shape=(6, 6, 1)):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *shape)).astype("float32")


def test_nearest_rows_are_scipys(monkeypatch):
    monkeypatch.setattr(distances, "_ROWS", 7)
    table, among = images(20, 0), images(33, 1)
    expected = cdist(*(one.reshape(len(one), -1).astype("float64") for one in (table, among)))
    nearest, distance = nearest_rows(table, among)
    np.testing.assert_array_equal(nearest, expected.argmin(axis=1))
    np.testing.assert_allclose(distance, expected.min(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(nearest_rows(among, among)[1], 0)


def test_copies_are_found_and_new_images_are_not():
    known, held_out = images(200, 0), images(100, 1)
    copied = known[40:70] + 0.05 * images(30, 2)
    found = memorisation(np.concatenate([copied, images(70, 3)]), known, held_out=held_out)
    assert found.copies.tolist() == [True] * 30 + [False] * 70
    assert found.share == 0.3 and found.held_out_share == 0
    assert found.nearest[:30].tolist() == list(range(40, 70))
    assert np.all(found.ratio[:30] < 0.1) and np.median(found.ratio[30:]) == pytest.approx(1, 0.1)
    copies, new = (memorisation(x, known, held_out=held_out) for x in (copied, images(70, 3)))
    assert copies.nearer == 1 and new.nearer == pytest.approx(0.5, abs=0.1)
    assert memorisation(10 * images(9, 4), known, held_out=held_out).nearer == 0


def test_nearer_is_the_share_of_pairs():
    rng = np.random.default_rng(0)
    known = np.zeros((1, 1))
    fake, held_out = (rng.integers(1, 6, (n, 1)).astype(float) for n in (30, 20))
    found = memorisation(fake, known, held_out=held_out)
    pairs = [(f < h) + (f == h) / 2 for f in fake[:, 0] for h in held_out[:, 0]]
    assert found.nearer == pytest.approx(np.mean(pairs))


def test_the_rule_follows_what_is_usual():
    """Training images that have near neighbours among the held-out ones, as of one scanner."""
    known = np.arange(200.0)[:, None] * 10
    held_out = known[:100] + np.linspace(0.1, 5, 100)[:, None]
    found = memorisation(known[:50] + 0.5, known, held_out=held_out)
    assert found.limit == pytest.approx(0.1) and found.share == 0
    held_out[:50] = known[:50]  # half of them were trained on
    found = memorisation(known[:50], known, held_out=held_out)
    assert found.limit == 0 and found.share == 1 and found.held_out_share == 0.5
    held_out[:] = known[:100]
    assert np.isnan(memorisation(known[:50], known, held_out=held_out).ratio).all()


def test_memory_does_not_grow(monkeypatch):
    monkeypatch.setattr(distances, "_NUMBERS", 1 << 16)  # 64 images
    fake, held_out = images(8, 0, (32, 32)), images(8, 1, (32, 32))

    def peak(count):
        known = np.random.default_rng(2).random((count, 32, 32), np.float32)
        tracemalloc.start()
        memorisation(fake, known, held_out=held_out)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(3_000) < 1.1 * peak(300)


def test_what_does_not_fit_is_said():
    table = images(5, 0)
    with pytest.raises(ValueError, match=r"`fake` and `known`.*\(5, 6, 6\) and \(5, 6, 6, 1\)"):
        memorisation(table[..., 0], table, held_out=table)
    with pytest.raises(ValueError, match="`held_out` and `known`.*one image at least"):
        memorisation(table, table, held_out=table[:0])
    with pytest.raises(ValueError, match="finite"):
        memorisation(table, table, held_out=np.full_like(table, np.nan))
