import numpy as np
import pytest

from kmed.data.anchor_clusters import anchor_clusters, anchor_fit, shape_iou, sizes_in_network
from kmed.data.sample import Objects


def groups(*centres, count=30, seed=0):
    random = np.random.default_rng(seed)
    return np.concatenate(
        [np.array(centre) * random.uniform(0.93, 1.07, (count, 2)) for centre in centres]
    )


def test_the_iou_of_boxes_with_one_centre_is_that_of_the_boxes():
    random = np.random.default_rng(0)
    sizes, others = random.uniform(2, 9, (3, 2)), random.uniform(2, 9, (4, 2))
    found = shape_iou(sizes, others)
    grid = np.stack(np.meshgrid(*[np.linspace(-5, 5, 401)] * 2), axis=-1)  # step 0.025
    for n, size in enumerate(sizes):
        for m, other in enumerate(others):
            one = (np.abs(grid) < size / 2).all(axis=-1)
            two = (np.abs(grid) < other / 2).all(axis=-1)
            assert found[n, m] == pytest.approx((one & two).sum() / (one | two).sum(), abs=0.03)


def test_groups_of_sizes_are_found():
    centres = [(8, 12), (40, 20), (30, 90)]
    found = anchor_clusters(groups(*centres), 3)
    assert found.anchors.dtype == np.float32
    assert np.abs(found.anchors / np.array(centres) - 1).max() < 0.03
    assert found.recall == 1 and found.mean_iou > 0.93


def test_equal_seeds_give_equal_anchors_in_any_order_of_restarts():
    sizes = np.random.default_rng(1).lognormal(3, 0.7, (300, 2))
    one, two = (anchor_clusters(sizes, 5, seed=3) for _ in range(2))
    assert np.array_equal(one.anchors, two.anchors) and one[1:] == two[1:]
    # More restarts keep the best of the first.
    more = anchor_clusters(sizes, 5, seed=3, restarts=20)
    assert more.mean_iou >= one.mean_iou


def test_they_fit_better_than_euclids_k_means_and_than_yolos_own():
    from scipy.cluster.vq import kmeans2

    random = np.random.default_rng(2)
    sizes = random.lognormal(3, 0.8, (400, 1)) * random.uniform(0.6, 1.6, (400, 2))
    found = anchor_clusters(sizes, 9)
    euclid, _ = kmeans2(sizes, 9, seed=0, minit="++")
    coco = [(10, 13), (16, 30), (33, 23), (30, 61), (62, 45), (59, 119)]
    coco += [(116, 90), (156, 198), (373, 326)]
    assert found.mean_iou > anchor_fit(sizes, euclid)[1]
    assert found.mean_iou > anchor_fit(sizes, np.array(coco))[1]
    # No step of k-means from here makes it better by more than a trifle: it is near an optimum.
    nearest = shape_iou(sizes, found.anchors).argmax(axis=1)
    means = np.stack([sizes[nearest == number].mean(axis=0) for number in range(9)])
    assert anchor_fit(sizes, means)[1] < found.mean_iou + 1e-6


def test_recall_and_mean_iou_by_hand():
    sizes, anchors = np.array([[10, 10], [10, 20], [40, 40]]), np.array([[10, 10], [20, 40]])
    recall, mean_iou = anchor_fit(sizes, anchors, threshold=0.6)
    assert recall == pytest.approx(1 / 3)  # 1, 0.5 and 0.5
    assert mean_iou == pytest.approx(2 / 3)
    assert anchor_fit(sizes, anchors)[0] == 1


def test_as_many_anchors_as_sizes_fit_all():
    sizes = np.array([[3, 4], [5, 6], [30, 40], [3, 4]])
    found = anchor_clusters(sizes, 3)
    assert found.anchors.tolist() == [[3, 4], [5, 6], [30, 40]] and found.mean_iou == 1


def test_sizes_in_the_networks_pixels():
    objects = [
        Objects(boxes=[(0, 0, 10, 20), (0, 0, 99, 99)], labels=[0, 0], difficult=[False, True]),
        Objects(boxes=[], labels=[]),
        Objects(boxes=[(5, 5, 15, 10)], labels=[0]),
    ]
    sizes = [(100, 200), (50, 50), (50, 50)]
    assert sizes_in_network(objects, sizes, (200, 200)).tolist() == [[10, 40], [40, 20]]
    boxed = sizes_in_network(objects, sizes, (200, 200), letterbox=True)
    assert boxed.tolist() == [[10, 20], [40, 20]]
    assert sizes_in_network([], [], (8, 8)).shape == (0, 2)


def test_arguments_out_of_range_are_refused():
    sizes = np.array([[3, 4], [3, 4]])
    with pytest.raises(ValueError, match="`count` must be from 1 to 1, .* of the 2 boxes"):
        anchor_clusters(sizes, 2)
    with pytest.raises(ValueError, match="`restarts` and `iterations`"):
        anchor_clusters(sizes, 1, restarts=0)
    with pytest.raises(ValueError, match="`threshold`"):
        anchor_clusters(sizes, 1, threshold=0)
    with pytest.raises(ValueError, match=r"`sizes` must be \(N, 2\)"):
        anchor_clusters(np.zeros((0, 2)), 1)
    with pytest.raises(ValueError, match="`sizes` must be finite and above 0"):
        anchor_clusters(np.array([[3, 0]]), 1)
