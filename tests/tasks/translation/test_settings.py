import pytest

from kmed.tasks.translation import Settings


def test_the_defaults_hold_and_are_the_papers():
    settings = Settings()
    assert (settings.l1_weight, settings.cycle_weight, settings.identity_weight) == (100, 10, 0.5)
    assert (settings.batch_size, settings.buffer, settings.learning_rate) == (1, 50, 2e-4)
    assert settings.judged_by_pairs and settings.constant == 0.5
    assert not Settings(algorithm="cyclegan").judged_by_pairs
    assert Settings(algorithm="cyclegan", select="best").judged_by_pairs


@pytest.mark.parametrize(
    "wrong",
    [
        {"algorithm": "gan"}, {"modalities": ("t1",)}, {"modalities": ("t1", "t1")},
        {"paired": False}, {"every_mm": 0.0}, {"fit": "tile"}, {"crop": (300, 300)},
        {"crop": (8, 8, 8)}, {"l1_weight": -1.0}, {"identity_weight": -0.1}, {"buffer": -1},
        {"select": "fid"},
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
        Settings(**wrong)
