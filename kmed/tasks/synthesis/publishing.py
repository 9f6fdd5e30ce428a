"""What a measured generator leaves behind: bundle, report, pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from kmed.export import GeneratorBundle, check_generator_agreement, versions
from kmed.export.card import LIMITS
from kmed.results import save_png, write_report
from kmed.results.image_grid import image_grid
from kmed.results.interpolation_sheet import interpolation_sheet, slerp
from kmed.tasks.records import card, metrics_json, plain_facts, write_json
from kmed.tasks.synthesis.measuring import Measured, normalised

CARD_MEASURES = ("fid", "kid", "conditional_accuracy", "diversity", "copies")
_PAIRS, _BETWEEN = 4, 8  # of the picture that goes from one image to another


def publish(
    bundle: GeneratorBundle,
    measured: Measured,
    facts: dict,
    *,
    saved_models: str | Path,
    folder: Path,
    log: Sequence[dict],
    say: Callable[[str], None],
) -> tuple[Path, Path]:
    """Export a generator with its card, compare its formats, and write the report.

    Args:
        bundle: what was measured.
        measured: the measures.
        facts: data, split, seed and training; see `kmed.tasks.runs.run_facts`.
        saved_models: root of the exported bundles.
        folder: where the report goes.
        log: rows of the training's log.
        say: told what is being done.

    Returns:
        The bundle's folder and the report.

    Raises:
        AgreementError: if a format makes other images than Keras.
    """
    path = bundle.save(saved_models, card=card(facts, measured.summary, CARD_MEASURES))
    agreement = check_generator_agreement(path)
    write_json(path / "agreement.json", agreement)
    for name, row in agreement.items():
        say(f"{name} equals Keras on {row['images']} images: to {row['max_difference']:.1e}")
    report = write_measures(
        bundle,
        measured,
        folder,
        title=f"{bundle.name}: images of {Path(facts['data']['name']).stem}",
        facts=plain_facts(facts) | {"bundle version": path.name},
        log=log,
    )
    return path, report


def write_measures(
    bundle: GeneratorBundle,
    measured: Measured,
    folder: Path,
    *,
    title: str,
    facts: dict,
    log: Sequence[dict] | None = None,
) -> Path:
    """Write report.html, metrics.json and pictures.

    Args:
        bundle: what was measured.
        measured: the measures.
        folder: where the files go.
        title: of the report.
        facts: names and values for the report's head.
        log: rows of the training's log, for the curves.

    Returns:
        The report.
    """
    pictures = {
        "generated": ("generated images", _grid(measured.fake, titles=measured.labels or None)),
        "real": ("real images of the test part", _grid(measured.real)),
        "nearest": (
            "for each generated image the nearest training image, in the same place",
            _grid(measured.nearest),
        ),
        "interpolation": ("from one image to another in the space of random numbers",
                          interpolation(bundle)),
    }  # fmt: skip
    for name, (_, picture) in pictures.items():
        save_png(folder / "pictures" / f"{name}.png", picture)
    write_json(folder / "metrics.json", metrics_json(measured.summary))
    return write_report(
        folder / "report.html",
        title=title,
        lead=_lead(measured),
        facts=facts
        | {
            "features": measured.extractor,
            "seconds per image": round(measured.seconds_per_image, 4),
        },
        metrics=measured.summary,
        pictures=list(pictures.values()),
        curves=log,
        limits=LIMITS + " Generated images show no patient, and prove nothing about any.",
        versions=versions(),
    )


def interpolation(bundle: GeneratorBundle, seed: int = 1) -> np.ndarray:
    """Draw images between pairs of images.

    Args:
        bundle: the generator.
        seed: of the pairs.

    Returns:
        A picture `(H, W, 3)` uint8; of a conditional generator each row is a class.
    """
    ends = bundle.latents(2 * _PAIRS, seed)
    steps = np.linspace(0, 1, _BETWEEN)
    rows = []
    for i in range(_PAIRS):
        between = np.stack([slerp(ends[2 * i], ends[2 * i + 1], t) for t in steps])
        labels = [i % len(bundle.labels)] * _BETWEEN if bundle.conditional else None
        rows.append(normalised(bundle, bundle.answer(between, labels)))
    return interpolation_sheet(np.stack(rows), -1.0, 1.0)


def _grid(images, titles=None):
    return image_grid(images, -1.0, 1.0, titles=titles)


def _lead(measured: Measured) -> str:
    overall = measured.summary["all"]
    text = f"Fréchet distance to test images {overall['fid']}, in the features of "
    text += f"{measured.extractor}. Another extractor gives other numbers."
    if "conditional_accuracy" in overall:
        text += f" Of the asked class, says a classifier: {overall['conditional_accuracy']}."
    return text
