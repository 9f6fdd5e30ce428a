"""A finished bundle at work: evaluation, prediction, further formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kmed.data import DataError, Sample, discover
from kmed.export import Bundle, bundle_folder
from kmed.layers import ResizeTo
from kmed.metrics import dice_score
from kmed.results import write_findings
from kmed.results.dicom.codes import label_codes_of, read_codes
from kmed.results.dicom.findings import DICOM
from kmed.results.findings import FORMATS
from kmed.tasks.exporting import export_formats
from kmed.tasks.inputs import check_modality
from kmed.tasks.predictions import Predicted, samples_of, unused_name
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import part_of, write_evaluation
from kmed.tasks.segmentation.measuring import measure
from kmed.tasks.segmentation.publishing import write_measures
from kmed.tasks.segmentation.whole_case import WholeCase


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
    samples = part_of(samples, None, split_file, part, say=say)
    measured = measure(
        bundle, samples, overlap=overlap, flips=flips, progress=tenths(say, "measured")
    )
    return write_evaluation(bundle, measured, samples, write_measures, output=output, say=say)


def predict(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    output: str | Path = "findings",
    to: str = "auto",
    flips: bool = False,
    overlap: float = 0.5,
    resample: bool = False,
    codes: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> Predicted:
    """Segment files, folders of files, or DICOM series; what can't be read is left out and named.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        inputs: files and folders.
        output: folder for masks, overlays and measures.
        to: nifti, png, auto (NIfTI for volumes, PNG for images), seg (of DICOM series a DICOM
            Segmentation) or sr (that and a DICOM Structured Report of the measures).
        flips: average over mirrored inputs.
        overlap: of the sliding window.
        resample: sample DICOM slices anew that lie on no regular grid, instead of refusing them.
        codes: for seg and sr a JSON file of codes of label names that kmed has none for:
            `{"nidus": ["52988006", "SCT", "Lesion"]}`.
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: an unknown format, or for seg and sr a label without a code.
    """
    if to not in FORMATS:
        raise ValueError(f"`to` must be one of {', '.join(FORMATS)}; received {to!r}")
    bundle = Bundle.load(bundle_path)
    label_codes = None if codes is None else read_codes(codes)
    if to in DICOM:
        label_codes_of(bundle.labels[1:], label_codes)  # before hours of work, not after
    segment = WholeCase(bundle, overlap=overlap, flips=flips)
    written, failed, names = [], [], set()
    for sample in samples_of(inputs, failed, resample=resample):
        try:
            check_modality(sample, bundle.preprocessor.name)
            series = sample.series() if to in DICOM and sample.series else None
            arrays = sample.read() if series is None else series.arrays
            found = segment(arrays.image, arrays.spacing_mm)
            source = sample.files[0]
            files = write_findings(
                output,
                unused_name(sample.id, names),
                found.labels,
                image=arrays.image,
                spacing_mm=arrays.spacing_mm,
                affine=arrays.affine,
                like=source if source.endswith((".nii", ".nii.gz")) else None,
                label_names=bundle.labels,
                window=bundle.metadata.get("window_hu"),
                to=to,
                series=series,
                label_codes=label_codes,
                algorithm=(bundle.name, bundle_folder(bundle_path).name),
            )
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        written += files
        say(f"{sample.id}: {', '.join(file.name for file in files)}")
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
    return export_formats(
        bundle_path,
        formats,
        samples=None if data is None else lambda b: discover(data, classes=len(b.labels)),
        truths=_masks_at_size,
        score=_mean_dice,
        what="Dice",
        check=None if check is None else lambda b: discover(check),
        say=say,
    )


def _masks_at_size(bundle: Bundle, sample: Sample) -> Iterator[np.ndarray]:
    """Masks resized to the one size of a TFLite file."""
    nearest, mask = ResizeTo(bundle.size, "nearest"), sample.read().mask
    if mask is None:
        raise DataError(f"{sample.files[0]}: has no mask to measure the loss of Dice with")
    for one in mask if mask.ndim > bundle.rank else mask[None]:
        small = np.asarray(nearest(np.asarray(one, np.float32)[None, ..., None]))
        yield small[0, ..., 0].astype(np.uint8)


def _mean_dice(bundle: Bundle, mask: np.ndarray, outputs: dict[str, np.ndarray]) -> float:
    return float(np.mean(dice_score(mask, outputs["labels"], len(bundle.labels))[1:]))
