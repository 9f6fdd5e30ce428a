import csv
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from kmed.applications import embedding
from kmed.export import Bundle, TextBundle
from kmed.tasks.retrieval import train, training
from kmed.tasks.retrieval.towers import partner_folder

FILES = ("saved_model.pb", "model.keras", "model.tflite", "card.md", "bundle.json")


def test_towers_learn_to_find(trained):
    run, _, said = trained
    assert list(run.metrics) == ["pos to neg", "neg to pos"]
    # 12 test patients: one in twelve by chance.
    assert min(run.metrics[d]["recall_5"].value for d in run.metrics) > 0.6
    patients = [{s.patient for s in part} for part in (run.split.train, run.split.test)]
    assert [len(part) for part in patients] == [20, 12]
    assert said[0] == "items: 40 of pos, 40 of neg; 40 patients"


def test_two_bundles_know_each_other(trained):
    run, settings, _ = trained
    partner = partner_folder(run.bundle_path)
    assert run.bundle_path.parent.name == "shapes-pos" and partner.parent.name == "shapes-neg"
    for folder in (run.bundle_path, partner):
        assert all((folder / name).is_file() for name in FILES)
        agreement = json.loads((folder / "agreement.json").read_text())
        assert {row["max_difference"] <= 1e-5 for row in agreement.values()} == {True}
        card = json.loads((folder / "card.json").read_text())
        assert "pos to neg recall_1" in card["metrics"]
    assert partner_folder(partner) == run.bundle_path
    assert isinstance(Bundle.load(run.bundle_path), Bundle)


def test_the_report_and_its_table(trained):
    run, settings, _ = trained
    folder = settings.run_folder
    for name in ("report.html", "metrics.json", "split.json", "log.csv"):
        assert (folder / name).is_file(), name
    assert len(list((folder / "pictures").glob("*.png"))) == 2
    with open(folder / "queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    ranks = [int(row["rank"]) for row in rows if row["direction"] == "pos to neg"]
    expected = run.metrics["pos to neg"]["recall_1"].value
    assert np.mean(np.array(ranks) == 1) == pytest.approx(expected)


def test_a_text_tower_has_its_vocabulary_inside(read):
    run, settings, said = read
    folder = partner_folder(run.bundle_path)
    bundle = TextBundle.load(folder)
    assert {"disc", "left", "ring"} <= set(bundle.vocabulary)
    # A word that only one sentence has may be a name; it is in no file that is handed on.
    assert not [word for word in bundle.vocabulary if word.startswith("smith")]
    for path in folder.rglob("*"):
        assert not path.is_file() or b"smith" not in path.read_bytes().lower(), path
    assert any("sentences: components to" in line for line in said)


def test_nothing_that_is_shared_names_a_file(trained, pairs):
    run, settings, _ = trained
    shared = [p for p in run.bundle_path.rglob("*") if p.is_file()]
    names = ("report.html", "metrics.json", "queries.csv")
    for path in [*shared, *(settings.run_folder / name for name in names)]:
        assert str(pairs).encode() not in path.read_bytes(), path


class Killed(BaseException):
    """As if the process were gone."""


def test_an_interrupted_training_ends_with_the_same_weights(pairs, settings_of, monkeypatch):
    from kmed.trainers.checkpoints import Checkpoints

    def weights(settings):
        run = train(embedding, settings, say=lambda line: None, verbose=0)
        with h5py.File(settings.run_folder / "epoch-0002" / "model.weights.h5") as file:
            found = []
            file.visititems(lambda name, one: found.append(one))
            return [np.array(one) for one in found if isinstance(one, h5py.Dataset)], run

    def published(towers, measured, facts, **options):
        return dict.fromkeys(towers, Path()), Path()

    # What comes after the weights has its tests above.
    monkeypatch.setattr(training, "measure", lambda *given, **options: measured)
    monkeypatch.setattr(training, "publish", published)
    measured = SimpleNamespace(summary={})
    options = {"modalities": ("pos", "neg"), "epochs": 2, "steps_per_epoch": 1, "memory": 16}
    whole, _ = weights(settings_of(pairs, name="a", **options))
    settings = settings_of(pairs, name="b", **options)
    saved = Checkpoints.on_epoch_end

    def killed(self, epoch, logs=None):
        saved(self, epoch, logs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(embedding, settings, say=lambda line: None, verbose=0)
    resumed, _ = weights(settings)
    assert len(whole) == len(resumed) > 10
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="other settings"):
        train(embedding, replace(settings, dimension=8), say=lambda line: None, verbose=0)
