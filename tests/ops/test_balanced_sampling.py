import numpy as np
import pytest

from kmed.ops.balanced_sampling import balanced_sample


def drawn(positives, negatives, size, share, ignored=10, seed=0):
    """Numbers of positives, negatives and others that were chosen among so many."""
    kind = np.repeat([1, 0, -1], [positives, negatives, ignored])[None]
    numbers = np.random.default_rng(seed).uniform(size=kind.shape).astype("float32")
    chosen = np.array(balanced_sample(kind == 1, kind == 0, numbers, size, share))
    return tuple(int((chosen & (kind == k)).sum()) for k in (1, 0, -1))


@pytest.mark.parametrize(
    ("positives", "negatives", "size", "share", "expected"),
    [
        (300, 1000, 256, 0.5, (128, 128, 0)),  # at most half positive
        (20, 1000, 256, 0.5, (20, 236, 0)),  # negatives take their places
        (300, 50, 256, 0.5, (128, 50, 0)),  # too few negatives: fewer examples
        (0, 1000, 256, 0.5, (0, 256, 0)),
        (300, 1500, 512, 0.25, (128, 384, 0)),  # the head's quarter
        (3, 4, 256, 0.5, (3, 4, 0)),  # fewer candidates than wanted
        (0, 0, 256, 0.5, (0, 0, 0)),
        (5, 5, 4, 0.0, (0, 4, 0)),
        (5, 5, 4, 1.0, (4, 0, 0)),
    ],
)
def test_takes_so_many_of_each(positives, negatives, size, share, expected):
    assert drawn(positives, negatives, size, share) == expected


def test_each_image_by_itself():
    positive = np.array([[True, True, False, False], [False, False, False, False]])
    numbers = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 0.9, 0.5, 0.6]], "float32")
    chosen = np.array(balanced_sample(positive, ~positive, numbers, 2, 0.5))
    assert chosen.tolist() == [[False, True, False, True], [False, True, False, True]]


def test_a_number_of_zero_can_be_drawn():
    positive = np.array([[True, False]])
    chosen = balanced_sample(positive, ~positive, np.zeros((1, 2), "float32"), 2, 0.5)
    assert np.array(chosen).all()


def test_every_candidate_is_as_likely():
    random = np.random.default_rng(1)
    negative = np.ones((4000, 8), bool)
    numbers = random.uniform(size=negative.shape).astype("float32")
    chosen = np.array(balanced_sample(~negative, negative, numbers, 2, 0.5))
    assert (chosen.sum(axis=1) == 2).all()
    np.testing.assert_allclose(chosen.mean(axis=0), 0.25, atol=0.03)
