from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def write_pictures(root: Path, count: int = 12, size: tuple[int, int] = (40, 36)) -> Path:
    """Bright discs on noise, with their masks (0 and 255), as 16 bit pictures."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    rows, columns = np.mgrid[: size[0], : size[1]]
    for i in range(count):
        random = np.random.default_rng(i)
        centre = random.uniform(12, 24, 2)
        disc = np.hypot(rows - centre[0], columns - centre[1]) < random.uniform(6, 10)
        image = 1000 + 100 * random.normal(size=size) + 800 * disc
        Image.fromarray(image.astype("uint16")).save(root / "images" / f"p{i:02d}.png")
        Image.fromarray((255 * disc).astype("uint8")).save(root / "masks" / f"p{i:02d}.png")
    return root


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures") / "discs")


@pytest.fixture(scope="session")
def trained(tmp_path_factory, pictures):
    """A small U-Net, trained on the discs until it finds them, and its run."""
    from kmed.applications import unet
    from kmed.tasks import segmentation

    folder = tmp_path_factory.mktemp("trained")
    settings = segmentation.Settings(
        name="discs",
        data=str(pictures),
        labels=("background", "disc"),
        preprocessor="xray",
        size=(32, 32),
        network={"filters": (8, 16)},
        epochs=6,
        batch_size=4,
        steps_per_epoch=8,
        learning_rate=1e-2,
        run_dir=str(folder / "run"),
        saved_models=str(folder / "saved_models"),
    )
    said = []
    before = os.getcwd()
    os.chdir(folder)
    try:
        run = segmentation.train(unet, settings, say=said.append, verbose=0)
    finally:
        os.chdir(before)
    return run, settings, said
