"""A finished bundle at work: evaluation, prediction, further formats."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kmed.data import DataError, Sample, Split, discover, fingerprint, nifti, pictures
from kmed.data.pairing import files_below
from kmed.export import (
    Bundle,
    bundle_folder,
    export_onnx,
    export_openvino,
    export_tflite,
    quantization_loss,
)
from kmed.layers import ResizeTo
from kmed.metrics import dice_score
from kmed.results import write_findings
from kmed.tasks.progress import tenths
from kmed.tasks.segmentation.data import check_modality
from kmed.tasks.segmentation.measuring import measure
from kmed.tasks.segmentation.publishing import compare_formats, model_images, write_measures
from kmed.tasks.segmentation.whole_case import WholeCase

FORMATS = ("tflite", "float16", "int8", "onnx", "openvino")
_ALONE = (*pictures.SUFFIXES, *nifti.SUFFIXES)  # files that are a whole image each
_REPRESENTATIVE = 100  # images from which int8 takes its ranges


class Predicted(NamedTuple):
    """What `predict` did.

    Attributes:
        written: the files.
        failed: pairs of an input and the reason why it was left out.
    """

    written: list[Path]
    failed: list[tuple[str, str]]


def evaluate(
    bundle_path: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split_file: str | Path | None = None,
    part: str = "test",
    patient: str | None = None,
    flips: bool = False,
    overlap: float = 0.5,
    say: Callable[[str], None] = print,
) -> dict:
    """Measure a bundle on data with masks.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        data: whatever `kmed.data.discover` understands, with masks.
        output: folder for report.html, metrics.json and cases.csv; by default ./evaluation-NAME.
        split_file: measure only on a part of this split.
        part: train, validation or test.
        patient: regular expression whose first group is the patient in a sample's id.
        flips: average over mirrored inputs.
        overlap: of the sliding window.
        say: told what is being done.

    Returns:
        `{class: {measure: Interval}}`.

    Raises:
        DataError: for data that kmed refuses.
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown part.
    """
    bundle = Bundle.load(bundle_path)
    samples = discover(data, classes=len(bundle.labels), patient=patient)
    if split_file is not None:
        if part not in ("train", "validation", "test"):
            raise ValueError(f"`part` must be train, validation or test; received {part!r}")
        samples = list(getattr(Split.load(split_file, samples), part))
    folder = Path(output or f"evaluation-{bundle.name}")
    say(f"{len(samples)} images")
    measured = measure(
        bundle, samples, overlap=overlap, flips=flips, progress=tenths(say, "measured")
    )
    report = write_measures(
        bundle,
        measured,
        folder,
        title=f"{bundle.name}: evaluation",
        facts={
            "images": len(samples),
            "patients": len({sample.patient for sample in samples}),
            "data fingerprint": fingerprint(samples)[:16],
        },
    )
    say(f"report: {report}")
    return measured.summary


def predict(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    output: str | Path = "findings",
    to: str = "auto",
    flips: bool = False,
    overlap: float = 0.5,
    say: Callable[[str], None] = print,
) -> Predicted:
    """Segment files, folders of files, or DICOM series; what can't be read is left out and named.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        inputs: files and folders.
        output: folder for masks, overlays and measures.
        to: nifti, png, or auto (NIfTI for volumes, PNG for images).
        flips: average over mirrored inputs.
        overlap: of the sliding window.
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
    """
    bundle = Bundle.load(bundle_path)
    segment = WholeCase(bundle, overlap=overlap, flips=flips)
    written, failed, names = [], [], set()
    for sample in _samples(inputs, failed):
        try:
            check_modality(sample, bundle.preprocessor.name)
            arrays = sample.read()
            found = segment(arrays.image, arrays.spacing_mm)
            source = sample.files[0]
            files = write_findings(
                output,
                _unused(sample.id.replace("/", "_"), names),
                found.labels,
                image=arrays.image,
                spacing_mm=arrays.spacing_mm,
                affine=arrays.affine,
                like=source if source.endswith((".nii", ".nii.gz")) else None,
                label_names=bundle.labels,
                window=bundle.metadata.get("window_hu"),
                to=to,
            )
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        written += files
        say(f"{sample.id}: {', '.join(file.name for file in files)}")
    return Predicted(written, failed)


def _unused(name: str, names: set[str]) -> str:
    """Number a name that another input had: two series are often both called "ct"."""
    candidates = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
    chosen = next(candidate for candidate in candidates if candidate not in names)
    names.add(chosen)
    return chosen


def _samples(inputs, failed) -> Iterable[Sample]:
    for path in inputs:
        try:
            yield from discover(path)
        except DataError as error:
            # One file that is broken must not keep the others of its folder from being read; a
            # DICOM series, however, is whole or it is nothing.
            alone = files_below(path, _ALONE) if Path(path).is_dir() else []
            if alone:
                yield from _samples(alone, failed)
            else:
                failed.append((str(path), str(error)))


def export(
    bundle_path: str | Path,
    formats: Sequence[str],
    *,
    data: str | Path | None = None,
    check: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Add formats to a bundle's folder, and measure what a smaller one loses.

    Args:
        bundle_path: saved_models/NAME/VERSION, or saved_models/NAME for the latest.
        formats: of tflite, float16, int8, onnx and openvino.
        data: images with masks: int8 takes its ranges from the first half, and the loss of Dice
            is measured on the second.
        check: images on which every float32 format must equal Keras.
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
    if "int8" in formats and data is None:
        raise ValueError("int8 takes its ranges from real images: give `data`, images with masks")
    folder = bundle_folder(bundle_path)
    bundle = Bundle.load(folder)
    samples = [] if data is None else discover(data, classes=len(bundle.labels))
    half = len(samples) // 2
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
            images = (image for image, _ in _at_size(bundle, samples[:half]))
            files.append(
                export_tflite(
                    bundle,
                    folder / name,
                    quantize=quantize,
                    representative=itertools.islice(images, _REPRESENTATIVE),
                )
            )
    if samples and any(kind in ("float16", "int8") for kind in formats):
        pairs = list(_at_size(bundle, samples[half:]))
        images, masks = zip(*pairs, strict=True)
        for row in quantization_loss(folder, images, masks, _mean_dice(len(bundle.labels))):
            say(
                f"{row['format']}: {row['megabytes']:.2f} MB, Dice {row['score']:.4f} "
                f"({-row['loss']:+.4f})"
            )
    if check is not None:
        compare_formats(folder, discover(check), say)
    return files


def _at_size(bundle: Bundle, samples):
    """Raw images and masks resized to the one size of a TFLite file."""
    fit, nearest = ResizeTo(bundle.size), ResizeTo(bundle.size, "nearest")
    for sample in samples:
        arrays = sample.read()
        if arrays.mask is None:
            raise DataError(f"{sample.files[0]}: has no mask to measure the loss of Dice with")
        images = list(model_images(bundle, [sample]))
        masks = arrays.mask if arrays.mask.ndim > bundle.rank else arrays.mask[None]
        for image, mask in zip(images, masks, strict=True):
            resized = np.asarray(fit(np.asarray(image, np.float32)[None]))[0]
            small = np.asarray(nearest(np.asarray(mask, np.float32)[None, ..., None]))
            yield resized, small[0, ..., 0].astype(np.uint8)


def _mean_dice(classes: int):
    def score(mask, found):
        return float(np.mean(dice_score(mask, found, classes)[1:]))

    return score
