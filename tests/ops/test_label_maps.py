"""Region sums and cross-entropy against scipy's softmax and plain sums."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from kmed.ops.label_maps import (
    mean_over_voxels,
    nan_if_out_of_range,
    region_sums,
    voxel_cross_entropy,
    voxels,
)


def probabilities(logits):
    if logits.shape[-1] == 1:
        return 1 / (1 + np.exp(-logits))
    return softmax(logits, axis=-1)


@pytest.mark.parametrize("classes", [1, 2, 3, 6])
@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("ignore", [None, 1])
def test_region_sums_and_cross_entropy(classes, background, ignore):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, max(classes, 2), (2, 3, 4, 5))
    logits = rng.normal(size=(*labels.shape, classes)) * 3
    v = voxels(labels, logits, ignore)
    valid = np.ones(labels.shape, bool) if ignore is None else labels != ignore
    p = probabilities(logits) * valid[..., None]
    named = [1] if classes == 1 else list(range(0 if background else 1, classes))
    p = p if classes == 1 else p[..., named]
    hot = (labels[..., None] == np.array(named)) & valid[..., None]
    for squared in (False, True):
        sums = region_sums(v, include_background=background, squared=squared)
        axes = (1, 2, 3)
        np.testing.assert_allclose(sums.intersection, (p * hot).sum(axes), rtol=1e-5)
        np.testing.assert_allclose(sums.truth, hot.sum(axes))
        np.testing.assert_allclose(sums.volume, p.sum(axes), rtol=1e-5)
        np.testing.assert_allclose(sums.predicted, (p**2 if squared else p).sum(axes), rtol=1e-5)
        np.testing.assert_allclose(sums.voxels[:, 0], valid.sum(axes))
    both = np.concatenate([0 * logits, logits], -1) if classes == 1 else logits
    entropy = -np.take_along_axis(log_softmax(both, -1), labels[..., None], -1)[..., 0] * valid
    np.testing.assert_allclose(voxel_cross_entropy(v), entropy.reshape(2, -1), rtol=1e-4, atol=1e-6)
    mean = mean_over_voxels(voxel_cross_entropy(v), v)
    np.testing.assert_allclose(mean, entropy.sum((1, 2, 3)) / valid.sum((1, 2, 3)), rtol=1e-5)


def test_large_logits_stay_finite():
    logits = np.array([1e5, -1e5, 3e4]).reshape(1, 1, 1, 3)
    entropy = voxel_cross_entropy(voxels(np.full((1, 1, 1), 1), logits))
    assert float(entropy[0, 0]) == pytest.approx(2e5)
    two = voxel_cross_entropy(voxels(np.full((1, 1, 1), 1), logits[..., :2]))
    assert float(two[0, 0]) == pytest.approx(2e5)


def test_labels_out_of_range_are_seen_unless_ignored():
    labels, logits = np.array([[[0, 255]], [[0, 1]]]), np.zeros((2, 1, 2, 2))
    assert np.isnan(nan_if_out_of_range(voxels(labels, logits))).tolist() == [True, False]
    assert not np.isnan(nan_if_out_of_range(voxels(labels, logits, 255))).any()
