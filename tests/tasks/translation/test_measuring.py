import keras
import numpy as np
import pytest

from kmed.data import DataError
from kmed.data.items import CrossModal
from kmed.export import Bundle, ImageDecoder
from kmed.preprocessors import intensity
from kmed.tasks.translation import Settings, measure
from kmed.tasks.translation.data import open_data


@pytest.fixture(scope="module")
def copier():
    """Gives back what it gets, in [0, 200]."""
    image = keras.Input((32, 32, 1))
    network = keras.Model(image, keras.layers.Activation("linear")(image), name="copy")
    return Bundle(
        "copy", intensity(0.0, 200.0), network, labels=(), decoder=ImageDecoder(0.0, 200.0),
        metadata={"task": "translation", "source": "t1", "target": "t2"},
    )  # fmt: skip


def test_a_copy_of_the_source_by_hand(copier, brains):
    found = open_data(Settings(data=str(brains), modalities=("t1", "t2")))
    done = []
    measured = measure(copier, found, progress=lambda *numbers: done.append(numbers))
    errors = []
    of_t2 = {item.key: item for item in found.items["t2"]}
    for item in found.items["t1"]:
        other = of_t2[item.key]
        source = item.sample.read().image[item.slice].astype("float32")
        target = other.sample.read().image[other.slice].astype("float32")
        errors.append(np.abs(source.clip(0, 200) - target.clip(0, 200)).mean())
    report = measured.summary["t1 to t2"]
    assert report["mae"].value == pytest.approx(np.mean(errors), rel=1e-4)
    assert report["mae"].n == 6
    assert done[-1] == (len(errors), len(errors)) and len(measured.shown) == 6
    shown = measured.shown[0]
    np.testing.assert_allclose(shown.translated, shown.source.clip(0, 200), atol=1e-3)


def test_without_pairs_sets_are_compared(copier, brains):
    found = open_data(Settings(data=str(brains), modalities=("t1", "t2")))
    t1 = tuple(item for item in found.items["t1"] if item.patient in ("p0", "p1", "p2"))
    others = tuple(item for item in found.items["t1"] if item.patient not in ("p0", "p1", "p2"))
    t2 = tuple(item for item in found.items["t2"] if item.patient not in ("p0", "p1", "p2"))
    like, unlike = (
        measure(copier, CrossModal(modalities=("t1", "t2"), items={"t1": t1, "t2": target}))
        for target in (others, t2)  # T1 itself, which the copy is like, and T2, which it is not
    )
    one, other = (m.summary["t1 to t2"]["fid"].value for m in (like, unlike))
    assert 0 <= one < 0.5 * other


def test_without_any_target_there_are_pictures_alone(copier, brains):
    found = open_data(Settings(data=str(brains), modalities=("t1", "t2")))
    source = tuple(item for item in found.items["t1"] if item.patient == "p0")
    part = CrossModal(modalities=("t1", "t2"), items={"t1": source, "t2": ()})
    measured = measure(copier, part)
    assert measured.summary == {} and measured.shown[0].target is None
    with pytest.raises(DataError, match="no image of t1"):
        measure(copier, CrossModal(modalities=("t1", "t2"), items={"t1": (), "t2": ()}))
