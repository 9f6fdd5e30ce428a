import numpy as np
import pytest

from kmed.losses.triplet_all import TripletAllLoss


def plain(distances, positive, negative, margin):
    """With loops: the mean over triplets above 0; a margin of None is soft, over all."""
    values = []
    for i, j in zip(*np.nonzero(positive), strict=True):
        for k in np.flatnonzero(negative[i]):
            difference = distances[i, j] - distances[i, k]
            if margin is None:
                values.append(np.log1p(np.exp(difference)))
            elif difference + margin > 0:
                values.append(difference + margin)
    return np.mean(values)


@pytest.mark.parametrize("margin", [0.7, 0.0, None])
def test_across_modalities_with_loops(margin):
    random = np.random.default_rng(0)
    a, g = random.normal(size=(6, 4)), random.normal(size=(10, 4))
    kind = random.integers(0, 3, (6, 10))
    kind[0], kind[1] = 0, 1
    distances = np.linalg.norm(a[:, None] - g[None], axis=-1)
    loss = TripletAllLoss(margin or 0.0, soft=margin is None)
    found = loss.cross(a, g, kind == 0, kind == 1)
    np.testing.assert_allclose(found, plain(distances, kind == 0, kind == 1, margin), rtol=1e-9)


def test_what_is_learnt_does_not_thin_out_the_rest():
    # On a line: 1 - 1.5 + 1 and 1 - 0.5 + 1; with a far counterexample added, the same.
    near = TripletAllLoss()([0, 0, 1], [[0.0], [1.0], [1.5]])
    far = TripletAllLoss()([0, 0, 1, 2], [[0.0], [1.0], [1.5], [99.0]])
    assert near == far == 1.0
    assert TripletAllLoss()([0, 0, 1], [[0.0], [1.0], [9.0]]) == 0  # all is learnt
