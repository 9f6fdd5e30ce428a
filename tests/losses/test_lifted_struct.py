import numpy as np

from kmed.losses.lifted_struct import LiftedStructLoss, lifted_struct_loss


def plain(distances, positive, negative, margin):
    """With loops: equation 4 of the paper, of two modalities."""
    values = []
    for i, j in zip(*np.nonzero(positive), strict=True):
        near = [np.exp(margin - d) for d in distances[i][negative[i]]]
        near += [np.exp(margin - d) for d in distances[:, j][negative[:, j]]]
        if near:
            values.append(max(np.log(sum(near)) + distances[i, j], 0) ** 2 / 2)
    return np.mean(values)


def test_gives_what_tensorflow_addons_gives(goldens):
    with np.load(goldens / "tensorflow_addons.npz") as golden:
        labels, x, wanted = golden["labels"], golden["unit"], golden["lifted_struct"]
    np.testing.assert_allclose(lifted_struct_loss(labels, x), wanted, rtol=1e-6)
    np.testing.assert_allclose(LiftedStructLoss()(labels, x), wanted, rtol=1e-6)


def test_across_modalities_with_loops():
    random = np.random.default_rng(0)
    a, g = random.normal(size=(6, 4)), random.normal(size=(10, 4))
    kind = random.integers(0, 3, (6, 10))
    kind[0] = 0  # counterexamples of its matches only
    distances = np.linalg.norm(a[:, None] - g[None], axis=-1)
    found = LiftedStructLoss(0.3).cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, plain(distances, kind == 0, kind == 1, 0.3), rtol=1e-9)
    back = LiftedStructLoss(0.3).cross(g, a, kind.T == 0, kind.T == 1)
    np.testing.assert_allclose(back, found, rtol=1e-9)


def test_in_a_batch_every_pair_counts_from_both_ends():
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(8, 3)), np.array([0, 0, 1, 1, 2, 2, 0, 3])
    equal = labels[:, None] == labels[None]
    distances = np.linalg.norm(x[:, None] - x[None], axis=-1)
    expected = plain(distances, equal & ~np.eye(8, dtype=bool), ~equal, 1.0)
    np.testing.assert_allclose(lifted_struct_loss(labels, x), expected, rtol=1e-9)
