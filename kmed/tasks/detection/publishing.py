"""What a measured detector leaves for people: report, pictures, table of boxes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kmed.export import Bundle, versions
from kmed.export.card import LIMITS
from kmed.metrics import matched
from kmed.results import (
    detection_precision_figure,
    draw_boxes,
    froc_figure,
    save_png,
    worst_cases,
    worst_sheet,
    write_coco_json,
    write_detections_csv,
    write_report,
)
from kmed.tasks.detection.measuring import Measured, shown
from kmed.tasks.records import metrics_json, write_json

CARD_MEASURES = ("ap50", "ap", "froc", "sensitivity", "precision")
_SHOWN = 6  # images with their boxes in the report
_WORST = 12


def write_measures(
    bundle: Bundle,
    measured: Measured,
    folder: Path,
    *,
    title: str,
    facts: dict,
    log: Sequence[dict] | None = None,
    times: Sequence[dict] | None = None,
    pictures_folder: Path | None = None,
) -> Path:
    """Write report.html, metrics.json, the boxes found, and pictures. Images are numbered.

    Args:
        bundle: what was measured.
        measured: the measures.
        folder: where the files go: boxes.json (COCO) and boxes.csv hold every box of every score.
        title: of the report.
        facts: names and values for the report's head.
        log: rows of the training's log, for the curves.
        times: rows of `kmed.export.latency`.
        pictures_folder: for the pictures; by default pictures within the folder.

    Returns:
        The report.
    """
    pictures = _pictures(bundle, measured)
    for i, (_, picture) in enumerate(pictures, start=1):
        save_png((pictures_folder or folder / "pictures") / f"{i:02d}.png", picture)
    rows = [
        {"name": f"image {i}", "height": image.shape[0], "width": image.shape[1]} | found
        for i, (image, found) in enumerate(_images(measured), start=1)
    ]
    write_coco_json(folder / "boxes.json", rows, bundle.labels)
    write_detections_csv(folder / "boxes.csv", rows, bundle.labels)
    write_json(folder / "metrics.json", metrics_json(measured.summary))
    scores = bundle.metadata.get("shown_from", {})
    return write_report(
        folder / "report.html",
        title=title,
        lead=_lead(measured),
        facts=facts
        | {"seconds per image": round(measured.seconds_per_case, 4)}
        | {f"score from which a {n} is shown, from validation": s for n, s in scores.items()},
        metrics=measured.summary,
        pictures=pictures,
        curves=log,
        figures=_figures(bundle, measured),
        latency=times,
        limits=LIMITS,
        versions=versions(),
    )


def _images(measured):
    # One image in memory at a time.
    for sample, found in zip(measured.samples, measured.found, strict=True):
        yield sample.read().image, found


def _pictures(bundle, measured) -> list[tuple[str, np.ndarray]]:
    count = len(measured.samples)
    visible = [shown(bundle, found) for found in measured.found]
    pictures = []
    for i in np.unique(np.linspace(0, count - 1, min(_SHOWN, count)).round().astype(int)):
        drawn = draw_boxes(
            measured.samples[i].read().image,
            found=visible[i],
            truth=measured.truth[i],
            labels=bundle.labels,
        )
        pictures.append((f"image {i + 1}: boxes found, and dashed the reference's", drawn))
    matches = matched(measured.truth, visible)
    false, missed = worst_cases(measured.truth, visible, matches, _WORST)
    for caption, cases in (
        ("false positives of the highest scores", false),
        ("missed objects, the largest first", missed),
    ):
        if cases:
            images = {one.image: measured.samples[one.image].read().image for one in cases}
            sheet = worst_sheet(
                images, measured.truth, visible, matches, cases, labels=bundle.labels
            )
            pictures.append((caption, sheet))
    return pictures


def _figures(bundle, measured):
    scores = bundle.metadata.get("shown_from", {})
    options = {"threshold": [scores.get(n, 0.5) for n in bundle.labels]}
    arguments = (measured.truth, measured.found, bundle.labels)
    return [
        (
            "Precision over sensitivity",
            detection_precision_figure(*arguments, report=measured.summary, **options),
        ),
        ("Free-response ROC", froc_figure(*arguments, report=measured.summary, **options)),
    ]


def _lead(measured: Measured) -> str:
    overall = measured.summary["all"]
    return (
        "On images that the network has not seen: average precision at an overlap of one half "
        f"{overall['ap50']}; sensitivity, averaged over 1/8 to 8 false positives per image, "
        f"{overall['froc']}."
    )
