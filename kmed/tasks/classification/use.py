"""A finished classifier at work: evaluation, prediction, further formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from kmed.data import DataError, Sample, labelled
from kmed.export import Bundle
from kmed.tasks.classification.measuring import measure
from kmed.tasks.classification.publishing import case_row, write_measures
from kmed.tasks.exporting import export_formats
from kmed.tasks.inputs import check_modality
from kmed.tasks.predictions import Predicted, samples_of
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import part_of, write_evaluation
from kmed.tasks.records import write_csv, write_json
from kmed.uncertainty import test_time_augmentation


def evaluate(
    bundle_path: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split_file: str | Path | None = None,
    part: str = "test",
    patient: str | None = None,
    table: str | Path | None = None,
    label: str | None = None,
    flips: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Measure a classifier on images with labels, at its own thresholds.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        data: whatever `kmed.data.labelled` understands.
        output: folder for report.html, metrics.json and cases.csv; by default ./evaluation-NAME.
        split_file: measure only on a part of this split; without it, on the part of this name that
            the data set itself declares, or on all images.
        part: train, validation or test.
        patient: regular expression whose first group is the patient in a file's name.
        table: CSV file of labels.
        label: regular expression whose first group is the label in a file's name.
        flips: average over mirrored inputs.
        say: told what is being done.

    Returns:
        `{class: {measure: Interval}}`.

    Raises:
        DataError: for data that kmed refuses.
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown part.
    """
    bundle = with_flips(Bundle.load(bundle_path)) if flips else Bundle.load(bundle_path)
    found = labelled(
        data, kind=bundle.decoder.kind, labels=bundle.labels, table=table, label=label,
        patient=patient,
    )  # fmt: skip
    samples = part_of(found.samples, found.split, split_file, part, say=say)
    measured = measure(bundle, samples, progress=tenths(say, "measured"))
    return write_evaluation(bundle, measured, samples, write_measures, output=output, say=say)


def predict(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    output: str | Path = "findings",
    flips: bool = False,
    say: Callable[[str], None] = print,
) -> Predicted:
    """Classify files, folders of files, or DICOM series; what can't be read is left out and named.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        inputs: files and folders.
        output: folder for predictions.csv and predictions.json: of each image the label, how
            certain it is, and the probability of each class.
        flips: average over mirrored inputs.
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
    """
    bundle = with_flips(Bundle.load(bundle_path)) if flips else Bundle.load(bundle_path)
    rows, failed = [], []
    for sample in samples_of(inputs, failed):
        try:
            check_modality(sample, bundle.preprocessor.name)
            label, probabilities = bundle.predict(_fitting(bundle, sample))
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        rows.append(case_row(bundle, sample.id, label, probabilities))
        say(f"{sample.id}: {rows[-1]['label'] or 'none'} ({rows[-1]['certainty']:.3f})")
    written = []
    if rows:
        folder = Path(output)
        write_csv(folder / "predictions.csv", rows)
        write_json(folder / "predictions.json", {"model": bundle.name, "images": rows})
        written = [folder / "predictions.csv", folder / "predictions.json"]
    return Predicted(written, failed)


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
        data: images with labels: int8 takes its ranges from one half, and the loss of accuracy is
            measured on the other.
        check: images on which every float32 format must equal Keras.
        say: told what is being done.

    Returns:
        The files.

    Raises:
        AgreementError: if a format fails the check.
        ValueError: for an unknown format, or int8 without data.
        ImportError: if a format's library is not installed, saying what to install.
    """

    def samples(bundle):
        return labelled(data, kind=bundle.decoder.kind, labels=bundle.labels).samples

    return export_formats(
        bundle_path,
        formats,
        samples=None if data is None else samples,
        truths=lambda bundle, sample: [np.array(sample.label)],
        score=lambda bundle, truth, found: float(np.mean(truth == found["labels"])),
        what="accuracy",
        check=None if check is None else lambda bundle: list(samples_of([check], [])),
        say=say,
    )


def with_flips(bundle: Bundle) -> Bundle:
    """Give a bundle that averages over an image and its mirror image.

    Args:
        bundle: a classifier's; its weights are shared.

    Returns:
        The other bundle.
    """
    apart = bundle.decoder.kind in ("multilabel", "ordinal")
    return Bundle(
        bundle.name,
        bundle.preprocessor,
        test_time_augmentation(bundle.network, kind="sigmoid" if apart else "softmax"),
        labels=bundle.labels,
        decoder=bundle.decoder,
        size=bundle.size,
        metadata=bundle.metadata,
    )


def _fitting(bundle: Bundle, sample: Sample) -> np.ndarray:
    image = sample.read().image
    if image.ndim - 1 != bundle.rank or image.shape[-1] != bundle.channels:
        wanted = "(D, H, W, C)" if bundle.rank == 3 else "(H, W, C)"
        raise DataError(
            f"{sample.files[0]}: the bundle takes {wanted} of {bundle.channels} channels; "
            f"this is {image.shape}"
        )
    return image
