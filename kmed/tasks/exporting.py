"""Further formats of a finished bundle, each compared with Keras, for every task."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmed.data import Sample
from kmed.export import (
    Bundle,
    bundle_folder,
    check_agreement,
    export_onnx,
    export_openvino,
    export_tflite,
    quantization_loss,
)
from kmed.layers import ResizeTo
from kmed.tasks.records import write_json

FORMATS = ("tflite", "float16", "int8", "onnx", "openvino")
COMPARED = 200  # images on which the exported formats are compared with Keras
_REPRESENTATIVE = 100  # images from which int8 takes its ranges


def export_formats(
    bundle_path: str | Path,
    formats: Sequence[str],
    *,
    samples: Callable[[Bundle], Sequence[Sample]] | None,
    truths: Callable[[Bundle, Sample], Iterable[Any]],
    score: Callable[[Bundle, Any, dict[str, np.ndarray]], float],
    what: str,
    check: Callable[[Bundle], Sequence[Sample]] | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Add formats to a bundle's folder, and measure what a smaller one loses.

    Args:
        bundle_path: saved_models/NAME/VERSION, or saved_models/NAME for the latest.
        formats: of tflite, float16, int8, onnx and openvino.
        samples: finds images with known answers: int8 takes its ranges from the first half, and
            what is lost is measured on the second.
        truths: the known answers of a sample, one for each of the bundle's images.
        score: from the bundle, a known answer and a file's outputs to a number; larger is better.
        what: the score's name.
        check: finds images on which every float32 format must equal Keras.
        say: told what is being done.

    Returns:
        The files.

    Raises:
        AgreementError: if a format fails the check.
        ValueError: for an unknown format, or int8 without data.
        ImportError: if a format's library is not installed, saying what to install.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise ValueError(f"`formats` must be of {FORMATS}; received {', '.join(unknown)}")
    if "int8" in formats and samples is None:
        raise ValueError("int8 takes its ranges from real images: give `data`, with known answers")
    folder = bundle_folder(bundle_path)
    bundle = Bundle.load(folder)
    found = [] if samples is None else list(samples(bundle))
    # A list in the order of its classes must not give one class to either half.
    ranges, measured = found[::2], found[1::2]
    files = []
    for kind in formats:
        say(f"writing {kind}")
        if kind == "onnx":
            files.append(export_onnx(bundle, folder / "model.onnx"))
        elif kind == "openvino":
            files.append(export_openvino(bundle, folder / "model.xml"))
        else:
            quantize = None if kind == "tflite" else kind
            name = "model.tflite" if kind == "tflite" else f"model_{kind}.tflite"
            files.append(
                export_tflite(
                    bundle,
                    folder / name,
                    quantize=quantize,
                    representative=itertools.islice(_at_size(bundle, ranges), _REPRESENTATIVE),
                )
            )
    if measured and any(kind in ("float16", "int8") for kind in formats):
        answers = [answer for sample in measured for answer in truths(bundle, sample)]
        scored = functools.partial(score, bundle)
        rows = quantization_loss(folder, _at_size(bundle, measured), answers, scored)
        for row in rows:
            say(
                f"{row['format']}: {row['megabytes']:.2f} MB, {what} {row['score']:.4f} "
                f"({-row['loss']:+.4f})"
            )
    if check is not None:
        compare_formats(folder, check(bundle), say)
    return files


def compare_formats(path: Path, samples: Sequence[Sample], say: Callable[[str], None]) -> None:
    """Check that each exported format gives what Keras gives, and write agreement.json.

    Args:
        path: the bundle's folder.
        samples: cases to compare on, up to 200 images or slices.
        say: told what was found.

    Raises:
        AgreementError: if a format gives other labels than Keras, or other probabilities.
    """
    bundle = Bundle.load(path)
    agreement = check_agreement(path, itertools.islice(model_images(bundle, samples), COMPARED))
    write_json(path / "agreement.json", agreement)
    for name, row in agreement.items():
        say(f"{name} equals Keras on {row['images']} images: {_agreement_text(bundle, row)}")


def _agreement_text(bundle: Bundle, row: dict[str, Any]) -> str:
    if bundle.decoder.located:
        return (
            f"corners to {row['max_box_difference']:.1e} pixels, scores to "
            f"{row['max_score_difference']:.1e}, {row['differing']} of {row['detections']} boxes "
            "differ"
        )
    if "max_raw_difference" in row:
        return f"voxels to {row['max_difference']:.1e} of -1 to 1"
    if "max_difference" in row:
        return f"components to {row['max_difference']:.1e}"
    labels = "voxels" if bundle.decoder.dense else "labels"
    return (
        f"probabilities to {row['max_probability_difference']:.1e}, {row['differing_voxels']} of "
        f"{row['voxels']} {labels} differ"
    )


def model_images(bundle: Bundle, samples: Sequence[Sample]) -> Iterator[np.ndarray]:
    """Give raw arrays of the bundle's rank: images, volumes, or the slices of volumes.

    Args:
        bundle: the bundle.
        samples: the cases.

    Yields:
        `(H, W, C)` or `(D, H, W, C)` in raw units.
    """
    for sample in samples:
        image = sample.read().image
        if image.ndim - 1 == bundle.rank:
            yield image
        else:
            yield from image


def _at_size(bundle: Bundle, samples: Sequence[Sample]) -> Iterator[np.ndarray]:
    """Raw images resized to the one size of a TFLite file."""
    fit = ResizeTo(bundle.size)
    for image in model_images(bundle, samples):
        yield np.asarray(fit(np.asarray(image, np.float32)[None]))[0]
