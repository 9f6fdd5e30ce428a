import keras
import numpy as np

from kmed.layers.region_proposal_heads import region_proposal_heads


def test_one_head_runs_over_all_levels():
    maps = [keras.Input((4, 6, 8)), keras.Input((2, 3, 8))]
    model = keras.Model(maps, region_proposal_heads(maps, 3))
    assert [layer.name for layer in model.layers if layer.weights] == [
        "rpn_conv",
        "rpn_objectness",
        "rpn_offsets",
    ]
    random = np.random.default_rng(0)
    x = [random.normal(size=(2, *m.shape[1:])).astype("float32") for m in maps]
    objectness, offsets = model(x)
    assert objectness.shape == (2, 90) and offsets.shape == (2, 90, 4)
    # Anchor 1 of row 1, column 2 of the second level, by its own convolution.
    hidden = model.get_layer("rpn_conv")(x[1])
    score = model.get_layer("rpn_objectness")(hidden)[:, 1, 2, 1]
    moved = model.get_layer("rpn_offsets")(hidden)[:, 1, 2, 4:8]
    row = 72 + (1 * 3 + 2) * 3 + 1
    np.testing.assert_allclose(objectness[:, row], score, rtol=1e-5)
    np.testing.assert_allclose(offsets[:, row], moved, rtol=1e-5)


def test_outputs_are_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    maps = [keras.Input((4, 4, 8), dtype="float16")]
    objectness, offsets = region_proposal_heads(maps, 1)
    assert objectness.dtype == offsets.dtype == "float32"
    assert keras.Model(maps, objectness).get_layer("rpn_conv").compute_dtype == "float16"
