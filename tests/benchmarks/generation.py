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
classifier has learnt from the same 70 %. Brains: trained on patients 07 and 19 for a fixed number
of epochs and tested on 26; the settings were chosen with 07 to learn from and 19 to judge by.
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
        # A fixed scale, which comes to the same before and after the images are made smaller.
        preprocessor="ct",
        window_hu=(127.5, 255.0),
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


def dcgan() -> None:
    """Conditional images of MedNIST."""
    from kmed.applications import dcgan_generator
    from kmed.tasks import synthesis

    settings = synthesis.Settings(
        name="dcgan",
        data=str(DATA / "mednist_subset"),
        duplicates="drop",
        size=(32, 32),
        network={"filters": 32},
        discriminator={"filters": 32},
        extractor="saved_models/classifier",
        average=0.99,
        epochs=120,
        constant=0.5,
        samples=48,
    )
    synthesis.train(dcgan_generator, settings, verbose=2)


def cyclegan() -> None:
    """T2 of CT and back, from phantoms of which each gives one modality."""
    from kmed.applications import cyclegan_generator
    from kmed.data import phantoms
    from kmed.tasks import translation

    root = phantoms("runs/cyclegan/phantoms", patients=80, seed=1, modalities=("ct", "t2"))
    settings = translation.Settings(
        name="cyclegan",
        algorithm="cyclegan",
        data=str(root),
        modalities=("ct", "t2"),
        loss="least_squares",
        window_hu=(40.0, 400.0),
        size=(64, 64),
        network={"blocks": 6, "filters": 32},
        discriminator={"filters": 32, "layers": 2},
        intensity={"t2": (0, 2700)},  # the 99th percentile of the training part
        identity_weight=0.0,  # a CT is no T2 that could stay as it is
        batch_size=2,
        epochs=14,
        every_mm=10.0,
        average=0.99,
    )
    run = translation.train(cyclegan_generator, settings, verbose=2)
    for split in ("ct-to-t2",):
        translation.evaluate(
            f"saved_models/cyclegan-{split}",
            root,
            output=f"runs/cyclegan/{split}",
            split_file="runs/cyclegan/split.json",
            segmenter="saved_models/organs",
        )
    print(run.metrics)


def pix2pix(*, adversarial: bool = True, name: str = "pix2pix") -> None:
    """T2 of T1."""
    from kmed.applications import pix2pix_generator
    from kmed.data import Split
    from kmed.data.translation_pairs import translation_source
    from kmed.tasks import translation

    data = DATA / "ms_lesion_mni"
    found = translation_source(data, modalities=("t1", "t2"), paired=True)
    of = {
        patient: tuple(s for s in found.samples if s.patient.startswith(f"patient{patient}"))
        for patient in ("07", "19", "26")
    }
    file = Path(f"runs/{name}.json")
    file.parent.mkdir(exist_ok=True)
    Split(train=of["07"] + of["19"], validation=(), test=of["26"], seed=None).save(file)
    settings = translation.Settings(
        name=name,
        data=str(data),
        modalities=("t1", "t2"),
        split_file=str(file),
        fit="pad",
        size=(160, 128),
        crop=(128, 128),
        network={"filters": 32, "levels": 5},
        discriminator={"filters": 32},
        batch_size=4,
        epochs=40,
        select="last",
        average=0.99,
        l1_weight=200.0,
        ssim_weight=100.0 if adversarial else 0.0,  # the baseline has the mean difference alone
        adversarial=adversarial,
    )
    translation.train(pix2pix_generator, settings, verbose=2)


def l1() -> None:
    """The same generator without a discriminator."""
    pix2pix(adversarial=False, name="l1")


STAGES = {stage.__name__: stage for stage in (classifier, dcgan, organs, cyclegan, pix2pix, l1)}

if __name__ == "__main__":
    STAGES[sys.argv[1]]()
