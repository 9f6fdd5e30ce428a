import numpy as np
import pytest

from kmed import preprocessors
from kmed.data import Arrays, DataError, Sample
from kmed.data.items import CrossModal, Item
from kmed.tasks.inputs import preprocessor
from kmed.tasks.retrieval import Settings, data


def found(first, second, said=(None, None), tmp_path=None):
    items = {}
    for modality, kind in zip((first, second), said, strict=True):
        file = str(tmp_path / modality) if tmp_path else modality
        image = np.full((3, 6, 8, 1), len(modality), "float32")
        sample = Sample(
            id=f"p/{modality}", patient="p", files=(file,), modality=kind,
            read=lambda image=image: Arrays(image, None, (1.0, 1.0, 1.0), None),
        )  # fmt: skip
        items[modality] = tuple(
            Item(id=f"p{i}", patient="p", study="p", key=f"p{i}", sample=sample, slice=i)
            for i in range(3)
        )
    return CrossModal(modalities=(first, second), items=items)


@pytest.mark.parametrize(
    ("modalities", "said", "expected"),
    [
        (("t1", "flair"), (None, None), ("mr", "mr")),
        (("ct", "t2"), ("CT", "MR"), ("ct", "mr")),
        (("a", "b"), ("CT", "MR"), ("ct", "mr")),
        (("frontal", "lateral"), (None, None), ("xray", "xray")),
    ],
)
def test_auto_takes_what_the_data_say(modalities, said, expected):
    names = data.preprocessor_names(found(*modalities, said), Settings())
    assert tuple(names.values()) == expected and tuple(names) == modalities


def test_given_preprocessors():
    both = found("a", "b")
    assert data.preprocessor_names(both, Settings(preprocessor="rgb")) == {"a": "rgb", "b": "rgb"}
    names = data.preprocessor_names(both, Settings(preprocessor="ct,mr"))
    assert names == {"a": "ct", "b": "mr"}
    with pytest.raises(DataError, match="of modality CT"):
        data.preprocessor_names(found("a", "b", ("CT", None)), Settings(preprocessor="mr"))


def test_text_has_no_preprocessor_of_images():
    both = found("a", "text")
    text = tuple(Item(id=f"t{i}", patient="p", study="p", key=f"p{i}", text="x") for i in range(3))
    both = CrossModal(modalities=("a", "text"), items=both.items | {"text": text})
    assert data.preprocessor_names(both, Settings()) == {"a": "xray"}
    with pytest.raises(ValueError, match="names 2; of a, text only a has images"):
        data.preprocessor_names(both, Settings(preprocessor="ct,mr"))


def test_the_cache_holds_what_the_towers_see(tmp_path):
    both = found("ct", "t2", tmp_path=tmp_path)
    for modality in both.modalities:
        (tmp_path / modality).write_bytes(b"")
    settings = Settings(size=(4, 4), cache_dir=str(tmp_path / "cache"))
    models = {
        name: preprocessor(settings.replaced(preprocessor=kind), 1)
        for name, kind in (("ct", "ct"), ("t2", "xray"))
    }
    cases = data.prepared(both, models, settings, say=lambda line: None)
    assert {name: case.shape for name, case in cases.items()} == {
        "p/ct": (3, 4, 4),
        "p/t2": (3, 4, 4),
    }
    window = preprocessors.ct(window_hu=(40.0, 400.0))(np.full((1, 4, 4, 1), 2.0, "float32"))
    np.testing.assert_allclose(cases["p/ct"].image()[1], np.asarray(window)[0], rtol=1e-6)


def test_no_data_are_told():
    with pytest.raises(DataError, match="give `data`"):
        data.open_data(Settings())
