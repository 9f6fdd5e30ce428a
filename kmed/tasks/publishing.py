"""What a measured bundle leaves behind, for every task: the artefact, its check, the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kmed.data import DataError, Sample, Split, fingerprint
from kmed.export import Bundle, latency
from kmed.tasks.exporting import compare_formats
from kmed.tasks.records import card, plain_facts

PARTS = ("train", "validation", "test")


def publish(
    bundle: Bundle,
    measured: Any,
    facts: dict,
    write_measures: Callable[..., Path],
    *,
    title: str,
    measures: Sequence[str],
    saved_models: str | Path,
    folder: Path,
    samples: Sequence[Sample],
    log: Sequence[dict],
    pictures: str | None = None,
    say: Callable[[str], None],
) -> tuple[Path, Path]:
    """Export a bundle with its card, compare its formats, and write the report.

    Args:
        bundle: what was measured.
        measured: the task's measures, with `summary`.
        facts: data, split, seed and training; see `kmed.tasks.runs.run_facts`.
        write_measures: the task's function that writes the report.
        title: of the report.
        measures: those that the model card shows.
        saved_models: root of the exported bundles.
        folder: where report.html and metrics.json go.
        samples: cases on which the formats are compared.
        log: rows of the training's log.
        pictures: folder within the bundle for pictures of some cases; None for the run's own
            folder, which is not shared.
        say: told what is being done.

    Returns:
        The bundle's folder and the report.

    Raises:
        AgreementError: if a format finds other things than Keras.
    """
    path = bundle.save(
        saved_models,
        card=card(facts, measured.summary, measures),
        tflite=bundle.size is not None,
    )
    compare_formats(path, samples, say)
    report = write_measures(
        bundle,
        measured,
        folder,
        title=title,
        facts=plain_facts(facts) | {"bundle version": path.name},
        log=log,
        times=latency(path),
        pictures_folder=path / pictures if pictures else None,
    )
    return path, report


def part_of(
    samples: Sequence[Sample],
    own: Split | None,
    split_file: str | Path | None,
    part: str,
    *,
    say: Callable[[str], None],
) -> Sequence[Sample]:
    """Choose what an evaluation measures on.

    Args:
        samples: the data set.
        own: the split that the data set declares, or None.
        split_file: a training's split.json, or None.
        part: train, validation or test.
        say: told where the data set's own part is taken.

    Returns:
        That part of the split file; without one, of the data set's own split; without either, all.

    Raises:
        DataError: if the split file does not fit the data, or the part is empty.
        ValueError: for an unknown part.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be train, validation or test; received {part!r}")
    if split_file is not None:
        samples = getattr(Split.load(split_file, samples), part)
    elif own is not None:
        samples = getattr(own, part)
        say(f"the data set's own {part} part")
    if not samples:
        raise DataError(f"there is no image in the {part} part to measure on")
    say(f"{len(samples)} images")
    return samples


def write_evaluation(
    bundle: Bundle,
    measured: Any,
    samples: Sequence[Sample],
    write_measures: Callable[..., Path],
    *,
    output: str | Path | None,
    say: Callable[[str], None],
) -> dict:
    """Write the report of an evaluation.

    Args:
        bundle: what was measured.
        measured: the task's measures, with `summary`.
        samples: what it was measured on.
        write_measures: the task's function that writes the report.
        output: its folder; by default ./evaluation-NAME.
        say: told where the report is.

    Returns:
        `{class: {measure: Interval}}`.
    """
    report = write_measures(
        bundle,
        measured,
        Path(output or f"evaluation-{bundle.name}"),
        title=f"{bundle.name}: evaluation",
        facts={
            "images": len(samples),
            "patients": len({sample.patient for sample in samples}),
            "data fingerprint": fingerprint(samples)[:16],
        },
    )
    say(f"report: {report}")
    return measured.summary
