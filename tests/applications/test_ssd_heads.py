import keras
import numpy as np
import pytest

from kmed.applications.ssd_heads import activated_convolution, coarser_level, detection_heads


def constant_heads(network):
    """Weights 0, and biases that say which channel they are."""
    for layer in network.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            layer.set_weights([np.zeros_like(kernel), np.arange(len(bias), dtype="float32")])
    return network


def test_rows_are_ordered_by_level_row_column_and_shape():
    levels = [keras.Input((2, 3, 1)), keras.Input((1, 1, 1))]
    network = constant_heads(keras.Model(levels, detection_heads(levels, 2, [(2,), ()])))
    rows = network([np.zeros((1, 2, 3, 1)), np.zeros((1, 1, 1, 1))])[0]
    # The n-th shape of each cell: offsets 4 n ... and background first, logits 3 n ...
    shapes = [*range(4)] * 6 + [0, 1]
    expected = [[*range(4 * n, 4 * n + 4), *range(3 * n, 3 * n + 3)] for n in shapes]
    np.testing.assert_array_equal(rows, expected)


def test_cells_are_ordered_by_row_and_column():
    level = keras.Input((2, 3, 1))
    network = keras.Model(level, detection_heads([level], 1, [()]))
    layer = network.get_layer("head0_boxes")
    kernel = np.zeros(layer.kernel.shape, "float32")
    kernel[1, 1] = 1
    layer.set_weights([kernel, np.zeros(8, "float32")])
    rows = network(np.arange(6, dtype="float32").reshape(1, 2, 3, 1))[0]
    np.testing.assert_array_equal(rows[:, 0], np.repeat(np.arange(6), 2))


@pytest.mark.parametrize(
    ("options", "size"),
    [({}, (4, 3)), ({"stride": 1, "padding": 0}, (5, 3)), ({"size": 4, "stride": 1}, (6, 4))],
)
def test_the_next_level_is_coarser(options, size):
    x = keras.Input((7, 5, 3))
    network = keras.Model(x, coarser_level(x, 8, 2, None, **options))
    assert network.output_shape == (None, *size, 8)
    convolutions = [n for n in network.layers if isinstance(n, keras.layers.Conv2D)]
    assert [(n.name, n.filters) for n in convolutions] == [("extra2_conv1", 4), ("extra2_conv2", 8)]


def test_names_are_of_the_layers():
    x = keras.Input((4, 4, 1))
    network = keras.Model(x, activated_convolution(x, 2, 3, "a_{}1", "batch"))
    assert [n.name for n in network.layers[1:]] == ["a_conv1", "a_norm1", "a_relu1"]
    assert not network.layers[1].use_bias


def test_refuses_ratios_of_other_levels():
    with pytest.raises(ValueError, match="of 1 levels, extra ones too; received 2"):
        detection_heads([keras.Input((2, 2, 1))], 2, [(), ()])
