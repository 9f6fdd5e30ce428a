"""The trainings behind the README's table of results.

    KMED_TEST_DATA=FOLDER python tests/benchmarks/measured.py lungs|lungs-short|hippocampus|isbi2012

FOLDER/data holds the public sets as `cxr_lung_masks` (Montgomery and Shenzhen radiographs with lung
masks, images/ and masks/), `msd_hippocampus` (Medical Segmentation Decathlon, Task04) and
`isbi2012_em` (image/ and label/). Every fifth image by name is the test set, and one in twenty of
the others chooses the best epoch; nothing is tuned on the test set. The result is in
runs/NAME/metrics.json and runs/NAME/report.html.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from kmed.applications import unet
from kmed.data import Sample, Split, discover
from kmed.export import Bundle
from kmed.metrics import best_rand_score, pixel_error, segments
from kmed.tasks import segmentation
from kmed.tasks.segmentation import Settings, WholeCase

LUNGS = Settings(
    name="lungs",
    data="cxr_lung_masks",
    labels=("background", "lung"),
    preprocessor="xray",
    size=(256, 256),
    network={"filters": (16, 32, 64, 128, 256, 512)},
    learning_rate=2e-3,
    flip="horizontal",
    epochs=26,
)
TRAININGS = {
    "lungs": LUNGS,
    "lungs-short": LUNGS.replaced(
        name="lungs-short",
        network={"filters": (16, 32, 64, 128, 256)},
        augment=0.7,
        flip="none",
        epochs=8,
    ),
    "hippocampus": Settings(
        name="hippocampus",
        data="msd_hippocampus",
        labels=("background", "anterior", "posterior"),
        preprocessor="mr",
        size=(40, 56, 40),
        network={"filters": (16, 32, 64, 128)},
        batch_size=4,
        learning_rate=2e-3,
        flip="horizontal",
        foreground=1.0,
        epochs=24,
    ),
    "isbi2012": Settings(
        name="isbi2012",
        data="isbi2012_em",
        labels=("membrane", "cell"),
        preprocessor="xray",
        size=(572, 572),
        fit="patch",
        network={"filters": (16, 32, 64, 128, 256), "padding": "valid", "normalization": None},
        loss="border_weighted",
        batch_size=1,
        steps_per_epoch=48,
        learning_rate=1e-3,
        foreground=0.0,
        epochs=40,
    ),
}


def split_by_name(samples: list[Sample]) -> Split:
    """Every fifth image by name to test, one in twenty of the others to choose the best epoch."""
    ordered = sorted(samples, key=lambda sample: sample.id)
    rest = [sample for i, sample in enumerate(ordered) if i % 5]
    return Split(
        train=tuple(sample for i, sample in enumerate(rest) if i % 20),
        validation=tuple(rest[::20]),
        test=tuple(ordered[::5]),
    )


def membranes(run: segmentation.Run) -> None:
    """Print the pixel error and the Rand score of the cells (Arganda-Carreras et al. 2015)."""
    segment = WholeCase(Bundle.load(run.bundle_path))
    cases = [sample.read() for sample in run.split.test]
    found = [segment(case.image, case.spacing_mm, probabilities=True) for case in cases]
    errors = [pixel_error(c.mask, f.labels) for c, f in zip(cases, found, strict=True)]
    truth = segments(np.stack([case.mask > 0 for case in cases]), planes=True)
    inside = np.stack([one.probabilities[..., 1] for one in found])
    half, _ = best_rand_score(truth, inside, thresholds=(0.5,))
    best, threshold = best_rand_score(truth, inside)
    print(
        f"pixel error {np.mean(errors):.4f}; Rand score {half:.4f} at threshold 0.5, {best:.4f} at "
        f"{threshold}, the best of nine as the challenge took it"
    )


def main() -> None:
    name = sys.argv[1] if len(sys.argv) == 2 else ""
    if name not in TRAININGS or "KMED_TEST_DATA" not in os.environ:
        sys.exit(__doc__)
    settings = TRAININGS[name]
    root = Path(os.environ["KMED_TEST_DATA"]) / "data" / settings.data
    settings = settings.replaced(data=str(root), split_file=f"runs/{name}-split.json")
    Path("runs").mkdir(exist_ok=True)
    split_by_name(discover(root, classes=len(settings.labels))).save(settings.split_file)
    run = segmentation.train(unet, settings, verbose=2)
    metrics = json.loads((settings.run_folder / "metrics.json").read_text())
    for label, measures in metrics.items():
        rows = {k: [round(v[n], 4) for n in ("value", "low", "high")] for k, v in measures.items()
                if None not in v.values()}  # fmt: skip
        print(label, rows)
    if name == "isbi2012":
        membranes(run)


if __name__ == "__main__":
    main()
