import pytest

from kmed import losses
from kmed.tasks.retrieval import Settings
from kmed.tasks.retrieval.settings import LOSSES


def test_every_loss_is_there():
    assert all(hasattr(losses, name) for name in LOSSES.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("modalities", ("t1",)),
        ("modalities", ("t1", "t1")),
        ("loss", "triplets"),
        ("match", "slice"),
        ("near_mm", -1.0),
        ("every_mm", 0.0),
        ("dimension", 1),
        ("words", 0),
        ("word_dropout", 1.0),
        ("columns", {"picture": "file"}),
        ("fit", "crop"),
        ("preprocessor", "ct,mr,xray"),
        ("preprocessor", "pet"),
        ("sampler", "random"),
        ("per_label", 3),
        ("chunks", 5),
        ("memory", -1),
        ("gallery", 1),
    ],
)
def test_what_is_out_of_range_is_told_by_name(name, value):
    options = {"sampler": "labels"} if name == "per_label" else {}
    with pytest.raises(ValueError, match=f"`{name}`"):
        Settings(**options | {name: value})


def test_one_preprocessor_for_each_modality():
    assert Settings(preprocessor="ct,mr").preprocessor == "ct,mr"
    assert Settings(preprocessor="auto").preprocessor == "auto"
