"""The trainings behind the README's table of results.

    KMED_TEST_DATA=FOLDER python tests/benchmarks/measured.py NAME [SEED]

NAME is lungs, lungs-short, lungs-fcn8s, lungs-segnet, hippocampus, isbi2012, pneumonia-resnet18,
pneumonia-alexnet, pneumonia-vgg16, mednist, tuberculosis, bccd-ssd, bccd-yolov3 or
bccd-faster-rcnn. FOLDER/data holds the public sets as `cxr_lung_masks` (Montgomery and Shenzhen
radiographs with lung masks, images/ and masks/; a name's last character tells tuberculosis),
`msd_hippocampus` (Medical Segmentation Decathlon, Task04), `isbi2012_em` (image/ and label/),
`pneumoniamnist` (MedMNIST), `mednist_subset` (a folder for each class) and `bccd` (blood cells,
Pascal VOC). PneumoniaMNIST and BCCD have their own parts; of the others every fifth image by name
is the test set, and one in twenty of the rest (in ten for labels) chooses the best epoch; nothing
is tuned on the test set. The result is in runs/NAME/metrics.json and runs/NAME/report.html.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from kmed.applications import (
    alexnet,
    faster_rcnn,
    fcn8s,
    resnet18,
    segnet,
    ssd,
    unet,
    vgg16,
    yolov3,
)
from kmed.data import Sample, Split, discover, labelled
from kmed.export import Bundle
from kmed.metrics import best_rand_score, pixel_error, segments
from kmed.tasks import classification, detection, segmentation
from kmed.tasks.runs import Run
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
PNEUMONIA = classification.Settings(
    name="pneumonia-resnet18",
    data="pneumoniamnist/pneumoniamnist_modtrain.npz",
    labels=("normal", "pneumonia"),
    duplicates="drop",
    size=(28, 28),
    network={"stem": "small"},
    batch_size=64,
    epochs=12,
    learning_rate=1e-3,
    weight_decay=1e-2,
    sampling="balanced",
    label_smoothing=0.1,
)
CELLS = detection.Settings(
    name="bccd-ssd",
    data="bccd",
    fix=True,  # two boxes of one pixel
    preprocessor="rgb",
    size=(240, 320),
    flip="all",
    batch_size=8,
    epochs=250,
    learning_rate=1e-3,
    network={"backbone_options": {"width": 24}, "extra_filters": (128,)},
    codec={"scales": (0.09, 0.18, 0.32, 0.5, 0.7)},
    # rgb() gives -1 to 1: so large a shift of brightness leaves contrast alone to learn from.
    augmentation={"zoom_out": 1.5, "crop_probability": 0.7, "brightness": 12.0},
)
CELLS_OF_YOLO = CELLS.replaced(
    name="bccd-yolov3",
    detector="yolov3",
    size=(256, 320),
    fit="letterbox",
    epochs=170,
    anchors="data",
    network={
        "backbone": "resnet18",
        "backbone_options": {"width": 24},
        "width": 8,
        "objectness_prior": 0.01,
    },
    codec={},
    augmentation={"jitter": 0.2, "scale": (0.7, 1.4)},
)
CELLS_OF_FASTER_RCNN = CELLS.replaced(
    name="bccd-faster-rcnn",
    detector="faster_rcnn",
    batch_size=4,
    epochs=60,
    network={
        "backbone": "resnet18",
        "backbone_options": {"width": 16},
        "pyramid_channels": 64,
        "head_units": 128,
        "anchor_sizes": (20, 40, 64, 110, 160),
        "proposals_before": 300,
        "proposals": 150,
        "canonical_size": 112.0,
    },
    codec={},
    loss={"proposals_before": 300, "proposals": 200, "rois": 64, "anchors": 128},
    augmentation={"zoom_out": 1.5, "crop": "ssd", "crop_probability": 0.5},
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
    "lungs-fcn8s": LUNGS.replaced(
        name="lungs-fcn8s",
        network={
            "backbone_options": {"filters": (16, 32, 64, 128, 128), "normalization": "batch"},
            "head_units": (256, 256),
        },
        learning_rate=1e-3,
        augment=0.7,
        flip="none",
        epochs=16,
    ),
    "lungs-segnet": LUNGS.replaced(
        name="lungs-segnet",
        network={"filters": (16, 32, 64, 128, 128)},
        augment=0.7,
        flip="none",
        epochs=9,
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
    "pneumonia-resnet18": PNEUMONIA,
    "pneumonia-alexnet": PNEUMONIA.replaced(
        name="pneumonia-alexnet",
        size=(64, 64),
        network={"dense_units": (512, 512)},
        learning_rate=3e-4,
    ),
    "pneumonia-vgg16": PNEUMONIA.replaced(
        name="pneumonia-vgg16",
        size=(32, 32),
        network={"dense_units": (512, 512), "pooled_size": 1, "normalization": "batch"},
        learning_rate=3e-4,
    ),
    "bccd-ssd": CELLS,
    "bccd-yolov3": CELLS_OF_YOLO,
    "bccd-faster-rcnn": CELLS_OF_FASTER_RCNN,
    "mednist": classification.Settings(
        name="mednist",
        data="mednist_subset",
        duplicates="drop",
        size=(64, 64),
        network={"width": 32},
        batch_size=32,
        epochs=8,
        flip="none",
        augment=0.5,
    ),
    "tuberculosis": classification.Settings(
        name="tuberculosis",
        data="cxr_lung_masks/images",
        labels=("0", "1"),
        label=r"_(\d)$",
        size=(128, 128),
        batch_size=16,
        epochs=25,
        learning_rate=5e-4,
        weight_decay=1e-2,
        label_smoothing=0.1,
    ),
}
BUILDERS = {  # the others are U-Nets
    "bccd-ssd": ssd,
    "bccd-yolov3": yolov3,
    "bccd-faster-rcnn": faster_rcnn,
    "lungs-fcn8s": fcn8s,
    "lungs-segnet": segnet,
    "pneumonia-resnet18": resnet18,
    "pneumonia-alexnet": alexnet,
    "pneumonia-vgg16": vgg16,
    "mednist": resnet18,
    "tuberculosis": resnet18,
}


def split_by_name(samples: list[Sample], one_in: int) -> Split:
    """Every fifth image by name to test, one in so many of the others to choose the best epoch."""
    ordered = sorted(samples, key=lambda sample: sample.id)
    rest = [sample for i, sample in enumerate(ordered) if i % 5]
    return Split(
        train=tuple(sample for i, sample in enumerate(rest) if i % one_in),
        validation=tuple(rest[::one_in]),
        test=tuple(ordered[::5]),
    )


def membranes(run: Run) -> None:
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
    name = sys.argv[1] if len(sys.argv) in (2, 3) else ""
    if name not in TRAININGS or "KMED_TEST_DATA" not in os.environ:
        sys.exit(__doc__)
    settings = TRAININGS[name]
    task = {
        Settings: segmentation,
        classification.Settings: classification,
        detection.Settings: detection,
    }[type(settings)]
    if len(sys.argv) == 3:
        settings = settings.replaced(name=f"{name}-{sys.argv[2]}", seed=int(sys.argv[2]))
    root = Path(os.environ["KMED_TEST_DATA"]) / "data" / settings.data
    settings = settings.replaced(data=str(root))
    Path("runs").mkdir(exist_ok=True)
    if root.suffix != ".npz" and task is not detection:
        settings = settings.replaced(split_file=f"runs/{name}-split.json")
        if task is segmentation:
            samples = discover(root, classes=len(settings.labels))
        else:
            samples = labelled(root, label=settings.label).samples
        one_in = 20 if task is segmentation else 10
        split_by_name(samples, one_in).save(settings.split_file)
    run = task.train(BUILDERS.get(name, unet), settings, verbose=2)
    metrics = json.loads((settings.run_folder / "metrics.json").read_text())
    for label, measures in metrics.items():
        rows = {k: [round(v[n], 4) for n in ("value", "low", "high")] for k, v in measures.items()
                if None not in v.values()}  # fmt: skip
        print(label, rows)
    if name == "isbi2012":
        membranes(run)


if __name__ == "__main__":
    main()
