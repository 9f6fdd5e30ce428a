import contextlib
import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from kmed.applications import resnet18, vgg11
from kmed.data import DataError, LeakageError
from kmed.export import Bundle
from kmed.tasks.classification import Settings, train

SMALL = {"size": (16, 16), "network": {"width": 2, "stem": "small"}, "batch_size": 4}


def test_tells_discs_from_stripes(trained):
    run, _, said = trained
    assert run.metrics["all"]["auc"].value > 0.95
    assert [len(run.split.train), len(run.split.validation), len(run.split.test)] == [20, 8, 12]
    assert any("40 images of 40 patients, binary: disc, stripes" in line for line in said)


def test_leaves_what_it_says(trained):
    run, settings, _ = trained
    bundle, folder = run.bundle_path, settings.run_folder
    names = ["saved_model.pb", "model.keras", "model.tflite", "card.md", "card.json", "bundle.json"]
    assert all((bundle / name).is_file() for name in names)
    assert list((bundle / "explanations").glob("surest_right_answer_*.png"))
    for name in ("report.html", "metrics.json", "cases.csv", "log.csv", "split.json"):
        assert (folder / name).is_file(), name
    card = json.loads((bundle / "card.json").read_text())
    assert card["metrics"]["all auc"]["value"] == pytest.approx(run.metrics["all"]["auc"].value)
    agreement = json.loads((bundle / "agreement.json").read_text())
    assert set(agreement) == {"saved_model", "tflite"}
    assert {row["differing_voxels"] for row in agreement.values()} == {0}
    facts = json.loads((bundle / "bundle.json").read_text())
    assert facts["signature"] == "classify" and facts["metadata"]["task"] == "classification"


def test_nothing_that_is_shared_names_a_file(trained, folders):
    run, settings, _ = trained
    shared = [p for p in run.bundle_path.rglob("*") if p.is_file()]
    for path in [*shared, settings.run_folder / "report.html", settings.run_folder / "cases.csv"]:
        content = path.read_bytes()
        assert str(folders).encode() not in content, path
        assert b"disc01" not in content, path


def test_temperature_and_threshold_are_kept_in_the_bundle(trained):
    decoder = Bundle.load(trained[0].bundle_path).decoder
    assert decoder.kind == "binary" and decoder.temperature != 1.0
    assert len(decoder.thresholds) == 2


def test_finished_training_is_only_measured_again(trained, tmp_path):
    run, settings, _ = trained
    before = (settings.run_folder / "log.csv").read_text()
    again = train(resnet18, replace(settings, saved_models=str(tmp_path)), say=str, verbose=0)
    assert (settings.run_folder / "log.csv").read_text() == before
    assert again.metrics["all"]["accuracy"] == run.metrics["all"]["accuracy"]


def test_without_data_it_says_what_it_takes(tmp_path):
    with pytest.raises(DataError, match="a folder with one folder for each class"):
        train(resnet18, Settings(run_dir=str(tmp_path)), say=str)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel", "ordinal"])
