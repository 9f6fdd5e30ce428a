"""A finished detector at work: evaluation, prediction, further formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from kmed.data import DataError, Sample, annotated
from kmed.data.dicom.errors import NotDicom
from kmed.export import Bundle, bundle_folder
from kmed.metrics import matched
from kmed.results import draw_boxes, save_png, write_coco_json, write_detections_csv
from kmed.results.dicom.boxes import image_boxes
from kmed.results.dicom.codes import label_codes_of, read_codes
from kmed.results.dicom.presentation import write_presentation
from kmed.results.dicom.sr import write_sr
from kmed.tasks.detection.data import truth
from kmed.tasks.detection.measuring import fitting, measure, shown
from kmed.tasks.detection.publishing import write_measures
from kmed.tasks.exporting import export_formats
from kmed.tasks.inputs import check_modality
from kmed.tasks.predictions import Predicted, samples_of, unused_name
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import part_of, write_evaluation


def evaluate(
    bundle_path: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split_file: str | Path | None = None,
    part: str = "test",
    patient: str | None = None,
    format: str | None = None,
    fix: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Measure a detector on images with boxes.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        data: whatever `kmed.data.annotated` understands.
        output: folder for report.html, metrics.json and boxes.json; by default ./evaluation-NAME.
        split_file: measure only on a part of this split; without it, on the part of this name that
            the data set itself declares, or on all images.
        part: train, validation or test.
        patient: regular expression whose first group is the patient in a file's name.
        format: of the boxes, see `kmed.data.annotated`.
        fix: mend boxes with faults instead of refusing them.
        say: told what is being done.

    Returns:
        `{class: {measure: Interval}}`.

    Raises:
        DataError: for data that kmed refuses.
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown part.
    """
    bundle = Bundle.load(bundle_path)
    found = annotated(data, format=format, labels=bundle.labels, patient=patient, fix=fix)
    samples = part_of(found.samples, found.split, split_file, part, say=say)
    measured = measure(bundle, samples, progress=tenths(say, "measured"))
    return write_evaluation(bundle, measured, samples, write_measures, output=output, say=say)


