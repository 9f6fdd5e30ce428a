"""Bundles against the same road walked by hand with numpy and TensorFlow."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed import preprocessors
from kmed.applications.unet import unet
from kmed.export import Bundle

from .conftest import trained


def by_hand(network, image, fit):
    """The bundle's probabilities of one CT image (H, W, 1), window 40/400."""
    x = np.clip((image - 40) / 200, -1, 1)[None].astype("float32")
    height, width = image.shape[:2]
    if fit == "resize":
        x = tf.image.resize(x, network.input_shape[1:3], antialias=True)
        logits = tf.image.resize(network(x), (height, width)).numpy()
    else:
        if fit == "pad":
            more = [-n % 4 for n in (height, width)]
        else:  # three levels: sizes 4 b + 44 of valid convolutions give 4 b + 4
            more = [40 + -n % 4 for n in (height, width)]
        before = [m // 2 for m in more]
        after = [m - b for m, b in zip(more, before, strict=True)]
        pairs = [(0, 0), *zip(before, after, strict=True), (0, 0)]
        logits = network(np.pad(x, pairs, mode="edge" if fit == "pad" else "reflect")).numpy()
        top, left = ((n - s) // 2 for n, s in zip(logits.shape[1:3], image.shape[:2], strict=True))
        logits = logits[:, top : top + height, left : left + width]
    return tf.nn.softmax(logits)[0].numpy()


@pytest.mark.parametrize("fit", ["resize", "pad", "tile"])
@pytest.mark.parametrize("shape", [(45, 71, 1), (32, 48, 1), (7, 3, 1)])
def test_probabilities_are_those_made_by_hand(fit, shape):
    size = (32, 48, 1) if fit == "resize" else (None, None, 1)
    padding = "valid" if fit == "tile" else "same"
    network = trained(unet(input_shape=size, filters=(3, 4, 5), padding=padding))
    bundle = Bundle("b", preprocessors.ct(), network, fit=fit)
    assert bundle.levels == 3
    image = np.random.default_rng(0).integers(-400, 400, shape).astype("int16")
    labels, probabilities = bundle.predict(image)
    assert labels.dtype == "uint8" and labels.shape == shape[:2]
    expected = by_hand(network, image, fit)
    np.testing.assert_allclose(probabilities, expected, atol=2e-5)
    np.testing.assert_array_equal(labels, probabilities.argmax(-1))


def test_a_shift_of_the_image_shifts_the_mask():
    # Padding and cropping that did not match would move the mask against the image.
    image = keras.Input((16, 16, 1))
    copy = keras.layers.Conv2D(1, 1, kernel_initializer="ones", name="logits")
    pooled = keras.layers.UpSampling2D(8)(keras.layers.MaxPooling2D(8)(image))
    network = keras.Model(image, copy(image) + 0.0 * pooled)
    bundle = Bundle("b", preprocessors.rgb(channels=1), network, fit="pad")
    assert bundle.levels == 4
    for shape in ((13, 22), (16, 16), (1, 5)):
        mask = np.random.default_rng(1).integers(0, 2, shape)
        np.testing.assert_array_equal(bundle.predict(255 * mask[..., None])[0], mask)


def test_volumes_and_one_logit(volume_bundle):
    volume = np.random.default_rng(0).integers(0, 3000, (5, 19, 30, 1)).astype("uint16")
    labels, probabilities = volume_bundle.predict(volume)
    assert labels.shape == (5, 19, 30) and probabilities.shape == (5, 19, 30, 1)
    np.testing.assert_array_equal(labels, probabilities[..., 0] > 0.5)


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_mixed_precision_ends_with_the_training(fit):
    keras.config.set_dtype_policy("mixed_float16")
    network = trained(unet(input_shape=(16, 16, 1), filters=(3, 4)))
    half = Bundle("b", preprocessors.ct(), network, fit=fit)
    keras.config.set_dtype_policy("float32")
    same = unet(input_shape=(16, 16, 1), filters=(3, 4))
    same.set_weights(network.get_weights())
    whole = Bundle("b", preprocessors.ct(), same, fit=fit)
    image = np.random.default_rng(0).integers(-200, 300, (21, 18, 1))
    np.testing.assert_allclose(half.predict(image)[1], whole.predict(image)[1], atol=1e-6)


def test_deep_supervision_leaves_the_bundle():
    network = unet(input_shape=(16, 16, 1), filters=(2, 3, 4), deep_supervision=True)
    bundle = Bundle("b", preprocessors.xray(), network)
    assert bundle.predict(np.zeros((20, 9, 1)))[1].shape == (20, 9, 2)


def test_folding_is_kept_only_where_it_changes_nothing(bundle):
    names = [type(layer).__name__ for layer in bundle.inference_model.get_layer("unet").layers]
    assert "BatchNormalization" not in names
    network = keras.models.clone_model(bundle.network)
    network.set_weights([np.full_like(w, np.nan) for w in network.get_weights()])
    broken = Bundle("b", preprocessors.ct(), network, labels="abc")
    assert broken.inference_model is broken.model


def test_saved_folder_is_complete_and_loads(bundle, saved):
    assert saved.name == "1" and saved.parent.name == "liver"
    files = {str(p.relative_to(saved)) for p in saved.rglob("*") if p.is_file()}
    assert files >= {
        "saved_model.pb",
        "variables/variables.index",
        "assets.extra/tf_serving_warmup_requests",
        "model.keras",
        "model.tflite",
        "model_float16.tflite",
        "model_int8.tflite",
        "bundle.json",
        "card.md",
        "card.json",
    }
    facts = json.loads((saved / "bundle.json").read_text())
    assert facts["labels"] == ["background", "liver", "lesion"]
    assert facts["input"]["units"] == "Hounsfield units"
    assert facts["versions"]["keras"] == keras.__version__
    assert facts["batch_norm_folded"] is True
    image = np.random.default_rng(0).integers(-400, 400, (50, 40, 1))
    for path in (saved, saved.parent):
        again = Bundle.load(path)
        np.testing.assert_array_equal(again.predict(image)[1], bundle.predict(image)[1])
        assert again.labels == bundle.labels and again.network.count_params() > 0


def test_loaded_volume_bundle_is_the_same(volume_bundle, saved_volume):
    again = Bundle.load(saved_volume)
    assert (again.fit, again.size, again.levels) == ("pad", (8, 16, 16), 2)
    assert again.spacing_mm == (3.0, 1.0, 1.0)
    volume = np.random.default_rng(0).integers(0, 3000, (5, 19, 30, 1))
    np.testing.assert_array_equal(again.predict(volume)[1], volume_bundle.predict(volume)[1])


def test_a_failed_export_leaves_nothing(tmp_path):
    image = keras.Input((8, 8, 1))
    network = keras.Model(image, keras.layers.Conv2D(2, 1)(keras.ops.erf(image)))
    bundle = Bundle("b", preprocessors.xray(), network)
    with pytest.raises(ValueError, match="Erf"):
        bundle.save(tmp_path)
    assert list((tmp_path / "b").iterdir()) == []
    assert bundle.save(tmp_path, tflite=False).name == "1"


def make(network=None, preprocessor=None, name="b", **options):
    network = network or unet(input_shape=(16, 16, 1), filters=(2, 3))
    return Bundle(name, preprocessor or preprocessors.xray(), network, **options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: make(name="a/b"), "becomes a folder.*'a/b'"),
        (lambda: make(fit="crop"), "received 'crop'"),
        (lambda: make(labels=("a", "b", "c")), "must name the 2 classes"),
        (lambda: make(spacing_mm=(1, 1, 1)), "`spacing_mm` needs 2 numbers"),
        (lambda: make(size=(32, 32)), "network's own size"),
        (lambda: make(preprocessor=preprocessors.mr(rank=3)), "both be 2D or both 3D"),
        (lambda: make(preprocessor=preprocessors.rgb()), "received 3 and 1"),
        (lambda: make(unet(input_shape=(None, None, 1), filters=(2, 3))), "the network has none"),
        (lambda: make(unet(input_shape=(16, 16, 1), filters=(2, 3), name="xray")), "different"),
        (lambda: make(unet(input_shape=(20, 20, 1), filters=(2, 3), padding="valid")), "tile"),
        (lambda: make(fit="tile"), "must give"),
        (lambda: make().predict(np.zeros((4, 4))), r"received shape \(4, 4\)"),
        (lambda: make().predict(np.zeros((0, 4, 1))), r"received shape \(0, 4, 1\)"),
        (lambda: Bundle.load("nowhere"), "nowhere is no bundle"),
    ],
)
def test_wrong_arguments_are_named(build, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        build()


def test_a_bundle_without_size_says_what_tflite_needs(tmp_path):
    bundle = make(unet(input_shape=(None, None, 1), filters=(2, 3)), fit="pad")
    with pytest.raises(ValueError, match="tflite=False"):
        bundle.save(tmp_path)
