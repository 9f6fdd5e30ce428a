import keras
import numpy as np
import pytest
from PIL import Image

from kmed import preprocessors
from kmed.applications import unet
from kmed.export import Bundle, ClassificationDecoder
from kmed.tasks.explaining import answered_class, class_index, explain, explained


def classifier(kind="multiclass", classes=3):
    """One feature map for each logit, which is its mean."""
    image = keras.Input((16, 16, 1))
    x = keras.layers.Conv2D(classes - (kind == "ordinal"), 3, padding="same")(image)
    network = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="logits")(x))
    labels = [f"class {i}" for i in range(classes)]
    decoder = ClassificationDecoder(kind)
    return Bundle("three", preprocessors.xray(), network, labels=labels, decoder=decoder)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "ordinal"])
def test_each_image_has_a_picture_and_a_map(kind, tmp_path):
    path = classifier(kind).save(tmp_path / "saved", tflite=False)
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        pixels = random.integers(0, 255, (20, 30), dtype="uint8")
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    inputs = [tmp_path / name for name in ("a.png", "b.png", "broken.png")]
    done = explain(path, inputs, output=tmp_path / "out", say=str)
    assert sorted(p.name for p in done.written) == ["a.npy", "a.png", "b.npy", "b.png"]
    assert len(done.failed) == 1
    heat = np.load(tmp_path / "out" / "a.npy")
    assert heat.shape == (20, 30) and 0 <= heat.min() and heat.max() <= 1


def test_a_class_by_its_name():
    bundle = classifier()
    assert class_index(bundle, "class 2") == 2
    with pytest.raises(ValueError, match="no class 'clas 2'; did you mean 'class 2'"):
        class_index(bundle, "clas 2")
    with pytest.raises(ValueError, match="it has class 0, class 1, class 2"):
        class_index(bundle, "tumour")


def test_masks_are_explained_by_their_largest_structure():
    network = unet(input_shape=(16, 16, 1), classes=3, filters=(2, 2))
    labels = ("background", "liver", "lesion")
    bundle = Bundle("masks", preprocessors.ct(), network, labels=labels)
    image = np.random.default_rng(0).normal(size=(16, 16, 1)).astype("float32")
    found, _ = bundle.predict(image)
    counts = [np.sum(found == k) for k in (1, 2)]
    assert answered_class(bundle, image) == 1 + int(np.argmax(counts))
    picture, heat = explained(bundle, np.stack([image] * 2), 1)  # a volume, slice by slice
    assert heat.shape == (2, 16, 16) and picture.ndim == 3
