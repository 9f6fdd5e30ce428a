"""The translations and syntheses behind the README's table of results.

    KMED_TEST_DATA=FOLDER python tests/benchmarks/generation.py NAME

NAME is one of
- classifier: a ResNet-18 of MedNIST's classes, whose features and answers judge `dcgan`;
- dcgan: conditional images of MedNIST at 32x32, after `classifier`;
- organs: a U-Net of T2 phantoms, which judges `cyclegan`;
- cyclegan: T2 of CT and back, phantoms, unpaired, after `organs`;
- pix2pix: T2 of T1, the brains of `ms_lesion_mni`, with a discriminator;
- l1: the same generator by the mean absolute difference alone.
FOLDER/data holds `mednist_subset` (a folder for each class) and `ms_lesion_mni`. The result is in
runs/NAME; `tests/benchmarks/translation.py` compares `pix2pix` and `l1` with the source itself.

MedNIST: the split is drawn by image, 70 % to train, 10 % to choose the epoch, 20 % to test; the
classifier has learnt from the same 70 %. Brains: the epoch is chosen on patient 19, patients 07 and
26 are trained on and tested by turns... of three patients, `pix2pix` trains on two.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

DATA = Path(os.environ.get("KMED_TEST_DATA", ".")) / "data"


def classifier() -> None:
    """MedNIST's classes."""
    from kmed.applications import resnet18
    from kmed.tasks import classification

    settings = classification.Settings(
        name="classifier",
        data=str(DATA / "mednist_subset"),
        duplicates="drop",
        size=(32, 32),
        network={"width": 32, "stem": "small"},
        preprocessor="xray",
        batch_size=32,
        epochs=8,
        flip="none",
        augment=0.5,
    )
    classification.train(resnet18, settings, verbose=2)


def organs() -> None:
    """Organs in T2 phantoms; other patients than `cyclegan`'s."""
    from kmed.applications import unet
    from kmed.tasks import segmentation

    settings = segmentation.Settings(
        name="organs",
        modality="t2",
        patients=60,
        seed=100,
        preprocessor="mr",
        size=(64, 64),
        network={"filters": (16, 32, 64, 128)},
        batch_size=16,
        epochs=8,
        learning_rate=2e-3,
    )
    segmentation.train(unet, settings, verbose=2)


STAGES = {stage.__name__: stage for stage in (classifier, organs)}

if __name__ == "__main__":
    STAGES[sys.argv[1]]()
