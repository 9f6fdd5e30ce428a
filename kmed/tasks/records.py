"""What a measured run writes for other programs: JSON, CSV, and the rows of its model card."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kmed.data.atomic import write_bytes
from kmed.export import versions
from kmed.metrics import Interval

Summary = Mapping[str, Mapping[str, Interval]]  # {class: {measure: Interval}}


def metrics_json(summary: Summary) -> dict:
    """Turn measures into JSON values; what is not finite becomes null.

    Args:
        summary: `{class: {measure: Interval}}`.

    Returns:
        `{class: {measure: {"value", "low", "high", "n", "omitted"}}}`.
    """

    def plain(value):
        return value if np.isfinite(value) else None

    return {
        name: {
            measure: {key: plain(value) for key, value in interval._asdict().items()}
            for measure, interval in measures.items()
        }
        for name, measures in summary.items()
    }


def write_json(path: Path, content: dict) -> None:
    """Write JSON, whole or not at all.

    Args:
        path: the file.
        content: JSON values.
    """
    write_bytes(path, (json.dumps(content, indent=1) + "\n").encode())


def write_csv(path: Path, rows: Sequence[Mapping]) -> None:
    """Write rows of the same columns as CSV, whole or not at all.

    Args:
        path: the file.
        rows: one or more.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def card(facts: dict, summary: Summary, measures: Sequence[str]) -> dict:
    """Join the facts of a run to those of its model card.

    Args:
        facts: what `kmed.tasks.runs.run_facts` gave.
        summary: what was measured.
        measures: which of the measures the card shows.

    Returns:
        The facts that `kmed.export.write_card` takes.
    """
    return {
        "data": facts["data"],
        "metrics": dict(_card_metrics(summary, measures)),
        "versions": versions(),
        "seed": facts["seed"],
        "training": facts["training"],
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    }


def plain_facts(facts: dict) -> dict:
    """Give the facts of a run as names and short values, for the report's head.

    Args:
        facts: what `kmed.tasks.runs.run_facts` gave.

    Returns:
        Names and values.
    """
    data, training = facts["data"], facts["training"]
    counts = ", ".join(
        f"{part} {data['patients'][part]} patients ({data['images'][part]} images)"
        for part in data["patients"]
    )
    shown = {"data": data["name"], "data fingerprint": data["fingerprint"][:16], "split": counts}
    return shown | {"seed": facts["seed"]} | training


def _card_metrics(summary: Summary, measures: Sequence[str]) -> Iterator[tuple[str, tuple]]:
    for name, values in summary.items():
        for measure in measures:
            interval = values.get(measure)
            if interval is None:
                continue
            if np.isfinite([interval.value, interval.low, interval.high]).all():
                yield f"{name} {measure}", (interval.value, interval.low, interval.high)
