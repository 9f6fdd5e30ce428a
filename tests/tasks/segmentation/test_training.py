import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from kmed.applications import unet
from kmed.data import LeakageError
from kmed.tasks.segmentation.settings import Settings
from kmed.tasks.segmentation.training import train

ROOT = Path(__file__).resolve().parents[3]


def test_learns_discs(trained):
    run, _, said = trained
    assert run.metrics["disc"]["dice"].value > 0.9
    assert [len(run.split.train), len(run.split.validation), len(run.split.test)] == [8, 1, 3]
    assert any("12 images of 12 patients, 2 classes" in line for line in said)


def test_leaves_what_it_says(trained):
    run, settings, _ = trained
    bundle, folder = run.bundle_path, settings.run_folder
    names = ["saved_model.pb", "model.keras", "model.tflite", "card.md", "card.json", "bundle.json"]
    assert all((bundle / name).is_file() for name in names)
    assert (bundle / "overlays" / "worst.png").is_file()
    assert (bundle / "assets.extra" / "tf_serving_warmup_requests").is_file()
    for name in ("report.html", "metrics.json", "cases.csv", "log.csv", "split.json"):
        assert (folder / name).is_file(), name
    assert list((folder / "tensorboard").rglob("*tfevents*"))
    card = json.loads((bundle / "card.json").read_text())
    assert card["data"]["images"] == {"train": 8, "validation": 1, "test": 3}
    dice = card["metrics"]["disc dice"]
    assert dice["value"] == pytest.approx(run.metrics["disc"]["dice"].value)
    agreement = json.loads((bundle / "agreement.json").read_text())
    assert {row["differing_voxels"] for row in agreement.values()} == {0}


def test_nothing_that_is_shared_names_a_patient_or_a_path(trained, pictures):
    run, _, _ = trained
    for path in run.bundle_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert str(pictures).encode() not in content, path
            assert b"p01" not in content or path.suffix in (".keras", ".pb", ".png"), path


def test_finished_training_is_only_measured_again(trained, tmp_path):
    run, settings, _ = trained
    before = (settings.run_folder / "log.csv").read_text()
    again = train(unet, replace(settings, saved_models=str(tmp_path)), say=str, verbose=0)
    assert (settings.run_folder / "log.csv").read_text() == before
    assert again.metrics["disc"]["dice"] == run.metrics["disc"]["dice"]


def test_other_settings_in_the_same_folder_are_refused(trained):
    _, settings, _ = trained
    with pytest.raises(ValueError, match=r"other settings \(learning_rate differ\)"):
        train(unet, replace(settings, learning_rate=0.5), say=str)


def test_settings_that_failed_can_be_mended_in_place(pictures, tmp_path):
    settings = Settings(
        data=str(pictures), size=(30, 30), preprocessor="xray", epochs=1, steps_per_epoch=1,
        batch_size=2, network={"filters": (4, 8, 8)}, run_dir=str(tmp_path / "run"),
        saved_models=str(tmp_path / "saved"),
    )  # fmt: skip
    with pytest.raises(ValueError, match="divisible by"):
        train(unet, settings, say=str, verbose=0)
    assert train(unet, replace(settings, size=(32, 32)), say=str, verbose=0).bundle_path.is_dir()


