import math

import numpy as np
import pytest

from kmed.ops.box_offsets import decode_offsets, encode_offsets


def test_offsets_by_hand():
    # Anchor of centre (10, 10) and sides (8, 4); box of centre (12, 11) and sides (4, 8).
    anchor, box = np.float32([6, 8, 14, 12]), np.float32([10, 7, 14, 15])
    expected = [2 / 8 / 0.1, 1 / 4 / 0.1, math.log(4 / 8) / 0.2, math.log(8 / 4) / 0.2]
    assert np.asarray(encode_offsets(box, anchor)) == pytest.approx(expected, rel=1e-5)
    weights = [0.25 * 10, 0.25 * 10, math.log(0.5) * 5, math.log(2) * 5]
    assert np.asarray(encode_offsets(box, anchor)) == pytest.approx(weights, rel=1e-5)


def test_decoding_undoes_encoding():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 100, (2, 50, 2)).astype("float32")
    sides = random.uniform(1, 80, (2, 50, 2)).astype("float32")
    boxes, anchors = np.concatenate([corners, corners + sides], axis=-1)
    for variances in ((0.1, 0.1, 0.2, 0.2), (1, 1, 1, 1)):
        offsets = encode_offsets(boxes, anchors, variances)
        assert np.allclose(decode_offsets(offsets, anchors, variances), boxes, atol=1e-3)


def test_growth_is_limited_where_asked():
    anchor, wild = np.float32([0, 0, 16, 16]), np.float32([0, 0, 100, 100])
    box = np.asarray(decode_offsets(wild, anchor, (1, 1, 1, 1), math.log(1000 / 16)))
    assert box == pytest.approx([8 - 500, 8 - 500, 8 + 500, 8 + 500], rel=1e-5)
