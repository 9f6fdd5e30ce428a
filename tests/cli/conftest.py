"""A catalogue whose tasks only write down what they are asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from kmed import catalog
from kmed.cli import app
from kmed.metrics import Interval
from kmed.tasks.segmentation import Predicted, Run, Settings

METRICS = {
    "lung": {
        "dice": Interval(0.9125, 0.894, 0.927, 20),
        "hd95_mm": Interval(4.2, float("nan"), float("nan"), 1, 2),
    }
}


class Task:
    """Records its calls; `raises` is raised by the next."""

    __name__ = "kmed.tasks.segmentation"
    Settings = Settings

    def __init__(self):
        self.calls, self.raises, self.failed = [], None, []

    def _called(self, name, *arguments, say, **options):
        if self.raises:
            raise self.raises
        say(f"fake {name}")
        self.calls.append(SimpleNamespace(name=name, arguments=arguments, options=options))

    def train(self, builder, settings, *, say, verbose):
        self._called("train", builder, settings, say=say, verbose=verbose)
        return Run(Path("saved_models/x/1"), Path("runs/x/report.html"), METRICS, None)

    def demo(self, folder, *, say, **options):
        self._called("demo", folder, say=say, **options)
        return Run(Path("d/saved_models/x/1"), Path("d/report.html"), METRICS, None)

    def evaluate(self, *arguments, say, **options):
        self._called("evaluate", *arguments, say=say, **options)
        return METRICS

    def predict(self, *arguments, say, **options):
        self._called("predict", *arguments, say=say, **options)
        return Predicted([Path("findings/a.png")], self.failed)

    def generate(self, *arguments, say, **options):
        self._called("generate", *arguments, say=say, **options)
        return [Path("generated/a.png")]

    def export(self, *arguments, say, **options):
        self._called("export", *arguments, say=say, **options)
        return [Path("saved_models/x/1/model.onnx")]


@pytest.fixture
def task(monkeypatch):
    fake = Task()
    row = dataclasses.replace(catalog.CATALOG["unet"], task=fake)
    monkeypatch.setitem(catalog.CATALOG, "unet", row)
    monkeypatch.setattr(catalog, "task_of", lambda path: fake, raising=False)
    return fake


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")

    def invoke(*arguments, **options):
        return CliRunner().invoke(app, [str(argument) for argument in arguments], **options)

    return invoke


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "bundle").mkdir()
    return tmp_path
