import keras
import numpy as np
import pytest

from kmed.layers.feature_pyramid import feature_pyramid


def pyramid(*sizes, channels=4):
    named = {f"P{i + 2}": size for i, size in enumerate(sizes)}
    inputs = {name: keras.Input((*size, 3), name=name) for name, size in named.items()}
    return keras.Model(inputs, feature_pyramid(inputs, channels))


def test_a_level_is_joined_with_the_enlarged_coarser_one():
    model = pyramid((4, 4), (2, 2))
    random = np.random.default_rng(0)
    x = {"P2": random.normal(size=(1, 4, 4, 3)), "P3": random.normal(size=(1, 2, 2, 3))}
    x = {name: value.astype("float32") for name, value in x.items()}
    layer = model.get_layer
    coarse = np.array(layer("fpn_p3_inner")(x["P3"]))
    fine = np.array(layer("fpn_p2_inner")(x["P2"]))
    joined = fine + coarse.repeat(2, axis=1).repeat(2, axis=2)
    result = model(x)
    np.testing.assert_allclose(result["P3"], layer("fpn_p3_output")(coarse), atol=1e-5)
    np.testing.assert_allclose(result["P2"], layer("fpn_p2_output")(joined), atol=1e-5)


def test_odd_sizes_are_cut():
    model = pyramid((15, 20), (8, 10), (4, 5))
    assert {name: tuple(x.shape[1:]) for name, x in model.output.items()} == {
        "P2": (15, 20, 4),
        "P3": (8, 10, 4),
        "P4": (4, 5, 4),
    }


def test_refuses_a_stride_that_does_not_double():
    with pytest.raises(ValueError, match=r"half the size.*received \(4, 4\) after \(16, 16\)"):
        pyramid((16, 16), (4, 4))
