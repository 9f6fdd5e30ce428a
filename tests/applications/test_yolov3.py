import importlib.util
import zlib

import numpy as np
import pytest

from kmed.applications.yolov3 import yolov3, yolov3_spp, yolov3_tiny
from kmed.codecs.yolov3 import YOLOv3Codec


def trainable(network):
    return sum(int(np.prod(v.shape)) for v in network.trainable_variables)


def convolutions(network):
    """(filters, channels, size, normalised) by number."""
    names = {layer.name for layer in network.layers}
    rows = {}
    for layer in network.layers:
        if layer.name.startswith("conv") and hasattr(layer, "kernel"):
            size, _, channels, filters = layer.kernel.shape
            number = int(layer.name.removeprefix("conv").removesuffix("_head"))
            rows[number] = (filters, channels, size, f"{layer.name}_norm" in names)
    return [rows[number] for number in range(len(rows))]


@pytest.fixture(scope="module")
def darknet(goldens):
    """The writer of Darknet's weight files."""
    spec = importlib.util.spec_from_file_location("writer", goldens / "darknet_weights.py")
    writer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(writer)
    return writer


@pytest.fixture(scope="module")
def paper():
    return yolov3(input_shape=(None, None, 3))


def test_the_paper_network_has_the_references_parameters_and_boxes(paper):
    assert trainable(paper) == 61_949_149
    assert paper.count_params() - trainable(paper) == 52_608
    assert len(convolutions(paper)) == 75
    assert paper.compute_output_shape((1, 416, 416, 3)) == (1, 10_647, 85)
    assert paper.compute_output_shape((1, 608, 608, 3)) == (1, 22_743, 85)
    assert paper.output.dtype == "float32"


def test_twenty_classes():
    assert trainable(yolov3(classes=20)) == 61_626_049


def test_convolutions_are_in_darknets_order(paper, darknet):
    assert convolutions(paper) == darknet.convolutions(80)


def test_a_darknet_file_gives_darknets_outputs(goldens, darknet, tmp_path):
    darknet.write(3, tmp_path / "yolov3.weights")
    network = yolov3(classes=3, weights=tmp_path / "yolov3.weights")
    rng = np.random.default_rng(zlib.crc32(b"yolov3"))
    image = rng.uniform(0, 1, (416, 416, 3)).astype("float32")
    found = network(image[None], training=False).numpy()
    with np.load(goldens / "darknet_yolov3.npz") as golden:
        raw = np.concatenate([golden[f"raw_{n}"].reshape(-1, 8) for n in (13, 26, 52)])
        center, scores = golden["boxes_center_xywh"], golden["class_scores"]
    assert np.abs(found[0] - raw).max() < 1e-4 * np.abs(raw).max()
    boxes, class_scores = YOLOv3Codec.of(network).decode(found)
    boxes = boxes.numpy()[0]
    sides = boxes[:, 2:] - boxes[:, :2]
    found_center = np.concatenate([boxes[:, :2] + sides / 2, sides], axis=1)
    np.testing.assert_allclose(found_center, center, rtol=1e-4, atol=2e-3)
    np.testing.assert_allclose(class_scores[0], scores, rtol=1e-3, atol=1e-5)


def test_spatial_pooling_adds_one_convolution_of_four_times_the_channels(darknet):
    network = yolov3_spp(input_shape=(64, 64, 3), classes=2, width=2)
    rows = convolutions(network)
    assert rows[55] == (32, 4 * 32, 1, True)
    plain = [(f // 16, c // 16 if c > 3 else c, n, b) for f, c, n, b in darknet.convolutions(2)]
    differing = {0, 58, 59, 66, 67, 74, 75}  # of three colours, or as wide as there are classes
    for number, row in enumerate(rows[:55] + rows[56:]):
        assert row == plain[number] or number in differing
    assert len(rows) == 76
    # Pools of 13, 9 and 5 cells, then what they were made of.
    layer = network.get_layer("spatial_pools")
    names = [tensor._keras_history.operation.name for tensor in layer.input]
    assert names == ["spatial_pool13", "spatial_pool9", "spatial_pool5", "conv54_relu"]


def test_the_tiny_network():
    network = yolov3_tiny()
    assert trainable(network) == 8_852_366
    assert network.count_params() == 8_858_734
    assert network.output_shape == (None, 2535, 85)
    rows = convolutions(network)
    assert len(rows) == 13
    assert rows[9] == (255, 512, 1, False) and rows[11] == (256, 384, 3, True)


def test_heads_are_in_order():
    network = yolov3(input_shape=(64, 64, 1), classes=2, width=1)
    heads = [name for name in (layer.name for layer in network.layers) if name.endswith("_head")]
    assert sorted(heads) == ["conv58_head", "conv66_head", "conv74_head"]
    # Biases of the heads show in their own rows: 2 x 2 cells, 4 x 4, 8 x 8, of three boxes each.
    for level, name in enumerate(sorted(heads)):
        layer = network.get_layer(name)
        bias = np.zeros((3, 7), "float32")
        bias[:, 4] = np.array([1, 2, 3]) + 10 * level
        layer.set_weights([0 * layer.kernel.numpy(), bias.ravel()])
    found = network(np.zeros((1, 64, 64, 1), "float32")).numpy()[0, :, 4]
    wanted = [np.tile([1, 2, 3], n * n) + 10 * level for level, n in enumerate((2, 4, 8))]
    np.testing.assert_allclose(found, np.concatenate(wanted))


def test_any_backbone_and_a_prior():
    network = yolov3(
        backbone="resnet18",
        backbone_options={"width": 4},
        width=2,
        classes=3,
        input_shape=(64, 96, 1),
        objectness_prior=0.01,
    )
    assert network.output_shape == (None, 378, 8)
    assert network.get_layer("conv0").kernel.shape[2] == 32
    _, scores = YOLOv3Codec.of(network).decode(network(np.zeros((1, 64, 96, 1), "float32")))
    np.testing.assert_allclose(scores, 0.01 / 2, rtol=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_shape": (100, 64, 3)}, "`input_shape` must be multiples of 32"),
        ({"classes": 0}, "`classes` must be at least 1"),
        ({"width": 0}, "`width` and `anchors_per_cell` must be at least 1"),
        ({"objectness_prior": 1}, "`objectness_prior` must lie in"),
        ({"backbone": "resnet19"}, "`backbone` must be one of"),
        ({"backbone": "alexnet"}, "`backbone` must have levels P3, P4 and P5"),
        ({"backbone_options": {"width": 4}}, "`backbone_options` are of a `backbone`"),
        ({"backbone": "resnet18", "backbone_options": {"classes": 4}}, "cannot set .'classes'."),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        yolov3(**options)
