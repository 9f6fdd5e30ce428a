"""The report of a measured model: one HTML file that needs nothing else to be read or printed."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from kmed.data.atomic import write_bytes
from kmed.metrics import Interval
from kmed.results.curves import training_curves
from kmed.results.measures import DICE, HD95, columns, groups, number
from kmed.results.overlay import encode_png

#: Rows of the table of cases.
CASES = 50


def write_report(
    path: str | Path,
    *,
    title: str,
    lead: str,
    facts: Mapping[str, str | float],
    metrics: Mapping[str, Mapping[str, Interval]],
    cases: Sequence[Mapping[str, Any]] = (),
    pictures: Sequence[tuple[str, np.ndarray]] = (),
    curves: Sequence[Mapping[str, Any]] | None = None,
    figures: Sequence[tuple[str, str]] = (),
    latency: Sequence[Mapping[str, Any]] | None = None,
    limits: str = "",
    versions: Mapping[str, str] | None = None,
) -> Path:
    """Writes what was measured as one HTML file: no network, no scripts, light, dark and on paper.

    It says nothing that it is not told: whether a case's name may be shown is the caller's choice.

    Args:
        path: the file; missing folders are made.
        title: of the report.
        lead: one or two sentences below it.
        facts: names and values: of the data, of the training.
        metrics: `{class: {measure: Interval}}`, as `kmed.metrics.summarize` or
            `kmed.metrics.classification_report` gives it. Entries with the same measures share a
            table.
        cases: for each case `name`, `dice` (mean over its classes) and `classes`
            (`{class: {measure: value}}`, as `kmed.metrics.segmentation_report` gives it). The
            table has the 50 worst and says so.
        pictures: captions and `(H, W, 3)` uint8 pictures.
        curves: rows of the training's log, as `training_curves` takes them.
        figures: captions and `<svg>` elements, as `kmed.results.classification_curves` draws them.
        latency: rows of one quantity per column, as `kmed.export.latency` gives them.
        limits: what the model is not for.
        versions: of the libraries.

    Returns:
        The path.
    """
    content = {
        "title": title,
        "lead": lead,
        "facts": {name: _plain(value) for name, value in facts.items()},
        "tables": [_table({name: metrics[name] for name in g}, cases) for g in groups(metrics)],
        "patients": max((i.n for m in metrics.values() for i in m.values()), default=0),
        "cases": _case_table(cases),
        "pictures": [_picture(caption, rgb) for caption, rgb in pictures],
        "curves": training_curves(curves) if curves else "",
        "figures": list(figures),
        "latency": _latency_table(latency or ()),
        "limits": limits,
        "versions": dict(versions or {}),
    }
    source = resources.files("kmed.results").joinpath("report.html.jinja").read_text("utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.from_string(source).render(content)
    return write_bytes(path, html.encode("utf-8"))


def _table(metrics, cases):
    measures, axis_from = columns(list(metrics.values())), _axis_start(metrics, cases)
    return {
        "measures": measures,
        "rows": [_metric_row(name, metrics[name], measures, cases, axis_from) for name in metrics],
        "strips": DICE in measures,
        "axis_from": f"{axis_from:g}",
        "omitted": any(i.omitted for m in metrics.values() for i in m.values()),
    }


def _metric_row(name, values, measures, cases, axis_from):
    cells = []
    for measure in measures:
        interval = values.get(measure.key)
        if interval is None:
            cells.append({"value": "", "limits": "", "omitted": 0})
            continue
        known = math.isfinite(interval.low) and math.isfinite(interval.high)
        cells.append(
            {
                "value": number(interval.value, measure),
                "limits": f"{number(interval.low, measure)} to {number(interval.high, measure)}"
                if known
                else "",
                "omitted": interval.omitted,
            }
        )
    summary = {"mean": "Mean of the classes"}
    if "accuracy" in values:  # of a classifier's classes together
        summary["all"] = "All classes"
    return {
        "name": summary.get(name, name),
        "mean": name in summary,
        "cells": cells,
        "strip": _strip(_dice_of(name, cases), values.get("dice"), axis_from),
    }


def _dice_of(name, cases) -> list[float]:
    """Dice of each case for a class, or for the mean over the classes."""
    if name == "mean":
        return [float(case["dice"]) for case in cases]
    return [float(case["classes"][name]["dice"]) for case in cases if name in case["classes"]]


def _axis_start(metrics, cases) -> float:
    """Where the axis of Dice begins: a round number below all dots, as 1 is where it ends."""
    lowest = [value for name in metrics for value in _dice_of(name, cases)]
    lowest += [m["dice"].low for m in metrics.values() if "dice" in m]
    lowest = min((value for value in lowest if math.isfinite(value)), default=0.0)
    return next((start for start in (0.9, 0.8, 0.6, 0.5) if lowest >= start), 0.0)


def _strip(values, interval, axis_from):
    """Places, in percent of the axis, of every case's dot, of the mean and of its interval."""
    if interval is None or not math.isfinite(interval.value):
        return None

    def place(value):
        return round(100 * (min(max(value, axis_from), 1) - axis_from) / (1 - axis_from), 2)

    # The golden ratio spreads the dots over the strip's height without a pattern.
    dots = [
        (place(value), round(5 + 14 * (index * 0.618 % 1), 1))
        for index, value in enumerate(values)
        if math.isfinite(value)
    ]
    known = math.isfinite(interval.low) and math.isfinite(interval.high)
    return {
        "dots": dots,
        "mean": place(interval.value),
        "low": place(interval.low) if known else place(interval.value),
        "high": place(interval.high) if known else place(interval.value),
    }


def _case_table(cases):
    # NaN, a case that could not be scored, stands before the worst.
    order = sorted(cases, key=lambda case: (not math.isnan(case["dice"]), case["dice"]))
    names = list(dict.fromkeys(name for case in order for name in case["classes"]))
    rows = []
    for case in order[:CASES]:
        found = case["classes"]
        distances = [values["hd95_mm"] for values in found.values() if "hd95_mm" in values]
        rows.append(
            {
                "name": case["name"],
                "dice": number(case["dice"], DICE),
                "classes": [
                    number(found[name]["dice"], DICE) if name in found else "" for name in names
                ]
                if len(names) > 1
                else [],
                "hd95": number(max(distances), HD95) if distances else "",
            }
        )
    return {"rows": rows, "names": names if len(names) > 1 else [], "count": len(order)}


def _picture(caption, rgb):
    height, width = rgb.shape[:2]
    data = base64.b64encode(encode_png(rgb)).decode("ascii")
    return {
        "caption": caption,
        "data": data,
        "width": width,
        "height": height,
        "wide": width > 1.35 * height,
    }


def _latency_table(rows):
    columns = list(dict.fromkeys(key for row in rows for key in row))
    slowest = max((row.get("milliseconds", 0.0) for row in rows), default=0.0)
    return {
        "columns": [key.replace("_", " ") for key in columns],
        "rows": [
            {
                "cells": [_plain(row.get(key, "")) for key in columns],
                "share": round(100 * row.get("milliseconds", 0.0) / slowest, 1) if slowest else 0,
            }
            for row in rows
        ],
    }


def _plain(value) -> str:
    """A value as text: thousands apart, and no more digits than a reader can use."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return str(value)
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)
