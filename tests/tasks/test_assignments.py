"""Settings as people type them."""

from __future__ import annotations

import pytest

from kmed.applications import unet
from kmed.tasks.assignments import assigned
from kmed.tasks.segmentation.settings import Settings

DEFAULTS = {"name": "unet", "network": {"filters": (16, 32, 64)}}


def settings(*assignments):
    return assigned(Settings, unet, DEFAULTS, assignments)


@pytest.mark.parametrize(
    ("assignment", "name", "value"),
    [
        ("epochs=20", "epochs", 20),
        ("learning_rate=1", "learning_rate", 1),
        ("learning_rate=.5", "learning_rate", 0.5),
        ("learning_rate=3e-4", "learning_rate", 3e-4),
        ("resume=false", "resume", False),
        ("resume=False", "resume", False),
        ("patience=null", "patience", None),
        ("patience=None", "patience", None),
        ("patience=7", "patience", 7),
        ("size=[64, 32]", "size", (64, 32)),
        ("size=(64, 32)", "size", (64, 32)),
        ("size=64,32", "size", (64, 32)),
        ("labels=background,lung", "labels", ("background", "lung")),
        ('labels=["a", "b"]', "labels", ("a", "b")),
        ("labels=null", "labels", None),
        ("data=123", "data", "123"),
        ("data=a=b", "data", "a=b"),
        ("patient=^(\\d+)_", "patient", "^(\\d+)_"),
        ("window_hu=-600,1500", "window_hu", (-600, 1500)),
        ("loss=dice", "loss", "dice"),
        ('network={"filters": [4, 8]}', "network", {"filters": [4, 8]}),
        ("network.filters=[8,16]", "network", {"filters": [8, 16]}),
        (
            "network.padding=valid",
            "network",
            {"filters": (16, 32, 64), "padding": "valid"},
        ),
        (
            "network.normalization=null",
            "network",
            {"filters": (16, 32, 64), "normalization": None},
        ),
    ],
)
def test_a_text_becomes_the_value_of_its_field(assignment, name, value):
    assert (
        getattr(settings(*(["fit=patch"] if "valid" in assignment else []), assignment), name)
        == value
    )


def test_the_size_decides_the_fit_as_if_it_had_been_the_default():
    assert settings("size=16,32,32").fit == "patch"
    assert settings("size=32,32").fit == "resize"


def test_later_assignments_win_and_the_defaults_stay_as_they_were():
    made = settings("epochs=1", "network.dropout=0.1", "epochs=2", "network.dropout=0.2")
    assert made.epochs == 2
    assert made.network == {"filters": (16, 32, 64), "dropout": 0.2}
    assert DEFAULTS["network"] == {"filters": (16, 32, 64)}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("epoch=3", "`epoch` is not a setting.*did you mean epochs"),
        ("netwrk.filters=3", "`netwrk` is not a setting.*network"),
        ("epochs", "KEY=VALUE; received 'epochs'"),
        ("epochs=many", "`epochs` takes int; received 'many'"),
        ("epochs=1.5", "`epochs` takes int; received '1.5'"),
        ("epochs=true", "`epochs` takes int; received 'true'"),
        ("resume=1", "`resume` takes bool; received '1'"),
        ("patience=soon", r"`patience` takes int \| None; received 'soon'"),
        ("size=a,b", r"`size` takes tuple\[int, ...\]; received 'a,b'"),
        ("window_hu=1,2,3", r"`window_hu` takes tuple\[float, float\]"),
        ("epochs.x=1", "`epochs` has no parts"),
        ("network.filter=[1]", "`network.filter` is no argument of unet; did you mean filters"),
        ("network.classes=3", "`network.classes` is no argument of unet"),
        ("epochs=0", "`epochs`.*out of range"),
    ],
)
def test_what_does_not_fit_is_told(assignment, message):
    with pytest.raises(ValueError, match=message):
        settings(assignment)
