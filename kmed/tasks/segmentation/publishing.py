"""What a measured bundle leaves for people: report, table of cases, overlays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kmed.data import Sample
from kmed.export import Bundle, versions
from kmed.export.card import LIMITS
from kmed.results import montage, overlay, save_png, write_report
from kmed.tasks.records import metrics_json, write_csv, write_json
from kmed.tasks.segmentation.measuring import Measured, example_cases
from kmed.tasks.segmentation.whole_case import WholeCase

CARD_MEASURES = ("dice", "iou", "hd95_mm", "surface_dice")


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
    """Write report.html, metrics.json and cases.csv. Cases are numbered, not named.

    Args:
        bundle: what was measured.
        measured: the measures.
        folder: where the files go.
        title: of the report.
        facts: names and values for the report's head.
        log: rows of the training's log, for the curves.
        times: rows of `kmed.export.latency`.
        pictures_folder: for the pictures of the worst, the median and the best case.

    Returns:
        The report.
    """
    numbers = {id(case): i for i, case in enumerate(measured.cases, start=1)}
    pictures, segment = [], WholeCase(bundle)
    for what, case in example_cases(measured):
        picture = _picture(segment, case["sample"])
        pictures.append((f"{what} case ({numbers[id(case)]}), Dice {case['dice']:.3f}", picture))
        save_png((pictures_folder or folder / "overlays") / f"{what}.png", picture)
    cases = [case | {"name": f"case {numbers[id(case)]}"} for case in measured.cases]
    write_csv(folder / "cases.csv", [_case_row(case) for case in cases])
    write_json(folder / "metrics.json", metrics_json(measured.summary))
    return write_report(
        folder / "report.html",
        title=title,
        lead=_lead(measured),
        facts=facts | _measuring_facts(measured),
        metrics=measured.summary,
        cases=cases,
        pictures=pictures,
        curves=log,
        latency=times,
        limits=LIMITS,
        versions=versions(),
    )


def _picture(segment: WholeCase, sample: Sample) -> np.ndarray:
    arrays = sample.read()
    found = segment(arrays.image, arrays.spacing_mm).labels
    image = arrays.image if arrays.image.shape[-1] in (1, 3) else arrays.image[..., :1]
    # Three pictures stand in a row of the report; a montage has its whole width.
    draw, size = (overlay, 640) if found.ndim == 2 else (montage, 320)
    return draw(
        image,
        found,
        truth=arrays.mask,
        labels=segment.bundle.labels,
        spacing_mm=arrays.spacing_mm,
        window=segment.bundle.metadata.get("window_hu"),
        size=size,
    )


def _measuring_facts(measured: Measured) -> dict:
    facts = {"seconds per case": round(measured.seconds_per_case, 3)}
    if measured.in_pixels:
        # A distance in pixels under a heading of millimetres would be silently wrong.
        facts["spacing"] = "not stated by the files: 1 mm in the tables is 1 pixel"
    return facts | {"tolerance of the surface Dice": "2 mm"}


def _lead(measured: Measured) -> str:
    parts = [f"{name} {values['dice']}" for name, values in measured.summary.items()]
    return "Dice on cases that the network has not seen: " + "; ".join(parts) + "."


def _case_row(case: dict) -> dict:
    row = {"name": case["name"], "dice": case["dice"]}
    for name, values in case["classes"].items():
        row |= {f"{name} {measure}": values[measure] for measure in CARD_MEASURES}
    return row
