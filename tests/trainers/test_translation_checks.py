import keras
import numpy as np
import pytest

from kmed.trainers.translation_checks import (
    check_cycle,
    check_pair,
    check_weights,
    checked_images,
    checked_modalities,
    named_networks,
)


def network(given, made=1):
    image = keras.Input((4, 4, given))
    return keras.Model(image, keras.layers.Conv2D(made, 1)(image))


def test_modalities_are_two_names():
    assert checked_modalities(["ct", "t2"]) == ("ct", "t2")
    for wrong in ("ct", ("ct",), ("ct", "ct"), ("ct", "t1", "t2")):
        with pytest.raises(ValueError, match="`modalities` must be two different names; received"):
            checked_modalities(wrong)


def test_networks_come_in_order_or_by_name():
    a, b = network(1), network(1)
    assert named_networks((a, b), ("x", "y"), "n") == {"x": a, "y": b}
    assert list(named_networks({"y": b, "x": a}, ("x", "y"), "n")) == ["x", "y"]
    with pytest.raises(ValueError, match="`n` must be two networks, 'x' and 'y'; received 1"):
        named_networks(a, ("x", "y"), "n")
    with pytest.raises(
        ValueError, match=r"must be of \['x', 'y'\]; received those of \['x', 'z'\]"
    ):
        named_networks({"x": a, "z": b}, ("x", "y"), "n")
    with pytest.raises(ValueError, match="the same one twice"):
        named_networks((a, a), ("x", "y"), "n")


def test_networks_have_each_others_channels():
    ways = {"a_to_b": ("a", "b"), "b_to_a": ("b", "a")}
    judges = {"a": network(1), "b": network(2)}
    check_cycle({"a_to_b": network(1, 2), "b_to_a": network(2, 1)}, judges, ways, identity=False)
    with pytest.raises(ValueError, match="'b_to_a' must go from 2 to 1 .* from 1 to 2"):
        check_cycle({"a_to_b": network(1, 2), "b_to_a": network(1, 2)}, judges, ways, True)
    with pytest.raises(ValueError, match="`identity_weight` needs .*'a': 1, 'b': 2}. Set it to 0"):
        check_cycle({"a_to_b": network(1, 2), "b_to_a": network(2, 1)}, judges, ways, True)
    check_pair(network(1, 2), network(3))
    check_pair(network(1, 2), None)
    with pytest.raises(ValueError, match=r"must take 1 \+ 2 channels"):
        check_pair(network(1, 2), network(1))


def test_weights_are_not_negative():
    check_weights({"l1_weight": 0.0})
    for wrong in (-0.5, float("nan")):
        with pytest.raises(ValueError, match="`l1_weight` must be at least 0; received"):
            check_weights({"l1_weight": wrong})


def test_a_batch_has_two_sides_of_float_images():
    image, shapes = np.zeros((2, 4, 4, 1)), {"source": (None, None, 1), "target": (4, 4, 1)}
    first, second = checked_images(image, image.astype("float16"), shapes)
    assert first.dtype == second.dtype == "float32"
    # Three channels would be compared with one without a word.
    colour = np.zeros((2, 4, 4, 3))
    for wrong in (None, image[:1], image.astype("uint8"), colour, image[:, :2]):
        with pytest.raises(
            ValueError, match=r"\(source \(B, None, None, 1\), target \(B, 4, 4, 1\)\), as many"
        ):
            checked_images(image, wrong, shapes)
