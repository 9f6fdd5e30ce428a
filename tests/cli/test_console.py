"""Tables, and a start without TensorFlow's lines."""

from __future__ import annotations

import os

import pytest

from kmed.cli import console
from kmed.metrics import Interval


def test_metrics_name_each_class_once(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    interval = Interval(0.5, 0.25, 0.75, 4)
    console.show_metrics({"[liver]": {"dice": interval, "iou": interval}, "spleen": {}})
    printed = capsys.readouterr().out
    assert printed.count("[liver]") == 1
    assert printed.count("0.500 [0.250, 0.750]") == 2


def test_an_interval_that_is_not_known_is_left_out():
    nan = float("nan")
    assert console._interval(Interval(0.5, nan, nan, 1)) == "0.500"
    assert console._interval(Interval(nan, nan, nan, 0, 3)) == "-, 3 not finite"


def test_what_a_successful_import_writes_is_held_back(capfd):
    with console._quiet():
        os.write(2, b"noise")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_what_a_failing_import_writes_is_shown(capfd):
    with pytest.raises(ImportError), console._quiet():
        os.write(2, b"why it failed")
        raise ImportError
    assert capfd.readouterr().err == "why it failed"


def test_a_bar_for_what_tells_its_progress_and_nothing_for_the_rest(capsys):
    def counting(progress=None):
        for done in range(3):
            progress(done + 1, 3)

    with console.progress_bar(counting) as options:
        counting(**options)
    with console.progress_bar(lambda path: None) as options:
        assert options == {}
    assert capsys.readouterr().out == ""
