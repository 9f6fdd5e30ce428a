"""Surface distances against MONAI, plain loops and masks worked by hand."""

import numpy as np
import pytest
from scipy import ndimage

from kmed.metrics import (
    average_surface_distance,
    hausdorff_distance,
    surface,
    surface_dice,
    surface_distances,
)

PAIRS = [f"{d}d_{i}_" for d in (2, 3) for i in range(4)]


def pair(goldens, prefix):
    values = np.load(goldens / "monai.npz")
    shape = values[prefix + "shape"]
    masks = [
        np.unpackbits(values[prefix + which])[: np.prod(shape)].reshape(shape).astype(bool)
        for which in ("truth", "prediction")
    ]
    return *masks, tuple(values[prefix + "spacing_mm"]), values


@pytest.mark.parametrize("dense", [0.0, 1.0])  # distance transform, k-d tree
@pytest.mark.parametrize("prefix", PAIRS)
def test_equals_monai(goldens, prefix, dense, monkeypatch):
    monkeypatch.setattr(surface, "_DENSE", dense)
    truth, prediction, spacing, values = pair(goldens, prefix)
    close = {"abs": 3e-6}  # MONAI computes in float32
    assert hausdorff_distance(truth, prediction, spacing) == pytest.approx(
        float(values[prefix + "hd95_mm"]), **close
    )
    assert hausdorff_distance(truth, prediction, spacing, percentile=100) == pytest.approx(
        float(values[prefix + "hd100_mm"]), **close
    )
    assert average_surface_distance(truth, prediction, spacing) == pytest.approx(
        float(values[prefix + "assd_mm"]), **close
    )
    assert surface_dice(truth, prediction, spacing, 2.0) == pytest.approx(
        float(values[prefix + "surface_dice_2mm"]), **close
    )


@pytest.mark.parametrize("shape", [(9, 11), (5, 7, 6)])
def test_equals_plain_loops(shape):
    rng = np.random.default_rng(0)
    masks = [ndimage.gaussian_filter(rng.normal(size=shape), 1) > 0 for _ in range(2)]
    spacing = np.array([2.0, 0.7, 1.3][: len(shape)])

    def boundary(mask):
        points = []
        for index in np.argwhere(mask):
            for axis in range(mask.ndim):
                for step in (-1, 1):
                    neighbour = index.copy()
                    neighbour[axis] += step
                    outside = not 0 <= neighbour[axis] < mask.shape[axis]
                    if outside or not mask[tuple(neighbour)]:
                        points.append(tuple(index))
        return np.array(sorted(set(points))) * spacing

    a, b = (boundary(mask) for mask in masks)
    table = np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))
    distances = surface_distances(*masks, tuple(spacing))
    np.testing.assert_allclose(distances.from_truth, table.min(1), atol=1e-9)
    np.testing.assert_allclose(distances.from_prediction, table.min(0), atol=1e-9)


def test_two_squares_two_pixels_apart():
    truth, prediction = np.zeros((2, 12, 12), bool)
    truth[3:8, 2:7] = True
    prediction[3:8, 4:9] = True  # moved by 2 pixels of 0.5 mm
    assert hausdorff_distance(truth, prediction, (1.0, 0.5), 100) == 1.0
    # Of the 16 surface pixels, the left column (5) and the inner three of the right one are 1 mm
    # off, the two corners' neighbours 0.5 mm, and six lie on the other's surface.
    distances = surface_distances(truth, prediction, (1.0, 0.5))
    assert sorted(distances.from_truth) == [0] * 6 + [0.5] * 2 + [1] * 8
    assert sorted(distances.from_prediction) == sorted(distances.from_truth)
    assert average_surface_distance(truth, prediction, (1.0, 0.5)) == 9 / 16
    assert surface_dice(truth, prediction, (1.0, 0.5), 0.5) == 0.5
    assert surface_dice(truth, prediction, (1.0, 0.5), 1.0) == 1.0


def test_a_mask_that_fills_the_image_has_its_surface_on_the_rim():
    full, inner = np.ones((5, 5), bool), np.zeros((5, 5), bool)
    inner[1:4, 1:4] = True
    assert hausdorff_distance(full, inner, (1.0, 1.0), 100) == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize("shape", [(6, 6), (4, 6, 6)])
def test_empty_masks_have_defined_results(shape):
    empty, some = np.zeros((2, *shape), bool)
    some[1:3, 2:4] = True
    spacing = (1.0,) * len(shape)
    assert hausdorff_distance(empty, empty, spacing) == 0
    assert average_surface_distance(empty, empty, spacing) == 0
    assert surface_dice(empty, empty, spacing, 1.0) == 1
    for pair in ((empty, some), (some, empty)):
        assert hausdorff_distance(*pair, spacing) == np.inf
        assert average_surface_distance(*pair, spacing) == np.inf
        assert surface_dice(*pair, spacing, 1.0) == 0


def test_refuses_what_does_not_fit():
    mask = np.zeros((4, 4), bool)
    with pytest.raises(ValueError, match="one shape"):
        hausdorff_distance(mask, mask[:3], (1.0, 1.0))
    with pytest.raises(ValueError, match="spacing_mm"):
        hausdorff_distance(mask, mask, (1.0,))
    with pytest.raises(ValueError, match="spacing_mm"):
        hausdorff_distance(mask, mask, (1.0, 0.0))
    with pytest.raises(ValueError, match="labels == k"):
        hausdorff_distance(mask + 2, mask, (1.0, 1.0))
    with pytest.raises(ValueError, match="percentile"):
        hausdorff_distance(mask, mask, (1.0, 1.0), percentile=120)
    with pytest.raises(ValueError, match="tolerance_mm"):
        surface_dice(mask, mask, (1.0, 1.0), -1.0)
