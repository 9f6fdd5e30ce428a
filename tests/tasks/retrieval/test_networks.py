import pytest

from kmed.applications import embedding
from kmed.tasks.retrieval import Settings, networks

SMALL = {"size": (32, 32), "dimension": 8, "network": {"backbone_options": {"width": 4}}}


def test_shared_towers_are_one_network():
    settings = Settings(share=True, **SMALL)
    towers = networks.build(embedding, settings, {"t1": 1, "t2": 1}, None)
    assert towers["t1"] is towers["t2"]
    trainer = networks.compiled(towers, settings, 10)
    assert len(trainer.trainable_variables) == len(towers["t1"].trainable_variables)
    for channels in ({"t1": 1, "t2": 3}, {"t1": 1, "text": None}):
        with pytest.raises(ValueError, match="`share` takes two modalities of images"):
            networks.build(embedding, settings, channels, ["a"])


def test_a_learnable_temperature_is_trained_and_not_decayed():
    settings = Settings(loss="infonce", weight_decay=0.1, text={"encoder": "bag"}, **SMALL)
    towers = networks.build(embedding, settings, {"image": 1, "text": None}, ["a", "b"])
    assert towers["text"].output_shape == towers["image"].output_shape == (None, 8)
    trainer = networks.compiled(towers, settings, 10)
    (scale,) = (v for v in trainer.trainable_variables if v.name == "log_scale")
    assert not trainer.optimizer._use_weight_decay(scale)


def test_the_vocabulary_is_of_words_that_occur_often_enough():
    settings = Settings(vocabulary=4, word_count=2)
    words = networks.vocabulary(settings, ["left lung", "left lung of Smith", "the left hand"])
    assert words == ["left", "lung"]
