import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.applications import ssd
from kmed.codecs import SSDCodec
from kmed.export import Bundle, DetectionDecoder, check_agreement
from kmed.ops.letterbox import boxes_to_frame, placement

SMALL = {
    "input_shape": (64, 64, 1),
    "classes": 2,
    "backbone_options": {"width": 4},
    "extra_filters": (8,),
    "head_filters": 8,
}


def made(fit="resize", **options):
    network = ssd(**SMALL)
    codec = SSDCodec.of(network)
    decoder = DetectionDecoder(codec, (64, 64), letterbox=fit == "letterbox", options=options)
    return Bundle(
        "found", preprocessors.xray(), network, labels=("a", "b"), decoder=decoder, fit=fit
    )


@pytest.mark.parametrize("letterbox", [False, True])
def test_boxes_come_back_to_the_raw_image(letterbox):
    # What the codec made of boxes is decoded to the boxes, in pixels of the raw image.
    raw = np.zeros((1, 120, 200, 1), "float32")
    true = np.float32([[20, 30, 90, 100], [120, 10, 180, 60]])
    place = placement(120, 200, (64, 64), letterbox=letterbox)
    codec = SSDCodec.of(ssd(**SMALL))
    objects = {"boxes": np.asarray(boxes_to_frame(true, place))[None], "labels": [[1, 0]]}
    offsets, classes = (np.asarray(x) for x in codec.encode(objects))
    logits = 50 * np.eye(3, dtype="float32")[classes]
    outputs = np.concatenate([offsets, logits], axis=-1)
    decoder = DetectionDecoder(codec, (64, 64), letterbox=letterbox)
    found = {name: np.asarray(x)[0] for name, x in decoder([outputs, raw]).items()}
    assert found["count"] == 2
    order = np.argsort(found["boxes"][:2, 0])
    assert found["boxes"][:2][order] == pytest.approx(true, abs=1e-2)
    assert found["labels"][:2][order].tolist() == [1, 0]
    assert np.all(found["labels"][2:] == -1) and not found["boxes"][2:].any()


def test_boxes_end_at_the_edges_of_the_image():
    codec = SSDCodec.of(ssd(**SMALL))
    outputs = np.zeros((1, len(codec.default_boxes), 7), "float32")
    outputs[..., 2:4] = 20.0  # boxes of gigantic sides
    outputs[..., 5] = 9.0
    found = DetectionDecoder(codec, (64, 64))([outputs, np.zeros((1, 30, 50, 1), "float32")])
    boxes = np.asarray(found["boxes"])[0]
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 50 and boxes[:, 3].max() <= 30


@pytest.mark.parametrize("fit", ["resize", "letterbox"])
def test_a_bundle_is_the_same_after_saving_and_in_every_format(fit, tmp_path):
    bundle = made(fit, score_threshold=0.3, iou_threshold=0.6, max_detections=20)
    path = bundle.save(tmp_path)
    image = np.random.default_rng(0).uniform(0, 4000, (50, 90, 1)).astype("float32")
    again = Bundle.load(path)
    assert again.decoder.postprocessing["max_detections"] == 20
    first, second = bundle.detect(image), again.detect(image)
    for name in ("boxes", "scores", "labels"):
        assert np.array_equal(first[name], second[name])
    found = check_agreement(path, [image, image[:40]])
    assert set(found) == {"saved_model", "tflite"}
    assert all(row["differing"] == 0 for row in found.values())
    assert max(row["max_box_difference"] for row in found.values()) <= 1e-3


def test_batches_of_any_size_give_what_single_images_give():
    bundle = made(score_threshold=0.2)
    images = np.random.default_rng(1).uniform(0, 4000, (3, 40, 40, 1)).astype("float32")
    together = {name: np.asarray(x) for name, x in bundle.model(images, training=False).items()}
    for i, image in enumerate(images):
        alone = bundle.detect(image)
        assert together["count"][i] == len(alone["scores"])
        assert np.allclose(together["boxes"][i, : len(alone["boxes"])], alone["boxes"], atol=1e-3)


def test_what_does_not_fit_together_is_named():
    network, codec = ssd(**SMALL), SSDCodec.of(ssd(**SMALL))
    with pytest.raises(ValueError, match=r"`options` may have .*received \['nms'\]"):
        DetectionDecoder(codec, (64, 64), options={"nms": 1})
    with pytest.raises(ValueError, match="undoes what the bundle's `fit` and `size` do"):
        decoder = DetectionDecoder(codec, (64, 64))
        Bundle("x", preprocessors.xray(), network, labels="ab", decoder=decoder, fit="letterbox")
    with pytest.raises(ValueError, match="must name the 2 classes of the network's outputs"):
        decoder = DetectionDecoder(codec, (64, 64))
        Bundle("x", preprocessors.xray(), network, labels="abc", decoder=decoder)
    with pytest.raises(ValueError, match="takes `fit` resize or letterbox; received 'pad'"):
        Bundle("x", preprocessors.xray(), network, labels="ab", decoder=decoder, fit="pad")


def test_the_layer_is_rebuilt_from_its_configuration():
    decoder = made("letterbox", soft_sigma=0.5).decoder
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    assert again.postprocessing == decoder.postprocessing and again.letterbox
    assert np.array_equal(again.codec.default_boxes, decoder.codec.default_boxes)
