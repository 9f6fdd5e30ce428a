"""What a measured classifier leaves for people: report, table of cases, explanations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmed.export import Bundle, versions
from kmed.export.card import LIMITS
from kmed.metrics import decision_confidence
from kmed.results import save_png, write_report
from kmed.results.classification_curves import (
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
    risk_coverage_figure,
    roc_figure,
)
from kmed.tasks.classification.measuring import Measured, example_cases
from kmed.tasks.explaining import explained
from kmed.tasks.records import metrics_json, write_csv, write_json

CARD_MEASURES = ("auc", "accuracy", "balanced_accuracy", "sensitivity", "specificity", "ece")


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
    """Write report.html, metrics.json and cases.csv. Images are numbered, not named.

    Args:
        bundle: what was measured.
        measured: the measures.
        folder: where the files go.
        title: of the report.
        facts: names and values for the report's head.
        log: rows of the training's log, for the curves.
        times: rows of `kmed.export.latency`.
        pictures_folder: for the pictures of some images and what speaks for their label.

    Returns:
        The report.
    """
    pictures = []
    for caption, i in example_cases(bundle, measured):
        says = label_text(bundle, measured.labels[i])
        true = label_text(bundle, measured.truth[i])
        index = int(np.ravel(measured.probabilities[i]).argmax())
        if bundle.decoder.kind == "binary":
            index = int(measured.labels[i])
        picture, _ = explained(bundle, measured.samples[i].read().image, index)
        text = f"{caption} (image {i + 1}): says {says or 'none'}, is {true or 'none'}"
        pictures.append((text, picture))
        name = f"{caption.replace(' ', '_')}_{i + 1}.png"
        save_png((pictures_folder or folder / "explanations") / name, picture)
    rows = [
        case_row(bundle, f"image {i + 1}", label, probabilities)
        | {"truth": label_text(bundle, truth)}
        for i, (label, probabilities, truth) in enumerate(
            zip(measured.labels, measured.probabilities, measured.truth, strict=True)
        )
    ]
    write_csv(folder / "cases.csv", rows)
    write_json(folder / "metrics.json", metrics_json(measured.summary))
    return write_report(
        folder / "report.html",
        title=title,
        lead=_lead(measured),
        facts=facts | _decision_facts(bundle, measured),
        metrics=measured.summary,
        pictures=pictures,
        curves=log,
        figures=_figures(bundle, measured),
        latency=times,
        limits=LIMITS,
        versions=versions(),
    )


def case_row(bundle: Bundle, name: str, label: np.ndarray, probabilities: np.ndarray) -> dict:
    """Give an image's answer as a row of a table.

    Args:
        bundle: the bundle.
        name: of the image.
        label: the bundle's label.
        probabilities: `(K,)`.

    Returns:
        name, label, certainty (0.5 to 1, see `kmed.metrics.decision_confidence`) and the
        probability of each class.
    """
    decoder = bundle.decoder
    [sure] = decision_confidence(probabilities[None], decoder.kind, decoder.thresholds)
    row: dict[str, Any] = {"name": name, "label": label_text(bundle, label)}
    row["certainty"] = round(float(sure), 6)
    pairs = zip(bundle.labels, probabilities, strict=True)
    return row | {f"probability of {name}": round(float(p), 6) for name, p in pairs}


def label_text(bundle: Bundle, label: np.ndarray) -> str:
    """Give a label's name; of several their names, joined by "|".

    Args:
        bundle: the bundle.
        label: an index, or `(K,)` of 0 and 1.

    Returns:
        Text, empty where no class of several is seen.
    """
    label = np.asarray(label)
    if label.ndim == 0:
        return bundle.labels[int(label)]
    return "|".join(name for name, one in zip(bundle.labels, label, strict=True) if one)


def _lead(measured: Measured) -> str:
    overall = measured.summary["all"]
    return (
        "On images that the network has not seen: area under the ROC curve "
        f"{overall['auc']}; accuracy {overall['accuracy']}."
    )


def _decision_facts(bundle: Bundle, measured: Measured) -> dict:
    decoder = bundle.decoder
    facts = {
        "seconds per image": round(measured.seconds_per_case, 4),
        "temperature, from validation": round(decoder.temperature, 3),
    }
    if decoder.kind == "binary":
        _, threshold = decoder.thresholds or (0.5, 0.5)
        facts[f"threshold of {bundle.labels[1]}, from validation"] = round(threshold, 4)
    if decoder.kind == "multilabel":
        limits = decoder.thresholds or (0.5,) * len(bundle.labels)
        pairs = zip(bundle.labels, limits, strict=True)
        facts["thresholds, from validation"] = ", ".join(f"{n} {t:.3f}" for n, t in pairs)
    return facts


def _figures(bundle: Bundle, measured: Measured) -> list[tuple[str, str]]:
    options = {
        "kind": bundle.decoder.kind,
        "thresholds": bundle.decoder.thresholds,
        "report": measured.summary,
    }
    arguments = (measured.truth, measured.probabilities, bundle.labels)
    drawn = [
        ("ROC", roc_figure(*arguments, **options)),
        ("Precision and recall", precision_recall_figure(*arguments, **options)),
        ("Reliability", reliability_figure(*arguments, **options)),
        ("Answers left to people", risk_coverage_figure(*arguments, **options)),
    ]
    if bundle.decoder.kind != "multilabel":
        drawn.append(("Confusion", confusion_figure(*arguments, **options)))
    return drawn
