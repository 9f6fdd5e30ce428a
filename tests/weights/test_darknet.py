import numpy as np
import pytest

from kmed.applications.yolov3 import yolov3_tiny
from kmed.weights.darknet import is_darknet, load_darknet, read_numbers

SMALL = {"input_shape": (32, 32, 3), "classes": 2, "width": 1}
# Filters, channels and size of the tiny network's convolutions at width 1, in Darknet's order.
ROWS = [(1, 3, 3), (2, 1, 3), (4, 2, 3), (8, 4, 3), (16, 8, 3), (32, 16, 3), (64, 32, 3)]
ROWS += [(16, 64, 1), (32, 16, 3), (21, 32, 1), (8, 16, 1), (16, 24, 3), (21, 16, 1)]
HEADS = (9, 12)


def write(path, rows=ROWS, heads=HEADS, version=(0, 2, 0), seen="int64"):
    """Write a file as Darknet does, and return its numbers by layer."""
    rng = np.random.default_rng(0)
    layers = []
    with open(path, "wb") as file:
        np.array(version, "int32").tofile(file)
        np.array([7], seen).tofile(file)
        for number, (filters, channels, size) in enumerate(rows):
            kinds = ["bias"] if number in heads else ["beta", "gamma", "mean", "variance"]
            values = {kind: rng.uniform(0.5, 1.5, filters).astype("float32") for kind in kinds}
            kernel = rng.standard_normal((filters, channels, size, size)).astype("float32")
            for array in (*values.values(), kernel):
                array.tofile(file)
            layers.append(values | {"kernel": kernel})
    return layers


def check(network, layers, numbers):
    for number in numbers:
        name, wanted = f"conv{number}", layers[number]
        if number in HEADS:
            name = f"{name}_head"
            np.testing.assert_array_equal(network.get_layer(name).bias, wanted["bias"])
        else:
            norm = network.get_layer(f"{name}_norm")
            for kind, variable in zip(
                ("beta", "gamma", "mean", "variance"),
                (norm.beta, norm.gamma, norm.moving_mean, norm.moving_variance),
                strict=True,
            ):
                np.testing.assert_array_equal(variable, wanted[kind])
        kernel = network.get_layer(name).kernel.numpy()
        np.testing.assert_array_equal(kernel.transpose(3, 2, 0, 1), wanted["kernel"])


@pytest.mark.parametrize(("version", "seen"), [((0, 2, 0), "int64"), ((0, 1, 0), "int32")])
def test_numbers_go_to_the_convolutions_in_order(tmp_path, version, seen):
    layers = write(tmp_path / "a.weights", version=version, seen=seen)
    network = yolov3_tiny(weights=tmp_path / "a.weights", **SMALL)
    check(network, layers, range(13))


def test_heads_of_other_classes_stay_with_a_warning(tmp_path):
    layers = write(tmp_path / "a.weights")
    with pytest.warns(UserWarning, match="conv(9|12)_head. stays as initialised") as warned:
        network = yolov3_tiny(weights=tmp_path / "a.weights", **SMALL | {"classes": 5})
    assert len(warned) == 2
    check(network, layers, sorted(set(range(13)) - set(HEADS)))
    assert not np.any(network.get_layer("conv9_head").bias.numpy())


def test_one_channel_takes_the_sum_over_colours(tmp_path):
    layers = write(tmp_path / "a.weights")
    with pytest.warns(UserWarning, match="adapted from RGB to 1 channels"):
        network = yolov3_tiny(
            weights=tmp_path / "a.weights", **SMALL | {"input_shape": (32, 32, 1)}
        )
    check(network, layers, range(1, 13))
    kernel = network.get_layer("conv0").kernel.numpy()[..., 0, 0]
    np.testing.assert_allclose(kernel, layers[0]["kernel"][0].sum(0), rtol=1e-5)


def test_the_beginning_of_a_file(tmp_path):
    layers = write(tmp_path / "tiny.conv.7", ROWS[:7])
    network = yolov3_tiny(**SMALL)
    before = network.get_layer("conv7").kernel.numpy()
    with pytest.warns(UserWarning, match="stays as initialised"):
        fit = load_darknet(network, tmp_path / "tiny.conv.7")
    check(network, layers, range(7))
    assert len(fit.loaded) == 7 * 5
    np.testing.assert_array_equal(network.get_layer("conv7").kernel, before)


def test_another_networks_file_changes_nothing(tmp_path):
    write(tmp_path / "a.weights", ROWS[:7])
    network = yolov3_tiny(**SMALL)
    before = network.get_layer("conv0").kernel.numpy()
    with pytest.raises(ValueError, match=r"does not fit .* it holds [\d,]+ numbers, the network"):
        load_darknet(network, tmp_path / "a.weights")
    np.testing.assert_array_equal(network.get_layer("conv0").kernel, before)


def test_another_normalisation_is_refused(tmp_path):
    write(tmp_path / "a.weights")
    with pytest.raises(ValueError, match="left over there: conv0_norm/moving_mean"):
        yolov3_tiny(weights=tmp_path / "a.weights", normalization="instance", **SMALL)
    with pytest.raises(ValueError, match="does not fit"):
        yolov3_tiny(weights=tmp_path / "a.weights", normalization=None, **SMALL)


def test_unreadable_files(tmp_path):
    path = tmp_path / "a.weights"
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        load_darknet(yolov3_tiny(**SMALL), path)
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="too short"):
        read_numbers(path)
    path.write_bytes(b"<!DOCTYPE html> not found")
    with pytest.raises(ValueError, match="is no file of Darknet's weights: its version is"):
        read_numbers(path)
    write(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match="is cut off"):
        read_numbers(path)


def test_names_of_darknets_files():
    assert is_darknet("x/yolov3.weights") and is_darknet("darknet53.conv.74")
    assert not is_darknet("a.weights.h5") and not is_darknet("imagenet")
