import keras
import numpy as np
import pytest

from kmed.export import export_tflite, operators, run_tflite
from kmed.layers.proposals import Proposals
from kmed.ops.anchors import anchor_grid

SIZES = ((8, 8), (4, 4))


def layer(**options):
    # 64 anchors of 8 pixels at every 8, 16 of 16 pixels at every 16.
    options = {"image_size": (60, 64)} | options
    return Proposals(
        padded_size=(64, 64),
        feature_sizes=SIZES,
        anchor_sizes=((8,), (16,)),
        anchor_ratios=(1.0,),
        **options,
    )


def call(scores, offsets=None, **options):
    """Boxes of one image as a list, from {anchor: logit}; all others have -9."""
    logits = np.full((1, 80), -9.0, "float32")
    logits[0, list(scores)] = list(scores.values())
    moved = np.zeros((1, 80, 4), "float32")
    for anchor, offset in (offsets or {}).items():
        moved[0, anchor] = offset
    found = layer(**options)(logits, moved)
    assert found["count"].dtype == "int32"
    return np.array(found["boxes"][0]), int(found["count"][0])


def test_boxes_come_by_score_moved_and_cut_off():
    # Anchor 9 stands at (8, 8); a shift of half its side, twice as wide.
    offsets = {9: (0.5, 0.0, np.log(2.0), 0.0), 0: (0, 0, 0, 0)}
    boxes, _ = call({9: 3.0, 0: 2.0, 60: 1.0}, offsets)
    np.testing.assert_allclose(boxes[0], [4, 4, 20, 12], rtol=1e-6)
    np.testing.assert_allclose(boxes[1], [0, 0, 4, 4])  # of (-4, -4, 4, 4)
    np.testing.assert_allclose(boxes[2], [28, 52, 36, 60])  # the image ends at 60


def test_doubles_are_left_out_within_a_level_only():
    # Anchors 9 and 10 made the same box; anchor 69 of the other level made the same as well.
    offsets = {10: (-1.0, 0, 0, 0), 69: (-0.5, -0.5, np.log(0.5), np.log(0.5))}
    boxes, _ = call({9: 3.0, 10: 2.0, 69: 1.0}, offsets)
    np.testing.assert_allclose(boxes[:2], [[4, 4, 12, 12]] * 2, rtol=1e-5)
    assert (np.abs(boxes[2:] - boxes[0]).max(axis=1) > 1).all()


def test_overlap_up_to_the_threshold_stays():
    # 8 x 8 with 8 x 5.68 and 8 x 5.52: IoU 0.71 and 0.69.
    offsets = {10: (-1.0, 0.0, 0.0, np.log(0.71)), 11: (-2.0, 0.0, 0.0, np.log(0.69))}
    boxes, _ = call({9: 3.0, 10: 2.0, 11: 1.0}, offsets)
    heights = boxes[:2, 3] - boxes[:2, 1]
    np.testing.assert_allclose(heights, [8, 5.52], rtol=1e-4)


def test_so_many_enter_from_each_level_and_leave_in_all():
    # 2 of 64 and 2 of 16 enter; 3 leave.
    boxes, count = call({9: 4.0, 20: 3.0, 30: 2.0, 70: -1.0, 75: -2.0}, before=2, after=3)
    assert count == 3 and boxes.shape == (3, 4)
    assert (boxes[:, 2] - boxes[:, 0]).tolist() == [8, 8, 16]
    assert layer(before=2).count == 4 and layer().count == 80 and layer(before=20).count == 36


def test_boxes_without_sides_are_left_out_and_padded_with_zeros():
    # Everything is moved far out to the left and cut off to nothing but two.
    offsets = {anchor: (-99.0, 0, 0, 0) for anchor in range(80) if anchor not in (9, 70)}
    boxes, count = call({9: 1.0, 70: 0.0, 3: 5.0}, offsets)
    assert count == 2
    assert (boxes[:2, 2] > boxes[:2, 0]).all() and not boxes[2:].any()


def test_a_wild_scale_is_limited():
    boxes, _ = call({9: 1.0}, {9: (0, 0, 50.0, 50.0)})
    assert boxes[0].tolist() == [0, 0, 64, 60]


def test_images_of_a_batch_do_not_mix():
    random = np.random.default_rng(0)
    logits = random.normal(size=(3, 80)).astype("float32")
    offsets = random.normal(size=(3, 80, 4)).astype("float32") * 0.3
    together = layer(before=10, after=12)(logits, offsets)
    for i in range(3):
        alone = layer(before=10, after=12)(logits[i : i + 1], offsets[i : i + 1])
        np.testing.assert_array_equal(together["boxes"][i], alone["boxes"][0])


def test_knows_its_shapes_and_arguments():
    a = layer(before=10, after=5, name="a")
    found = a(keras.Input((80,)), keras.Input((80, 4)))
    assert found["boxes"].shape == (None, 5, 4) and found["count"].shape == (None,)
    again = Proposals.from_config(a.get_config())
    assert again.get_config() == a.get_config() and not again.supports_jit
    expected = anchor_grid((64, 64), SIZES, ((8,), (16,)), (1.0,))
    for ours, anchors in zip(again.anchors, expected, strict=True):
        np.testing.assert_array_equal(ours, anchors)


def test_tflite_has_it_built_in(tmp_path):
    image = keras.Input((8, 8, 5))
    flat = keras.layers.Reshape((-1, 5))(image)
    flat = keras.layers.Concatenate(axis=1)([flat, flat[:, :16]])
    model = keras.Model(image, layer(before=20, after=9)(flat[..., 0], flat[..., 1:]))
    path = export_tflite(model, tmp_path / "m.tflite")
    assert not [n for n in operators(path) if n.startswith(("Flex", "custom:"))]
    x = np.random.default_rng(0).normal(size=(8, 8, 5)).astype("float32")
    expected, result = model(x[None]), run_tflite(path, x)
    np.testing.assert_allclose(result["boxes"], expected["boxes"][0], atol=1e-4)
    assert result["count"] == expected["count"][0]


def test_refuses_no_proposals():
    with pytest.raises(ValueError, match="at least 1; received 0 and 1000"):
        layer(before=0)
