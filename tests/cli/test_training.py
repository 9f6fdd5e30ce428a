"""demo, list and train: what is typed arrives in the task's flow."""

from __future__ import annotations

import dataclasses

import pytest

from kmed import catalog
from kmed.tasks.segmentation import Settings


def trained(task):
    (call,) = task.calls
    return call.arguments[1]


def test_train_without_options_is_the_row_of_the_catalogue(task, run):
    result = run("train", "unet")
    row = catalog.find("unet")
    assert result.exit_code == 0, result.output
    assert task.calls[0].arguments == (row.builder, Settings(**row.settings))
    assert "no --data: makes phantom studies" in result.stdout
    assert "0.912 [0.894, 0.927]" in result.stdout
    assert "4.200, 2 not finite" in result.stdout
    assert "bundle: saved_models/x/1" in result.stdout
    assert "report: runs/x/report.html" in result.stdout


def test_every_option_of_train_arrives(task, run, folder):
    split = folder / "split.json"
    split.write_text("{}")
    options = ["--data", folder / "data", "--labels", "background,liver", "--size", "64,32"]
    options += ["--preprocessor", "mr", "--epochs", 3, "--batch-size", 2, "--learning-rate", "2e-4"]
    options += ["--seed", 5, "--devices", 1, "--name", "2024", "--run-dir", folder / "run"]
    options += ["--split-file", split, "--fresh", "--set", "loss=dice", "--set", "patience=4"]
    result = run("train", "unet", *options)
    assert result.exit_code == 0, result.output
    expected = Settings(
        **catalog.find("unet").settings
        | {
            "data": str(folder / "data"),
            "labels": ("background", "liver"),
            "size": (64, 32),
            "preprocessor": "mr",
            "epochs": 3,
            "batch_size": 2,
            "learning_rate": 2e-4,
            "seed": 5,
            "devices": 1,
            "name": "2024",
            "run_dir": str(folder / "run"),
            "split_file": str(split),
            "resume": False,
            "loss": "dice",
            "patience": 4,
        }
    )
    assert trained(task) == expected
    assert "phantom" not in result.stdout


def test_three_sizes_make_a_3d_training(task, run):
    run("train", "unet", "--size", "16,32,32")
    assert (trained(task).size, trained(task).fit) == ((16, 32, 32), "patch")


def test_set_merges_into_the_networks_arguments(task, run):
    run("train", "unet", "--set", "network.filters=8,16", "--set", "network.dropout=0.1")
    assert trained(task).network == {"filters": (8, 16), "dropout": 0.1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nosuch"], "the catalogue has no 'nosuch'; it has unet"),
        (["unet", "--set", "epoch=3"], "did you mean epochs"),
        (["unet", "--set", "network.padded=1"], "did you mean padding"),
        (["unet", "--set", "patience=soon"], "`patience` takes int | None; received 'soon'"),
        (["unet", "--size", "64"], "`size`"),
        (["unet", "--batch-size", "0"], "`batch_size`"),
    ],
)
def test_wrong_settings_are_one_message(task, run, options, message):
    result = run("train", *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not task.calls


def test_data_that_is_not_there_is_refused_at_once(task, run, folder):
    result = run("train", "unet", "--data", folder / "nowhere")
    assert result.exit_code == 2
    assert "does not exist" in " ".join(result.stderr.replace("│", " ").split())


def test_demo_leaves_its_defaults_to_the_task(task, run, folder):
    result = run("demo", folder / "d")
    assert result.exit_code == 0, result.output
    assert task.calls[0].arguments == (folder / "d",)
    assert task.calls[0].options == {}
    assert "report: d/report.html" in result.stdout


def test_demo_takes_patients_epochs_and_a_seed(task, run):
    run("demo", "--patients", 6, "--epochs", 2, "--seed", 1)
    assert task.calls[0].options == {"patients": 6, "epochs": 2, "seed": 1}


def test_list_shows_the_catalogue(run):
    result = run("list")
    assert result.exit_code == 0, result.output
    for row in catalog.CATALOG.values():
        assert row.name in result.stdout
    assert "segmentation" in result.stdout
    assert "Ronneberger" in result.stdout


def test_list_of_one_shows_every_setting(run):
    result = run("list", "unet")
    assert result.exit_code == 0, result.output
    for field in dataclasses.fields(Settings):
        assert field.name in result.stdout
    assert "dice_cross_entropy" in result.stdout
    assert run("list", "nosuch").exit_code == 2