def test_every_kind_of_label_walks_the_whole_road(kind, tmp_path):
    grades = [("none", "mild", "severe")[i % 3] for i in range(24)]
    columns = {"grade": grades}
    if kind == "multilabel":
        columns = {"disc": [1 - i % 2 for i in range(24)], "third": [i // 3 % 2 for i in range(24)]}
    data = _pictures().write_table(tmp_path / "data", columns)
    options = {"focal_gamma": 2.0} if kind == "multilabel" else {}
    if kind == "multiclass":
        options = {"mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1, "sampling": "balanced"}
    settings = Settings(
        data=str(data), kind=kind, epochs=2, steps_per_epoch=2, validation=0.25, test=0.25,
        labels=None if kind == "multilabel" else ("none", "mild", "severe"),
        run_dir=str(tmp_path / "run"), saved_models=str(tmp_path / "saved"), **SMALL, **options,
    )  # fmt: skip
    run = train(resnet18, settings, say=str, verbose=0)
    bundle = Bundle.load(run.bundle_path)
    assert bundle.decoder.kind == kind
    assert "all" in run.metrics and len(run.metrics) == len(bundle.labels) + 1


def test_volumes_are_classified_whole(tmp_path):
    from kmed.data import phantoms

    data = phantoms(tmp_path / "data", patients=12, shape=(8, 32, 32), modalities=("ct",))
    settings = Settings(
        data=str(data), preprocessor="ct", size=(8, 16, 16), network={"width": 2, "stem": "small"},
        batch_size=2, epochs=1, validation=0.25, test=0.25, run_dir=str(tmp_path / "run"),
        saved_models=str(tmp_path / "saved"),
    )  # fmt: skip
    run = train(resnet18, settings, say=str, verbose=0)
    assert (run.bundle_path / "model.tflite").is_file()
    wrong = replace(settings, size=(16, 16), run_dir=str(tmp_path / "flat"))
    with pytest.raises(DataError, match="a volume has one label"):
        train(resnet18, wrong, say=str, verbose=0)


def test_the_head_learns_first(folders, tmp_path):
    settings = Settings(
        data=str(folders), head_epochs=1, epochs=1, steps_per_epoch=2, class_weights=True,
        size=(32, 32), batch_size=4, weight_decay=1e-2, validation=0.2, test=0.3,
        network={"filters": (2, 2, 2, 2, 2), "dense_units": (4, 4)}, run_dir=str(tmp_path / "run"),
        saved_models=str(tmp_path / "saved"),
    )  # fmt: skip
    from kmed.tasks.classification import networks

    start = tmp_path / "start.weights.h5"
    networks.build(vgg11, settings, 1, 2, "binary").save_weights(start)
    settings = settings.replaced(network=settings.network | {"weights": str(start)})
    run = train(vgg11, settings, say=str, verbose=0)
    [head] = (settings.run_folder / "head").glob("epoch-*/model.weights.h5")
    before, after = _arrays(start), _arrays(head)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    # Keras numbers the three dense layers; the last is the one that gives the logits.
    assert changed == {"layers/dense_2/vars/0", "layers/dense_2/vars/1"}
    rows = (settings.run_folder / "report.html").read_text()
    assert run.metrics and "Training" in rows


def test_copies_in_two_parts_are_refused_or_left_out(folders, tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (30, 12, 12), dtype="uint8")
    labels = np.arange(30).reshape(-1, 1) % 2
    images[25] = images[3]
    file = tmp_path / "small.npz"
    np.savez(
        file, train_images=images[:16], train_labels=labels[:16], val_images=images[16:22],
        val_labels=labels[16:22], test_images=images[22:], test_labels=labels[22:],
    )  # fmt: skip
    settings = Settings(
        data=str(file), epochs=1, run_dir=str(tmp_path / "run"), saved_models=str(tmp_path / "s"),
        **SMALL,
    )  # fmt: skip
    with pytest.raises(LeakageError, match="(?s)train-000003.*duplicates=drop"):
        train(resnet18, settings, say=str, verbose=0)
    said = []
    run = train(resnet18, settings.replaced(duplicates="drop"), say=said.append, verbose=0)
    assert [len(p) for p in (run.split.train, run.split.validation, run.split.test)] == [15, 6, 8]
    assert any("left out 1 images" in line for line in said)


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
            data=data, epochs=2, steps_per_epoch=4, validation=0.2, test=0.3, devices=devices,
            run_dir=f"{folder}/{devices}", saved_models=f"{folder}/saved", **SMALL,
        )  # fmt: skip
        with contextlib.suppress(Enough):
            train(resnet18, settings, say=until_trained if devices == 1 else str, verbose=0)
    assert list(Path(folder, "saved").rglob("model.tflite"))


def test_two_devices_end_where_one_does(run_isolated, folders, tmp_path):
    run_isolated(on_one_and_two, str(folders), str(tmp_path))
    one, two = (
        _arrays(tmp_path / str(devices) / "epoch-0002" / "model.weights.h5") for devices in (1, 2)
    )
    weights = [name for name in one if "optimizer" not in name]
    assert weights
    for name in weights:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-3, atol=2e-4, err_msg=name)


def _arrays(path):
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset) and "optimizer" not in name:
            found[name] = item[()]

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def _pictures():
    """The conftest beside this file, whose writers of pictures take arguments."""
    spec = importlib.util.spec_from_file_location(
        "pictures", Path(__file__).with_name("conftest.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
