import json
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from kmed.applications import dcgan_generator
from kmed.export import GeneratorBundle
from kmed.tasks.synthesis import train, training

FILES = ("saved_model.pb", "model.keras", "model.tflite", "card.md", "bundle.json")


def test_a_training_leaves_a_measured_generator(trained):
    run, settings, said = trained
    assert all((run.bundle_path / name).is_file() for name in FILES)
    bundle = GeneratorBundle.load(run.bundle_path)
    assert bundle.labels == ("disc", "ring")
    assert (bundle.decoder.low, bundle.decoder.high) == (0.0, 255.0)  # 8 bit pictures
    assert np.isfinite(run.metrics["all"]["fid"].value)
    agreement = json.loads((run.bundle_path / "agreement.json").read_text())
    assert all(row["max_difference"] <= 1e-4 for row in agreement.values())
    assert said[0] == "48 images of 48 patients, of disc, ring"
    rows = (settings.run_folder / "log.csv").read_text().splitlines()
    assert len(rows) == 3
    for name in ("val_fid", "generator_loss", "discriminator_loss", "real_accuracy"):
        assert name in rows[0]
    assert len(list((settings.run_folder / "samples").glob("*.png"))) == 2


def test_nothing_that_is_shared_names_a_file(trained, shapes):
    run, settings, _ = trained
    shared = [path for path in run.bundle_path.rglob("*") if path.is_file()]
    for path in [*shared, settings.run_folder / "report.html"]:
        assert str(shapes).encode() not in path.read_bytes(), path


class Killed(BaseException):
    """As if the process were gone."""


def test_an_interrupted_training_ends_with_the_same_weights(shapes, settings_of, monkeypatch):
    from kmed.trainers.checkpoints import Checkpoints

    def weights(settings):
        train(dcgan_generator, settings, say=lambda line: None, verbose=0)
        with h5py.File(settings.run_folder / "epoch-0002" / "model.weights.h5") as file:
            found = []
            file.visititems(lambda name, one: found.append(one))
            return [np.array(one) for one in found if isinstance(one, h5py.Dataset)]

    # What comes after the weights has its tests above.
    measured = SimpleNamespace(summary={})
    monkeypatch.setattr(training, "measure", lambda *given, **options: measured)
    monkeypatch.setattr(training, "publish", lambda *given, **options: (None, None))
    options = {"epochs": 2, "steps_per_epoch": 1, "conditional": False, "select": "last"}
    whole = weights(settings_of(shapes, name="a", **options))
    settings = settings_of(shapes, name="b", **options)
    saved = Checkpoints.on_epoch_end

    def killed(self, epoch, logs=None):
        saved(self, epoch, logs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(dcgan_generator, settings, say=lambda line: None, verbose=0)
    resumed = weights(settings)
    assert len(whole) == len(resumed) > 20  # both networks, both optimizers, the average
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_that_the_devices_cannot_share_is_refused(shapes, settings_of, monkeypatch):
    class Two:
        num_replicas_in_sync = 2

    monkeypatch.setattr(training.distribute, "strategy", lambda devices: Two())
    with pytest.raises(ValueError, match="divisible by the number of devices; received 7 for 2"):
        settings = settings_of(shapes, batch_size=7)
        train(dcgan_generator, settings, say=lambda line: None, verbose=0)
