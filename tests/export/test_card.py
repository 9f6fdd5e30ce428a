"""Model cards: what they say, and what they refuse to carry."""

import json

import numpy as np
import pytest

from kmed.export.card import without_paths, write_card


def facts():
    return {
        "name": "lungs",
        "version": 2,
        "description": "Lung fields on chest radiographs.",
        "data": {
            "name": "phantoms",
            "fingerprint": "sha256:00ff",
            "patients": {"train": 8, "test": 4},
            "images": {"train": 80, "test": 41},
            "split_seed": 7,
        },
        "metrics": {"dice": (np.float32(0.9712), 0.96, 0.98), "hd95_mm": 4.25},
        "versions": {"keras": "3.15.1"},
        "seed": 5,
        "training": {"epochs": 12},
        "command": "kmed train unet --data=/home/jane/doe^john --epochs 12",
    }


def test_card_says_everything(tmp_path):
    path = write_card(tmp_path, facts())
    text = path.read_text()
    for words in (
        "# lungs, version 2",
        "Not a medical device",
        "a person has to look at every result",
        "- fingerprint: sha256:00ff",
        "|  | train | test |",
        "| patients | 8 | 4 |",
        "| images | 80 | 41 |",
        "| dice | 0.9712 | 0.96 to 0.98 |",
        "| hd95_mm | 4.25 |  |",
        "- seed: 5",
        "- training: epochs 12",
        "- versions: keras 3.15.1",
        "- command: `kmed train unet --data=PATH --epochs 12`",
    ):
        assert words in text
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["metrics"]["dice"]["low"] == 0.96
    assert "jane" not in text + json.dumps(card)


def test_an_empty_card_still_says_what_it_is_not_for(tmp_path):
    assert "Not a medical device" in write_card(tmp_path, {}).read_text()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"files": ["a.dcm"]}, "no place for files"),
        ({"data": {"patient_ids": ["17"]}}, "no place for data.patient_ids"),
        ({"data": {"patients": {"train": ["17", "18"]}}}, "a number for each split"),
        ({"metrics": {"dice": (1, 2)}}, r"value or \(value, low, high\)"),
    ],
)
def test_other_facts_are_refused(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_card(tmp_path, wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("kmed train unet --lr=1e-3", "kmed train unet --lr=1e-3"),
        ("python applications/unet.py ~/x", "python applications/unet.py PATH"),
        ("kmed predict doe.nii.gz C:\\scans\\doe", "kmed predict PATH PATH"),
        ("python /home/jane/unet.py", "python PATH"),
    ],
)
def test_commands_lose_their_paths(command, expected):
    assert without_paths(command) == expected
