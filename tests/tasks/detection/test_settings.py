import pytest

from kmed.tasks.detection import Settings


def test_defaults_hold_and_one_class_is_enough():
    settings = Settings(labels=("nodule",))
    assert settings.detector == "ssd" and settings.rank == 2


@pytest.mark.parametrize(
    "field, value",
    [
        ("detector", "yolov5"),
        ("fit", "pad"),
        ("size", (32, 32, 32)),
        ("anchors", "data"),  # SSD has none to choose
        ("judge_every", 0),
        ("max_objects", 0),
        ("labels", ()),
        ("weight_decay", -1.0),
    ],
)
def test_values_out_of_range_name_the_field(field, value):
    with pytest.raises(ValueError, match=f"`{field}`.*out of range; received"):
        Settings(**{field: value})


def test_an_unknown_setting_is_told_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean judge_every"):
        Settings().replaced(judge_evry=3)
