import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.triplet_hard import TripletHardLoss, triplet_hard_loss


def plain(distances, positive, negative, margin):
    """With loops: the mean over anchors; a margin of None is soft."""
    values = []
    for row, match, other in zip(distances, positive, negative, strict=True):
        if match.any() and other.any():
            difference = max(row[match]) - min(row[other])
            soft = np.log1p(np.exp(difference))
            values.append(soft if margin is None else max(difference + margin, 0))
    return np.mean(values)


@pytest.mark.parametrize("metric", ["L2", "squared-L2", "angular", "soft"])
@pytest.mark.parametrize("margin", [1.0, 0.2])
def test_gives_what_tensorflow_addons_gives(goldens, metric, margin):
    name, settings = f"triplet_hard_{metric}_{margin}", {"distance_metric": metric}
    if metric == "soft":
        name, settings = "triplet_hard_soft", {"soft": True}
    with np.load(goldens / "tensorflow_addons.npz") as golden:
        x = tf.Variable(golden["unit"])
        with tf.GradientTape() as tape:
            loss = triplet_hard_loss(golden["labels"], x, margin, **settings)
        np.testing.assert_allclose(loss, golden[name], rtol=1e-6)
        gradient = tf.convert_to_tensor(tape.gradient(loss, x))
        wanted = golden[f"{name}_grad"]
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
        same = TripletHardLoss(margin, **settings)(golden["labels"], golden["unit"])
        np.testing.assert_allclose(same, golden[name], rtol=1e-6)


@pytest.mark.parametrize("margin", [0.7, None])
def test_across_modalities_with_loops(margin):
    random = np.random.default_rng(0)
    a, g = random.normal(size=(6, 4)), random.normal(size=(10, 4))
    kind = random.integers(0, 3, (6, 10))
    kind[0], kind[1] = 0, 1
    distances = np.linalg.norm(a[:, None] - g[None], axis=-1)
    loss = TripletHardLoss(margin or 0.0, soft=margin is None)
    found = loss.cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, plain(distances, kind == 0, kind == 1, margin), rtol=1e-9)


def test_an_item_alone_with_its_label_counts_in_a_batch_as_in_tensorflow_addons():
    # Its match is itself, at distance 0: max(0 - 0.25 + 1, 0). The others have 0.5 - 0.25 + 1 and
    # 0.5 - 0.75 + 1.
    labels, x = [7, 8, 8], np.float32([[0.0], [0.25], [-0.5]])
    labels[1:] = [8, 8]
    distances = np.abs(x - x.T)
    expected = np.mean([1 - 0.25, distances[1, 2] - 0.25 + 1, distances[2, 1] - 0.5 + 1])
    np.testing.assert_allclose(triplet_hard_loss(labels, x), expected, rtol=1e-6)
    # Across modalities an anchor without a match does not.
    positive = [[False, False], [True, False]]
    found = TripletHardLoss().cross(x[:2], x[1:], positive, np.invert(positive))
    np.testing.assert_allclose(found, max(0 - 0.75 + 1, 0), rtol=1e-6)


def test_a_batch_of_one_label_costs_nothing():
    assert triplet_hard_loss([3, 3], [[0.0], [1.0]]) == 0


def test_a_soft_margin_does_not_overflow():
    found = triplet_hard_loss([0, 0, 1], [[0.0], [1000.0], [1.0]], soft=True)
    np.testing.assert_allclose(found, (999 + 1 + np.log1p(np.exp(-1.0)) - 0) / 3, rtol=1)
    assert np.isfinite(found)
