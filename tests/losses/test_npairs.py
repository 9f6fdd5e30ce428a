import numpy as np
import pytest

from kmed.losses.npairs import NpairsLoss, npairs_loss


def plain(similarities, positive, negative):
    values = []
    for row, match, other in zip(similarities, positive, negative, strict=True):
        if match.any():
            total = sum(np.exp(s) for s, m, o in zip(row, match, other, strict=True) if m or o)
            values.append(-np.mean([np.log(np.exp(s) / total) for s in row[match]]))
    return np.mean(values)


def test_gives_what_tensorflow_addons_gives(goldens):
    with np.load(goldens / "tensorflow_addons.npz") as golden:
        labels, x, wanted = golden["labels"], golden["embeddings"], golden["npairs"]
    np.testing.assert_allclose(npairs_loss(labels, x @ x.T), wanted, rtol=1e-6)
    np.testing.assert_allclose(NpairsLoss()(labels, x @ x.T), wanted, rtol=1e-6)
    equal = labels[:, None] == labels[None]
    np.testing.assert_allclose(NpairsLoss().cross(x, x, equal, ~equal), wanted, rtol=1e-6)


def test_across_modalities_with_loops():
    random = np.random.default_rng(0)
    a, g = random.normal(size=(6, 4)), random.normal(size=(10, 4))
    kind = random.integers(0, 3, (6, 10))
    kind[0] = 1
    found = NpairsLoss().cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, plain(a @ g.T, kind == 0, kind == 1), rtol=1e-9)


def test_embeddings_in_place_of_similarities_are_named():
    with pytest.raises(ValueError, match=r"shape \(B, B\).*received \(3, 8\) for 3 labels"):
        npairs_loss([0, 1, 2], np.zeros((3, 8)))
