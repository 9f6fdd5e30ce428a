from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("disc", "stripes")


def picture(kind: str, seed: int, size: tuple[int, int] = (40, 36)) -> np.ndarray:
    """A bright disc or bright stripes on noise, 16 bits."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    if kind == "disc":
        centre = random.uniform(12, 24, 2)
        bright = np.hypot(rows - centre[0], columns - centre[1]) < random.uniform(6, 9)
    else:
        bright = (columns + random.integers(8)) % 8 < 4
    return (1000 + 100 * random.normal(size=size) + 800 * bright).astype("uint16")


def write_folders(root: Path, count: int = 20) -> Path:
    """One folder for each class."""
    for kind in CLASSES:
        (root / kind).mkdir(parents=True)
        for i in range(count):
            seed = i + 1000 * CLASSES.index(kind)
            Image.fromarray(picture(kind, seed)).save(root / kind / f"{kind}{i:02d}.png")
    return root


def write_table(root: Path, columns: dict[str, list], count: int = 24) -> Path:
    """Pictures of both kinds in turn, and a table of columns."""
    root.mkdir(parents=True)
    with open(root / "labels.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *columns])
        for i in range(count):
            Image.fromarray(picture(CLASSES[i % 2], i)).save(root / f"p{i:02d}.png")
            writer.writerow([f"p{i:02d}.png", *(values[i] for values in columns.values())])
    return root


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Path:
    return write_folders(tmp_path_factory.mktemp("pictures") / "kinds")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, folders):
    """A small ResNet, trained until it tells discs from stripes, and its run."""
    from kmed.applications import resnet18
    from kmed.tasks import classification

    folder = tmp_path_factory.mktemp("trained")
    settings = classification.Settings(
        name="kinds",
        data=str(folders),
        size=(24, 24),
        network={"width": 4, "stem": "small"},
        epochs=6,
        batch_size=8,
        learning_rate=1e-2,
        validation=0.2,
        test=0.3,
        run_dir=str(folder / "run"),
        saved_models=str(folder / "saved_models"),
    )
    said = []
    before = os.getcwd()
    os.chdir(folder)
    try:
        run = classification.train(resnet18, settings, say=said.append, verbose=0)
    finally:
        os.chdir(before)
    return run, settings, said
