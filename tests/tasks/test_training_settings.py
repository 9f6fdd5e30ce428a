import json

import pytest

from kmed.tasks.training_settings import TrainingSettings


def test_lists_of_a_command_line_become_tuples():
    settings = TrainingSettings(size=[64, 64], labels=["background", "lung"])
    assert settings == TrainingSettings(size=(64, 64), labels=("background", "lung"))


def test_unknown_settings_come_with_their_neighbours():
    with pytest.raises(ValueError, match="`batchsize` is not a setting.*did you mean batch_size"):
        TrainingSettings().replaced(batchsize=3)
    with pytest.raises(ValueError, match="`zzz` is not a setting.*known:"):
        TrainingSettings().replaced(zzz=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (8,)}, r"`size` .* received \(8,\)"),
        ({"batch_size": 0}, "`batch_size`.*received 0"),
        ({"flip": "yes"}, "`flip`"),
        ({"validation": 0.6, "test": 0.5}, "`test`"),
        ({"labels": ("lung",)}, "`labels`"),
        ({"name": "a/b"}, "`name`"),
        ({"window_hu": (40.0, 0.0)}, "`window_hu`"),
    ],
)
def test_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**values)


def test_fingerprint_leaves_out_what_does_not_change_the_weights():
    first = TrainingSettings()
    assert first.fingerprint() == first.replaced(run_dir="x", devices=2, name="y").fingerprint()
    assert first.fingerprint() != first.replaced(seed=1).fingerprint()
    assert json.loads(first.fingerprint())["seed"] == 0
