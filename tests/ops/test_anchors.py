import numpy as np
import pytest

from kmed.ops.anchors import anchor_grid, base_anchors


def test_base_anchors_are_torchvisions_rounded_ones():
    # 32 / sqrt(0.5) = 45.25 wide, 32 * sqrt(0.5) = 22.63 high; halves rounded: 23 and 11.
    expected = [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    np.testing.assert_array_equal(base_anchors((32,), (0.5, 1.0, 2.0)), expected)


def test_the_sizes_of_one_ratio_stand_together():
    anchors = base_anchors((16, 32), (0.25, 1.0))
    widths, heights = anchors[:, 2] - anchors[:, 0], anchors[:, 3] - anchors[:, 1]
    assert widths.tolist() == [32, 64, 16, 32]
    assert heights.tolist() == [8, 16, 16, 32]


def test_a_grid_goes_by_row_column_anchor():
    levels = anchor_grid((32, 64), [(4, 8), (2, 4)], [(4,), (8,)], (1.0,))
    assert [level.shape for level in levels] == [(32, 4), (8, 4)]
    centers = [(level[:, :2] + level[:, 2:]) / 2 for level in levels]
    assert centers[0][[0, 1, 8, 31]].tolist() == [[0, 0], [8, 0], [0, 8], [56, 24]]
    assert centers[1][[1, 4]].tolist() == [[16, 0], [0, 16]]


def test_the_stride_is_a_whole_number_as_torchvisions():
    # 224 / 7 = 32, and the level after it has 4 cells: 224 // 4 = 56.
    (level,) = anchor_grid((224, 224), [(4, 4)], [(512,)], (1.0,))
    assert (level[1] - level[0]).tolist() == [56, 0, 56, 0]


def test_fpn_at_256_has_as_many_as_torchvision():
    sizes = [(64, 64), (32, 32), (16, 16), (8, 8), (4, 4)]
    levels = anchor_grid((256, 256), sizes, [(32,), (64,), (128,), (256,), (512,)])
    assert sum(map(len, levels)) == 16_368


@pytest.mark.parametrize(
    ("sizes", "ratios", "message"),
    [
        ([(4,)], (1.0,), "for each of the 2 levels; received 1"),
        ([(4,), (0,)], (1.0,), "positive numbers"),
        ([(4,), ()], (1.0,), "positive numbers"),
        ([(4,), (8,)], (), "positive numbers"),
    ],
)
def test_refuses_what_makes_no_anchors(sizes, ratios, message):
    with pytest.raises(ValueError, match=message):
        anchor_grid((8, 8), [(4, 4), (2, 2)], sizes, ratios)
