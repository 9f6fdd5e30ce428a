import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.triplet_semihard import TripletSemiHardLoss, triplet_semihard_loss


def plain(distances, positive, negative, margin):
    """With loops: the mean over anchors and matches."""
    values = []
    for i, j in zip(*np.nonzero(positive), strict=True):
        others = distances[i][negative[i]]
        if len(others):
            farther = [d for d in others if d > distances[i, j]]
            other = min(farther) if farther else max(others)
            values.append(max(distances[i, j] - other + margin, 0))
    return np.mean(values)


@pytest.mark.parametrize("metric", ["L2", "squared-L2", "angular"])
@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_gives_what_tensorflow_addons_gives(goldens, metric, margin):
    with np.load(goldens / "tensorflow_addons.npz") as golden:
        name, x = f"triplet_semihard_{metric}_{margin}", tf.Variable(golden["unit"])
        with tf.GradientTape() as tape:
            loss = triplet_semihard_loss(golden["labels"], x, margin, metric)
        np.testing.assert_allclose(loss, golden[name], rtol=1e-6)
        gradient = tf.convert_to_tensor(tape.gradient(loss, x))
        wanted = golden[f"{name}_grad"]
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
        same = TripletSemiHardLoss(margin, metric)(golden["labels"], golden["unit"])
        np.testing.assert_allclose(same, golden[name], rtol=1e-6)


def test_across_modalities_with_loops():
    random = np.random.default_rng(0)
    a, g = random.normal(size=(6, 4)), random.normal(size=(10, 4))
    kind = random.integers(0, 3, (6, 10))
    kind[0], kind[1] = 0, 1
    distances = np.linalg.norm(a[:, None] - g[None], axis=-1)
    found = TripletSemiHardLoss(0.7).cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, plain(distances, kind == 0, kind == 1, 0.7), rtol=1e-9)


def test_by_hand():
    # Anchor at 0, its match at 1; counterexamples at 0.5, 1.5 and 4: the second is semi-hard.
    sides = [[0.0]], [[1.0], [0.5], [1.5], [4.0]]
    positive, negative = [[True, False, False, False]], [[False, True, True, True]]
    assert TripletSemiHardLoss(1.0).cross(*sides, positive, negative) == 0.5
    # Of counterexamples that are all nearer, the farthest.
    negative = [[False, True, False, False]]
    assert TripletSemiHardLoss(1.0).cross(*sides, positive, negative) == 1.5


def test_items_without_a_counterexample_do_not_count():
    assert triplet_semihard_loss([0, 0], [[0.0], [1.0]]) == 0
    assert triplet_semihard_loss([0, 1], [[0.0], [0.1]]) == 0
