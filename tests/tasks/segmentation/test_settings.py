import json

import pytest

from kmed.tasks.segmentation.settings import Settings


def test_fit_follows_the_rank():
    assert Settings().fit == "resize"
    assert Settings(size=(32, 32, 32)).fit == "patch"
    assert Settings(size=(32, 32, 32)).rank == 3


def test_lists_of_a_command_line_become_tuples():
    settings = Settings(size=[64, 64], labels=["background", "lung"])
    assert settings == Settings(size=(64, 64), labels=("background", "lung"))


def test_unknown_settings_come_with_their_neighbours():
    with pytest.raises(ValueError, match="`batchsize` is not a setting.*did you mean batch_size"):
        Settings().replaced(batchsize=3)
    with pytest.raises(ValueError, match="`zzz` is not a setting.*known:"):
        Settings().replaced(zzz=3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (8,)}, r"`size` .* received \(8,\)"),
        ({"size": (8, 8, 8), "fit": "resize"}, "`fit`"),
        ({"batch_size": 0}, "`batch_size`.*received 0"),
        ({"loss": "hinge"}, "`loss`.*received 'hinge'"),
        ({"flip": "yes"}, "`flip`"),
        ({"validation": 0.6, "test": 0.5}, "`test`"),
        ({"labels": ("lung",)}, "`labels`"),
        ({"name": "a/b"}, "`name`"),
        ({"spacing_mm": (1.0, 1.0)}, "`spacing_mm`"),
        ({"window_hu": (40.0, 0.0)}, "`window_hu`"),
    ],
)
def test_out_of_range(values, message):
    with pytest.raises(ValueError, match=message):
        Settings(**values)


def test_fingerprint_leaves_out_what_does_not_change_the_weights():
    first = Settings()
    assert first.fingerprint() == first.replaced(run_dir="x", devices=2, name="y").fingerprint()
    assert first.fingerprint() != first.replaced(seed=1).fingerprint()
    assert json.loads(first.fingerprint())["seed"] == 0
