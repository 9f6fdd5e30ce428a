import keras
import numpy as np
import pytest

from kmed.data import DataError, Sample
from kmed.data.items import CrossModal, Item
from kmed.data.sample import Arrays
from kmed.export import Bundle, ImageDecoder
from kmed.preprocessors import intensity
from kmed.tasks.translation.anatomy import anatomy


@pytest.fixture(scope="module")
def copier():
    image = keras.Input((8, 8, 1))
    network = keras.Model(image, keras.layers.Activation("linear")(image), name="copy")
    return Bundle(
        "copy", intensity(0.0, 1.0), network, labels=(), decoder=ImageDecoder(0.0, 1.0),
        metadata={"task": "translation", "source": "a", "target": "b"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """Foreground is what is above one half."""
    image = keras.Input((8, 8, 1))
    network = keras.Model(image, keras.layers.Conv2D(1, 1, name="threshold")(image), name="net")
    network.set_weights([np.full((1, 1, 1, 1), 10.0), np.zeros(1)])
    bundle = Bundle(
        "bright", intensity(0.0, 1.0), network, labels=("dark", "bright"),
        metadata={"task": "segmentation"},
    )  # fmt: skip
    return bundle.save(tmp_path_factory.mktemp("saved"), tflite=False)


def pairs(seen, mask):
    """One volume: the source shows `seen`, the target what its mask says."""

    def item(name, image, mask):
        arrays = Arrays(image[..., None].astype("float32"), mask, (1.0, 1.0, 1.0), None)
        sample = Sample(id=name, patient="p", files=(name,), read=lambda: arrays)
        return Item(id=name, patient="p", study="p", key="p", sample=sample, slice=0)

    truth = np.zeros((1, 8, 8), "uint8")
    truth[:, :, :4] = 1
    items = {
        "a": (item("a", seen, None),),
        "b": (item("b", truth, truth if mask else None),),
    }
    return CrossModal(modalities=("a", "b"), items=items)


def test_half_of_a_structure_is_lost(copier, segmenter):
    seen = np.zeros((1, 8, 8))
    seen[:, :, :2] = 1  # of four columns two are translated as bright
    found = anatomy(copier, segmenter, pairs(seen, True))["bright"]
    assert found["dice_of_real"].value == 1
    assert found["dice"].value == pytest.approx(2 * 2 / (2 + 4))
    assert found["dice_ratio"].value == pytest.approx(2 / 3)


def test_what_cannot_be_compared(copier, segmenter, tmp_path):
    with pytest.raises(DataError, match="has no mask"):
        anatomy(copier, segmenter, pairs(np.zeros((1, 8, 8)), False))
    copier.metadata["task"] = "translation"
    path = copier.save(tmp_path, tflite=False)
    with pytest.raises(ValueError, match="must be the bundle of a segmentation"):
        anatomy(copier, path, pairs(np.zeros((1, 8, 8)), True))