def predict(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    output: str | Path = "findings",
    score: float | None = None,
    pictures: bool = True,
    to: str = "auto",
    codes: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = print,
) -> Predicted:
    """Find the objects of files, or folders of files; what can't be read is left out and named.

    One image is in memory at a time.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        inputs: files and folders.
        output: folder for boxes.json (COCO), boxes.csv and a picture of each image.
        score: show boxes from this score on, in place of the scores chosen on the validation part.
        pictures: whether pictures are written.
        to: auto, or sr: of each DICOM image also NAME_sr.dcm, a Structured Report of its boxes, and
            if there are any NAME_boxes.dcm, a presentation state that draws them on the image.
        codes: for sr a JSON file of codes of label names that kmed has none for:
            `{"nidus": ["52988006", "SCT", "Lesion"]}`.
        progress: called with the number of images done and of all.
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: for a score outside of 0 to 1, an unknown format, or for sr a label without a
            code.
    """
    if to not in ("auto", "sr"):
        raise ValueError(f"`to` must be auto or sr; received {to!r}")
    if score is not None and not 0 <= score <= 1:
        raise ValueError(f"`score` must lie between 0 and 1; received {score}")
    bundle = Bundle.load(bundle_path)
    folder, failed, written = Path(output), [], []
    rows = []
    label_codes = None if codes is None else read_codes(codes)
    if to == "sr":
        label_codes_of(bundle.labels, label_codes)  # before hours of work, not after
    samples = list(samples_of(inputs, failed))
    for row, image, sample in _found(bundle, samples, failed, score, progress):
        if to == "sr":
            said = {"algorithm": bundle.name, "algorithm_version": bundle_folder(bundle_path).name}
            try:
                written += _write_dicom(folder, row, sample, bundle.labels, label_codes, said)
            except DataError as error:
                failed.append((sample.id, str(error)))
                continue
        rows.append(row)
        counts = np.bincount(row["labels"], minlength=len(bundle.labels))
        text = ", ".join(
            f"{n} {label}" for n, label in zip(counts, bundle.labels, strict=True) if n
        )
        say(f"{row['name']}: {text or 'nothing'}")
        if pictures:
            drawn = draw_boxes(image, found=row, labels=bundle.labels)
            written.append(folder / f"{Path(row['name']).with_suffix('')}.png")
            save_png(written[-1], drawn)
    if rows:
        written.append(write_coco_json(folder / "boxes.json", rows, bundle.labels))
        written.append(write_detections_csv(folder / "boxes.csv", rows, bundle.labels))
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
        formats: of tflite, float16 and int8.
        data: images with boxes: int8 takes its ranges from one half, and the loss of F1 is
            measured on the other.
        check: images on which every float32 format must equal Keras.
        say: told what is being done.

    Returns:
        The files.

    Raises:
        AgreementError: if a format fails the check.
        ValueError: for an unknown format, or int8 without data.
    """

    def samples(bundle):
        return annotated(data, labels=bundle.labels, fix=True).samples

    return export_formats(
        bundle_path,
        formats,
        samples=None if data is None else samples,
        truths=_resized_truth,
        score=_f1,
        what="F1",
        check=None if check is None else lambda bundle: list(samples_of([check], [])),
        say=say,
    )


def _found(
    bundle: Bundle, samples: Sequence[Sample], failed: list, score, progress
) -> Iterator[tuple[dict, np.ndarray, Sample]]:
    names: set[str] = set()
    for done, sample in enumerate(samples):
        if progress:
            progress(done, len(samples))
        try:
            check_modality(sample, bundle.preprocessor.name)
            image = fitting(bundle, sample)
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        found = shown(bundle, bundle.detect(image), score=score)
        name = unused_name(sample.id, names)
        yield (
            {"name": name, "height": image.shape[0], "width": image.shape[1]} | found,
            image,
            sample,
        )
    if progress:
        progress(len(samples), len(samples))


def _write_dicom(folder: Path, row, sample: Sample, labels, label_codes, said) -> list[Path]:
    """The report of an image's boxes, and a presentation state that draws them."""
    if sample.modality is None or sample.series is not None:
        raise NotDicom(
            f"{sample.files[0]}: a report of boxes refers to a DICOM image of one frame, which "
            "this is not; leave out --to sr for boxes as JSON and CSV"
        )
    stem = Path(row["name"]).with_suffix("")
    boxes = image_boxes(sample.files[0], row, labels)
    written = [
        write_sr(
            folder / f"{stem}_sr.dcm",
            sample.files[:1],
            boxes=boxes,
            label_codes=label_codes,
            **said,
        )
    ]
    if boxes:
        written += write_presentation(folder / f"{stem}_boxes.dcm", boxes, labels=labels)
    return written


def _resized_truth(bundle: Bundle, sample: Sample) -> list[dict]:
    """Known boxes on the image as a TFLite file sees it, stretched to its size."""
    height, width = sample.read().image.shape[:2]
    rows, columns = bundle.size
    scale = np.array([columns / width, rows / height] * 2, np.float32)
    [known] = truth([sample])
    return [known | {"boxes": known["boxes"] * scale}]


def _f1(bundle: Bundle, known: dict, outputs: dict) -> float:
    """F1 of one image's boxes at the scores from which they are shown; 1 for none on none."""
    names = ("boxes", "scores", "labels")
    found = shown(bundle, {name: outputs[name][: outputs["count"]] for name in names})
    [match] = matched([known], [found])
    hits, false, missed = match.hits.sum(), match.false_positives.sum(), match.missed.sum()
    return float(2 * hits / max(2 * hits + false + missed, 1)) if hits + false + missed else 1.0
