"""Small trainings whose results the tests of translation share."""

import numpy as np
import pytest

from kmed.applications import cyclegan_generator, pix2pix_generator
from kmed.data.nifti import write_nifti
from kmed.tasks.translation import Settings, train


@pytest.fixture(scope="package")
def brains(tmp_path_factory):
    """Volumes of two modalities: t2 is dark where t1 is bright, within a ball of tissue."""
    root = tmp_path_factory.mktemp("brains")
    random = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in (6, 32, 32)), indexing="ij")
    for number in range(6):
        inside = sum(axis**2 for axis in axes) < random.uniform(0.6, 0.9)
        tissue = 100 + 60 * np.sin(4 * axes[2] + random.uniform(0, 6)) * (axes[1] > 0)
        t1 = np.where(inside, tissue + random.normal(0, 2, inside.shape), 0)
        t2 = np.where(inside, 250 - tissue, 0)
        affine = np.diag([1.0, 1.0, 3.0, 1.0])[[0, 1, 2, 3]][:, [2, 1, 0, 3]]
        for name, volume in (("t1", t1), ("t2", t2)):
            array = volume.round().clip(0, 255).astype("int16")
            write_nifti(root / f"p{number}_{name}.nii.gz", array, affine)
    return root


@pytest.fixture(scope="package")
def settings_of(tmp_path_factory):
    """Settings of a small training below a folder of its own."""

    def make(data, **options):
        root = tmp_path_factory.mktemp("training")
        return Settings(
            **{
                "data": str(data),
                "modalities": ("t1", "t2"),
                "size": (32, 32),
                "discriminator": {"filters": 16, "layers": 1},
                "batch_size": 4,
                "validation": 0.2,
                "test": 0.3,
                "samples": 3,
                "average": None,
                "run_dir": str(root / "run"),
                "saved_models": str(root / "saved_models"),
            }
            | options
        )

    return make


@pytest.fixture(scope="package")
def trained(brains, settings_of):
    """The run, its settings and what was said, of Pix2Pix."""
    settings = settings_of(
        brains, name="t1t2", epochs=3, fit="pad",
        learning_rate=3e-3,
        network={"filters": 16, "levels": 3, "dropout": 0.0, "normalization": "instance"},
    )  # fmt: skip
    said = []
    return train(pix2pix_generator, settings, say=said.append, verbose=0), settings, said


@pytest.fixture(scope="package")
def unpaired(brains, settings_of):
    """The run, its settings and what was said, of CycleGAN."""
    settings = settings_of(
        brains, name="both", algorithm="cyclegan", loss="least_squares", epochs=1,
        steps_per_epoch=2, network={"filters": 16, "blocks": 1},
    )  # fmt: skip
    said = []
    return train(cyclegan_generator, settings, say=said.append, verbose=0), settings, said
