"""A small training whose results the tests of synthesis share."""

import numpy as np
import pytest
from PIL import Image

from kmed.applications import dcgan_generator
from kmed.tasks.synthesis import Settings, train


@pytest.fixture(scope="package")
def shapes(tmp_path_factory):
    """A folder of pictures, a folder for each of two classes."""
    root = tmp_path_factory.mktemp("shapes")
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[:32, :32]
    for name, outline in (("disc", False), ("ring", True)):
        (root / name).mkdir()
        for number in range(24):
            center, radius = random.integers(13, 19, 2), random.integers(6, 11)
            distance = np.hypot(rows - center[0], columns - center[1])
            inside = abs(distance - radius) < 2 if outline else distance < radius
            picture = 30 + 180 * inside + random.normal(0, 5, (32, 32))
            picture = Image.fromarray(picture.clip(0, 255).astype("uint8"))
            picture.save(root / name / f"{name[0]}{number:02d}.png")
    return root


@pytest.fixture(scope="package")
def settings_of(tmp_path_factory):
    """Settings of a small training below a folder of its own."""

    def make(data, **options):
        root = tmp_path_factory.mktemp("training")
        return Settings(
            **{
                "data": str(data),
                "size": (32, 32),
                "latent": 8,
                "network": {"filters": 16},
                "discriminator": {"filters": 16},
                "batch_size": 8,
                "validation": 0.2,
                "test": 0.2,
                "generated": 40,
                "samples": 4,
                "average": 0.9,
                "run_dir": str(root / "run"),
                "saved_models": str(root / "saved_models"),
            }
            | options
        )

    return make


@pytest.fixture(scope="package")
def trained(shapes, settings_of):
    """The run, its settings and what was said."""
    settings = settings_of(shapes, name="shapes", epochs=2)
    said = []
    return train(dcgan_generator, settings, say=said.append, verbose=0), settings, said
