import inspect

import keras
import numpy as np
import pytest
import safetensors.numpy

from kmed.applications.faster_rcnn import TORCHVISION, faster_rcnn, faster_rcnn_vgg16
from kmed.applications.vgg import torchvision_names, vgg16
from kmed.codecs.faster_rcnn import FasterRCNNCodec
from kmed.export import export_tflite, operators, run_tflite
from kmed.ops.suppression import select_detections
from kmed.weights import load_torchvision

RESNET = {"backbone": "resnet18", "backbone_options": {"width": 4}}
VGG = {"backbone_options": {"filters": (4, 4, 6, 8, 8)}}
SHALLOW = {"backbone": "vgg11"} | VGG  # of eight convolutions


def small(build=faster_rcnn, shape=(64, 96, 3), **options):
    own = VGG if build is faster_rcnn_vgg16 else RESNET | {"pyramid_channels": 8}
    defaults = {"head_units": 16, "classes": 2, "proposals_before": 40, "proposals": 20}
    return build(input_shape=shape, **defaults | own | options)


def image(shape=(64, 96, 3), batch=2):
    return np.random.default_rng(0).normal(size=(batch, *shape)).astype("float32")


def trainable(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


@pytest.fixture
def zeros(monkeypatch):
    # Random numbers for a network of full size take seconds.
    def call(self, shape, dtype=None, **_):
        return keras.ops.zeros(shape, dtype)

    for initializer in ("VarianceScaling", "RandomNormal"):
        monkeypatch.setattr(getattr(keras.initializers, initializer), "__call__", call)


def test_has_the_references_parameters(zeros):
    network = faster_rcnn(input_shape=(64, 64, 3), frozen_norm=True)
    assert trainable(network) == 41_755_286
    # Without pretrained weights torchvision trains the normalisation too.
    norm = [n for n in network.layers if isinstance(n, keras.layers.BatchNormalization)]
    assert sum(2 * layer.gamma.shape[0] for layer in norm) == 53_120
    assert network.output["class_logits"].shape == (None, 1000, 91)
    assert network.output["box_offsets"].shape == (None, 1000, 364)


def test_takes_a_thousand_proposals_of_each_level():
    parameters = inspect.signature(faster_rcnn).parameters
    assert parameters["proposals_before"].default == parameters["proposals"].default == 1000


def test_gives_what_torchvision_gives(goldens, golden_weights, golden_image, zeros):
    network = faster_rcnn(
        input_shape=(256, 256, 3), classes=20, proposals_before=300, proposals=100
    )
    assert trainable(network) == 41_449_656
    weights = golden_weights(network, TORCHVISION, factor=0.1)
    assert len(load_torchvision(network, weights, TORCHVISION).loaded) == len(network.weights)
    x = golden_image("faster_rcnn", 256, 256)
    x = (x - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    names = ("fpn_p2_output", "fpn_p5_output", "fpn_pool", "roi_align")
    inner = {name: network.get_layer(name).output for name in names}
    found = keras.Model(network.input, inner | network.output)(x[None])
    found = {name: np.array(value)[0] for name, value in found.items()}
    codec = FasterRCNNCodec.of(network)
    outputs = {name: value[None] for name, value in found.items()}
    detections = select_detections(
        *codec.decode(outputs), **codec.postprocessing | {"score_threshold": 0.0}
    )
    p5 = slice(16_128, 16_128 + 8 * 8 * 3)  # behind 64, 32 and 16 squared times 3 anchors
    ours = {
        "p2_mean": found["fpn_p2_output"].mean(axis=(0, 1)),
        "p5": found["fpn_p5_output"],
        "pool": found["fpn_pool"],
        "rpn_objectness_p5": found["rpn_objectness"][p5].reshape(8, 8, 3),
        "rpn_deltas_p5": found["rpn_offsets"][p5].reshape(8, 8, 12),
        "anchors_xyxy": codec.anchors,
        "proposals_xyxy": found["proposals"],
        "roi_pooled_first": found["roi_align"][:4],
        "class_logits": found["class_logits"],
        "box_regression": found["box_offsets"],
        **{name: np.array(detections[name])[0] for name in ("boxes", "scores")},
        "labels": np.array(detections["labels"])[0] + 1,
    }
    with np.load(goldens / "fasterrcnn_resnet50_fpn.npz") as golden:
        assert set(golden) == set(ours)
        for name, expected in golden.items():
            difference = np.abs(ours[name] - expected).max()
            assert difference <= 1e-4 * np.abs(expected).max(), name


def test_old_names_of_torchvision_are_known(tmp_path, golden_weights):
    # As in fasterrcnn_resnet50_fpn_coco-258fb6c6.pth, but of a narrow network of two classes.
    first = small()
    weights = golden_weights(first, TORCHVISION, factor=0.1)
    old = {
        name.replace(".0.weight", ".weight").replace(".0.bias", ".bias").replace("conv.0.", "conv.")
        if ("fpn" in name or "rpn.head.conv" in name)
        else name: array
        for name, array in weights.items()
    }
    assert "rpn.head.conv.weight" in old and "backbone.fpn.inner_blocks.3.weight" in old
    for i, arrays in enumerate((weights, old)):
        path = tmp_path / f"{i}.safetensors"
        safetensors.numpy.save_file(arrays, path)
        network = small(weights=path)
        np.testing.assert_array_equal(
            network.get_layer("rpn_conv").bias, weights["rpn.head.conv.0.0.bias"]
        )
        # What comes from elsewhere: normalisation fixed, stem and first stage fixed.
        assert not network.get_layer("stage4_block0_norm1").trainable
        assert not network.get_layer("stage1_block1_conv1").trainable
        assert network.get_layer("stage2_block0_conv1").trainable
    with pytest.warns(UserWarning) as caught:
        small(weights=path, classes=5)
    left = [str(warning.message).split()[0] for warning in caught]
    assert sorted(left) == ['"box_offsets"', '"class_logits"']


def test_what_is_fixed_is_told_by_arguments():
    def fixed(**options):
        layers = small(**options).layers
        return {layer.name for layer in layers if layer.weights and not layer.trainable}

    assert fixed() == set()
    assert all("norm" in name for name in fixed(frozen_norm=True))
    assert {name.split("_")[0] for name in fixed(frozen_levels=2)} == {"stem", "stage1"}
    blocks = {name.split("_")[0] for name in fixed(build=faster_rcnn_vgg16, frozen_levels=2)}
    assert blocks == {"block1", "block2"}  # as in the paper


def test_sizes_are_padded_at_the_right_and_below():
    network = small(shape=(50, 90, 3), **SHALLOW)
    assert network.get_layer("pad").padding == ((0, 14), (0, 6))
    codec = FasterRCNNCodec.of(network)
    assert codec.image_size == (50, 90) and codec.padded_size == (64, 96)
    assert codec.feature_sizes == ((16, 24), (8, 12), (4, 6), (2, 3), (1, 2))
    assert len(codec.anchors) == network.output["rpn_objectness"].shape[1] == 3 * 512
    outputs = network(image((50, 90, 3)))
    boxes = np.array(outputs["proposals"])
    assert boxes[..., 2].max() <= 90 and boxes[..., 3].max() <= 50
    assert np.array(outputs["count"]).min() > 0


def test_vgg16_is_the_papers():
    network = small(build=faster_rcnn_vgg16, shape=(64, 64, 3), head_units=None)
    assert network.name == "faster_rcnn_vgg16"
    assert network.get_layer("roi_align").strides == (16,)
    # conv5_3, at a sixteenth of the image, with nine anchors a pixel.
    assert network.get_layer("rpn_conv").input.shape == (None, 4, 4, 8)
    before = network.get_layer("rpn_conv").input._keras_history.operation
    assert before.name == "block5_relu3"
    assert "block5_pool" not in [layer.name for layer in network.layers]
    codec = FasterRCNNCodec.of(network)
    assert codec.anchor_sizes == ((128, 256, 512),) and len(codec.anchors) == 4 * 4 * 9
    assert network.get_layer("fc7").units == 4096
    assert network.get_layer("fc7_dropout").rate == 0.5


def test_dense_layers_of_a_vgg_become_the_head(tmp_path, golden_weights):
    classifier = vgg16(filters=VGG["backbone_options"]["filters"], dense_units=(16, 16), classes=5)
    weights = golden_weights(classifier, torchvision_names(16))
    safetensors.numpy.save_file(weights, tmp_path / "vgg16.safetensors")
    with pytest.warns(UserWarning) as caught:
        network = small(build=faster_rcnn_vgg16, weights=tmp_path / "vgg16.safetensors")
    left = [str(warning.message).split()[0] for warning in caught]
    heads = ("box_offsets", "class_logits", "rpn_conv", "rpn_objectness", "rpn_offsets")
    assert sorted(left) == [f'"{name}"' for name in heads]
    load_torchvision(classifier, weights, torchvision_names(16))
    for name, there in (("block5_conv3",) * 2, ("fc6", "fc1"), ("fc7", "fc2")):
        ours, theirs = network.get_layer(name).kernel, classifier.get_layer(there).kernel
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("build", [faster_rcnn, faster_rcnn_vgg16])
def test_tflite_has_it_built_in(build, tmp_path):
    network = small(build, **SHALLOW if build is faster_rcnn else {})
    path = export_tflite(network, tmp_path / "m.tflite")
    assert not [n for n in operators(path) if n.startswith(("Flex", "custom:"))]
    x = image()[0]
    expected, result = network(x[None]), run_tflite(path, x)
    assert set(result) == set(expected) and result["count"] == expected["count"][0]
    for name, value in expected.items():
        np.testing.assert_allclose(result[name], value[0], atol=2e-3, err_msg=name)


def test_saving(tmp_path):
    network, x = small(**SHALLOW), image()
    network.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    expected, found = network(x), again(x)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    network.save_weights(tmp_path / "a.weights.h5")
    again = small(weights=tmp_path / "a.weights.h5", **SHALLOW)
    np.testing.assert_array_equal(again(x)["class_logits"], expected["class_logits"])
    assert trainable(again) == trainable(network)  # nothing from elsewhere: nothing is fixed


def test_outputs_stay_float32_in_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    outputs = small(**SHALLOW)(image())
    assert outputs.pop("count").dtype == "int32"
    assert {x.dtype.name for x in outputs.values()} == {"float32"}
    assert all(np.isfinite(x).all() for x in outputs.values())


def test_other_levels_of_other_backbones():
    network = small(levels=("P3", "P4"), **SHALLOW)
    assert network.get_layer("roi_align").strides == (8, 16)
    assert FasterRCNNCodec.of(network).anchor_sizes == ((64,), (128,), (256,))
    options = {"backbone_options": {"width": 4, "stem": "small"}}
    sizes = [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)]
    levels = ("P0", "P1", "P2", "P3")
    network = small(shape=(32, 32, 1), levels=levels, anchor_sizes=sizes, **options)
    assert len(FasterRCNNCodec.of(network).anchors) == 6 * (32**2 + 16**2 + 8**2 + 4**2 + 2**2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (None, 64, 3)}, "must be known, since anchors follow"),
        ({"shape": (16, 64, 3)}, "at least 32"),
        ({"backbone": "alexnet"}, "one of vgg11.*received 'alexnet'"),
        ({"levels": ("P2", "P4")}, "consecutive"),
        ({"levels": ()}, 'such as "P2"'),
        ({"levels": ("P6",)}, r"not \['P6'\]"),
        ({"levels": ("P2", "P3"), "pyramid_channels": None}, "must be one of `levels`"),
        ({"backbone_options": {"width": 4, "output_stride": 16}}, "P5 .* must have stride 32"),
        ({"anchor_sizes": (16, 32)}, "for each of 5 levels"),
        ({"anchor_sizes": (8, 16, 32, 64, (128, 256))}, "equally many"),
        ({"head_units": -1}, "`head_units` must be at least 1; received -1"),
        ({"proposals": 0}, "at least 1; received 40 and 0"),
        ({"frozen_levels": 7}, "received 7"),
        ({"dropout": 1.0}, "received 1.0"),
        ({"classes": 0}, "at least 1; received 0"),
        ({"weights": "a.txt"}, "received 'a.txt'"),
    ],
)
def test_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        small(**options)