def test_a_leak_stops_the_training(pictures, tmp_path):
    import shutil

    leaky = tmp_path / "leaky"
    shutil.copytree(pictures, leaky)
    for kind in ("images", "masks"):
        shutil.copy(leaky / kind / "p00.png", leaky / kind / "copy.png")
    ids = [f"p{i:02d}" for i in range(12)]
    split = {"format": "kmed-split", "version": 1, "seed": None}
    split |= {"train": [*ids[:8]], "validation": ids[8:10], "test": [*ids[10:], "copy"]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    settings = Settings(
        data=str(leaky), size=(32, 32), preprocessor="xray", run_dir=str(tmp_path / "run"),
        split_file=str(tmp_path / "split.json"),
    )  # fmt: skip
    with pytest.raises(LeakageError, match=r"(?s)identical pixels.*p00.*copy"):
        train(unet, settings, say=str)


@pytest.mark.parametrize("kind", ["volumes", "valid", "half", "deep"])
def test_networks_of_every_kind_walk_the_whole_road(kind, tmp_path):
    options = {"size": (8, 32, 32), "network": {"filters": (4, 8)}}
    if kind == "valid":
        network = {"filters": (4, 8), "padding": "valid", "normalization": None}
        options = {"size": (44, 44), "fit": "patch", "network": network, "loss": "border_weighted"}
    if kind == "half":
        options = {"size": (32, 32), "network": {"filters": (4, 8)}, "precision": "mixed_float16"}
    if kind == "deep":
        network = {"filters": (4, 8, 8), "deep_supervision": True, "residual": True}
        options = {"size": (32, 32), "network": network}
    settings = Settings(
        patients=5, epochs=1, steps_per_epoch=2, batch_size=2, run_dir=str(tmp_path / "run"),
        saved_models=str(tmp_path / "saved"), flip="none", **options,
    )  # fmt: skip
    run = train(unet, settings, say=str, verbose=0)
    assert set(run.metrics) == {"liver", "kidney", "spleen", "lesion", "mean"}
    assert (run.bundle_path / "model.tflite").is_file()


SCRIPT = """
import sys
from kmed.applications import unet
from kmed.tasks import segmentation
settings = segmentation.Settings(
    name="discs", data=sys.argv[1], labels=("background", "disc"), preprocessor="xray",
    size=(32, 32), network={"filters": (4, 8), "dropout": 0.2}, epochs=5, batch_size=4,
    steps_per_epoch=40, run_dir=sys.argv[2], saved_models=sys.argv[2] + "/saved",
)

def say(line):
    print(line)
    if "whole" in sys.argv[2] and line.startswith("best epoch"):
        sys.exit()  # what is compared is written

segmentation.train(unet, settings, say=say, verbose=0)
"""


@pytest.mark.isolated
def test_killed_training_ends_with_the_same_weights(pictures, tmp_path):
    def start(folder):
        command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(pictures), str(folder)]
        return subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=tmp_path,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    whole = start(tmp_path / "whole")
    printed, _ = whole.communicate(timeout=240)
    assert whole.returncode == 0, printed
    killed = start(tmp_path / "killed")
    until = time.monotonic() + 120
    while not (tmp_path / "killed" / "epoch-0002").exists() and time.monotonic() < until:
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "killed" / "epoch-0005").exists(), "it was killed too late"
    resumed = start(tmp_path / "killed")
    printed, _ = resumed.communicate(timeout=240)
    assert resumed.returncode == 0, printed
    assert "going on after epoch" in printed
    first, second = (_arrays(tmp_path / folder / "epoch-0005") for folder in ("whole", "killed"))
    assert first.keys() == second.keys()
    assert any("optimizer" in name for name in first)
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name], err_msg=name)


def _arrays(folder):
    """Every array of a checkpoint: the weights and the optimizer's state."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(folder / "model.weights.h5") as file:
        file.visititems(visit)
    return found


class Enough(Exception):
    """What follows is the same for any number of devices."""


def until_trained(line):
    if line.startswith("best epoch"):
        raise Enough


def on_one_and_two(data, folder):
    """Train for two epochs on logical processors, on two of them through the whole flow."""
    import tensorflow as tf

    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    for devices in (1, 2):
        settings = Settings(
            name="discs", data=data, labels=("background", "disc"), preprocessor="xray",
            size=(32, 32), network={"filters": (4, 8)}, epochs=2, batch_size=4, devices=devices,
            steps_per_epoch=5, validation=0.5, run_dir=f"{folder}/{devices}",
            saved_models=f"{folder}/saved",
        )  # fmt: skip
        with contextlib.suppress(Enough):
            train(unet, settings, say=until_trained if devices == 1 else str, verbose=0)
    assert list(Path(folder, "saved").rglob("model.tflite"))


def test_two_devices_end_where_one_does(run_isolated, pictures, tmp_path):
    run_isolated(on_one_and_two, str(pictures), str(tmp_path))
    one, two = (_arrays(tmp_path / str(devices) / "epoch-0002") for devices in (1, 2))
    rows = [
        json.loads((tmp_path / str(devices) / "epoch-0002" / "state.json").read_text())["rows"]
        for devices in (1, 2)
    ]
    for name in ("loss", "dice", "val_loss", "val_dice"):
        for a, b in zip(*rows, strict=True):
            assert a[name] == pytest.approx(b[name], rel=2e-3, abs=1e-4), name
    weights = [name for name in one if "optimizer" not in name]
    assert weights
    for name in weights:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-3, atol=2e-4, err_msg=name)
