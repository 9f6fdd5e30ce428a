import csv
import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from kmed.applications import pix2pix_generator
from kmed.export import Bundle
from kmed.tasks.translation import train, training

FILES = ("saved_model.pb", "model.keras", "model.tflite", "card.md", "bundle.json")


def test_a_training_leaves_a_measured_translator(trained):
    run, settings, said = trained
    assert all((run.bundle_path / name).is_file() for name in FILES)
    bundle = Bundle.load(run.bundle_path)
    assert (bundle.metadata["source"], bundle.metadata["target"]) == ("t1", "t2")
    assert bundle.decoder.low == 0 and 100 < bundle.decoder.high <= 255
    assert list(run.metrics) == ["t1 to t2"]
    report = run.metrics["t1 to t2"]
    assert report["mae"].value > 0 and report["ssim"].value > 0.1
    agreement = json.loads((run.bundle_path / "agreement.json").read_text())
    assert all(row["max_difference"] <= 1e-4 for row in agreement.values())
    header, *rows = csv.reader((settings.run_folder / "log.csv").read_text().splitlines())
    errors = [float(row[header.index("val_mae")]) for row in rows]
    assert errors[-1] < 0.9 * errors[0]
    for name in ("val_mae", "val_ssim", "l1_loss", "discriminator_loss"):
        assert name in header
    assert len(list((settings.run_folder / "samples").glob("*.png"))) == 3
    assert "6 patients, paired" in said[0]


def test_without_pairs_there_are_two_ways(unpaired):
    run, settings, said = unpaired
    assert run.bundle_path.parent.name == "both-t1-to-t2"
    back = Bundle.load(run.bundle_path.parents[1] / "both-t2-to-t1")
    assert (back.metadata["source"], back.metadata["target"]) == ("t2", "t1")
    # The test part's pairs measure both ways.
    assert list(run.metrics) == ["t1 to t2", "t2 to t1"]
    header = (settings.run_folder / "log.csv").read_text().splitlines()[0]
    assert "cycle_loss" in header


def test_nothing_that_is_shared_names_a_file(trained, brains):
    run, settings, _ = trained
    shared = [path for path in run.bundle_path.rglob("*") if path.is_file()]
    for path in [*shared, settings.run_folder / "report.html"]:
        assert str(brains).encode() not in path.read_bytes(), path


class Killed(BaseException):
    """As if the process were gone."""


def test_an_interrupted_training_ends_with_the_same_weights(brains, settings_of, monkeypatch):
    from kmed.trainers.checkpoints import Checkpoints

    def weights(settings):
        train(pix2pix_generator, settings, say=lambda line: None, verbose=0)
        with h5py.File(settings.run_folder / "epoch-0002" / "model.weights.h5") as file:
            found = []
            file.visititems(lambda name, one: found.append(one))
            return [np.array(one) for one in found if isinstance(one, h5py.Dataset)]

    # What comes after the weights has its tests above.
    measured = SimpleNamespace(summary={})
    monkeypatch.setattr(training, "measure", lambda *given, **options: measured)
    monkeypatch.setattr(training, "publish", lambda *given, **options: ([None], None))
    options = {
        "epochs": 2, "steps_per_epoch": 1, "select": "last", "average": 0.9,
        "network": {"filters": 16, "levels": 3, "dropout": 0.5},
    }  # fmt: skip
    whole = weights(settings_of(brains, name="a", **options))
    settings = settings_of(brains, name="b", **options)
    saved = Checkpoints.on_epoch_end

    def killed(self, epoch, logs=None):
        saved(self, epoch, logs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(pix2pix_generator, settings, say=lambda line: None, verbose=0)
    resumed = weights(settings)
    assert len(whole) == len(resumed) > 20
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
