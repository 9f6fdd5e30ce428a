"""What measured translators leave behind: bundles, report, pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kmed.data import Sample
from kmed.export import Bundle, latency, versions
from kmed.export.card import LIMITS
from kmed.layers import DropoutAtTest
from kmed.results import save_png, write_report
from kmed.results.translation_sheet import translation_sheet
from kmed.tasks.exporting import compare_formats
from kmed.tasks.records import Summary, card, metrics_json, plain_facts, write_json
from kmed.tasks.translation.measuring import Measured

CARD_MEASURES = ("mae", "psnr", "ssim", "ms_ssim", "fid", "kid", "dice", "dice_of_real")


def publish(
    bundles: Sequence[Bundle],
    measured: Mapping[str, Measured],
    facts: dict,
    samples: Mapping[str, Sequence[Sample]],
    *,
    title: str,
    saved_models: str | Path,
    folder: Path,
    log: Sequence[dict],
    say: Callable[[str], None],
) -> tuple[list[Path], Path]:
    """Export the bundles with their cards, compare their formats, and write the report.

    Args:
        bundles: one for each direction.
        measured: of each, by the bundle's name.
        facts: data, split, seed and training; see `kmed.tasks.runs.run_facts`.
        samples: by modality test images on which the formats are compared.
        title: of the report.
        saved_models: root of the exported bundles.
        folder: where the report goes.
        log: rows of the training's log.
        say: told what is being done.

    Returns:
        The bundles' folders and the report.

    Raises:
        AgreementError: if a format makes other images than Keras.
    """
    paths, times = [], []
    for bundle in bundles:
        about = card(facts, measured[bundle.name].summary, CARD_MEASURES)
        random = any(isinstance(layer, DropoutAtTest) for layer in bundle.network.layers)
        path = bundle.save(saved_models, card=about, tflite=not random)
        if random:
            say(f"{bundle.name}: dropout is on at test, so that no two answers are equal: formats "
                "are not compared, and TFLite is left out")  # fmt: skip
        else:
            compare_formats(path, samples[bundle.metadata["source"]], say)
        times += [{"bundle": bundle.name} | row for row in latency(path)]
        paths.append(path)
    report = write_measures(
        bundles,
        measured,
        folder,
        title=title,
        facts=plain_facts(facts) | {"bundle version": paths[0].name},
        log=log,
        times=times,
    )
    return paths, report


def write_measures(
    bundles: Sequence[Bundle],
    measured: Mapping[str, Measured],
    folder: Path,
    *,
    title: str,
    facts: dict,
    log: Sequence[dict] | None = None,
    times: Sequence[dict] | None = None,
) -> Path:
    """Write report.html, metrics.json and pictures. Images are numbered, not named.

    Args:
        bundles: what was measured.
        measured: the measures of each, by the bundle's name.
        folder: where the files go.
        title: of the report.
        facts: names and values for the report's head.
        log: rows of the training's log, for the curves.
        times: rows of `kmed.export.latency`.

    Returns:
        The report.
    """
    pictures, summary = [], {}
    for bundle in bundles:
        one, facts_of = measured[bundle.name], bundle.metadata
        source, target = facts_of["source"], facts_of["target"]
        sheet = translation_sheet(
            [(shown.source, shown.translated, shown.target) for shown in one.shown],
            source_range=tuple(facts_of["source_range"]),
            target_range=(bundle.decoder.low, bundle.decoder.high),
            unit=facts_of["unit"],
            titles=(source, f"{target}, made of {source}", f"true {target}", "difference"),
        )
        save_png(folder / "pictures" / f"{source}-to-{target}.png", sheet)
        pictures.append((f"{source}, what became of it, and {target} where it is known", sheet))
        summary |= one.summary
    write_json(folder / "metrics.json", metrics_json(summary))
    return write_report(
        folder / "report.html",
        title=title,
        lead=_lead(summary),
        facts=facts
        | {
            f"range of {bundle.metadata['target']}": f"{bundle.decoder.low:g} to "
            f"{bundle.decoder.high:g} {bundle.metadata['unit']}"
            for bundle in bundles
        },
        metrics=summary,
        pictures=pictures,
        curves=log,
        latency=times,
        limits=LIMITS + " A translated image shows what was likely, not what is there: a lesion "
        "can be missing from it, or be made up.",
        versions=versions(),
    )


def _lead(summary: Summary) -> str:
    found = [
        f"{direction}, mean absolute error {report['mae']}, SSIM {report['ssim']}"
        for direction, report in summary.items()
        if "mae" in report
    ]
    if not found:
        return (
            "There are no pairs to compare translations with; distances are between sets of "
            "images, in the features of fixed random convolutions."
        )
    return "On patients that the networks have not seen: " + "; ".join(found) + "."
