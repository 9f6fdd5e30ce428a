"""A finished translator at work: evaluation, translated files, further formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from kmed.data import DataError, Sample, Split, fingerprint
from kmed.data.translation_pairs import translation_source
from kmed.export import Bundle, bundle_folder
from kmed.layers import ResizeTo
from kmed.results import save_png
from kmed.results.dicom.derived import write_derived
from kmed.results.findings import write_volume
from kmed.tasks.exporting import export_formats
from kmed.tasks.inputs import check_modality
from kmed.tasks.predictions import Predicted, samples_of, unused_name
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import PARTS
from kmed.tasks.translation.anatomy import anatomy
from kmed.tasks.translation.measuring import measure
from kmed.tasks.translation.publishing import write_measures
from kmed.tasks.translation.whole_volume import WholeVolume


def evaluate(
    bundle_path: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split_file: str | Path | None = None,
    part: str = "test",
    patient: str | None = None,
    segmenter: str | Path | None = None,
    overlap: float = 0.5,
    say: Callable[[str], None] = print,
) -> dict:
    """Translate images whose true translation is known, and compare.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        data: pairs, as the training took them.
        output: folder for report.html and metrics.json; by default ./evaluation-NAME.
        split_file: measure only on a part of this split; without it, on the part of this name that
            the data set itself declares, or on all images.
        part: train, validation or test.
        patient: regular expression whose first group is the patient in a file's name.
        segmenter: the bundle of a segmentation of the target modality: what it finds in translated
            and in real images is compared with the masks of the data.
        overlap: of a sliding window.
        say: told what is being done.

    Returns:
        `{"t1 to t2": {measure: Interval}}`, and with a segmenter an entry for each structure.

    Raises:
        DataError: for data that kmed refuses.
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown part.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be train, validation or test; received {part!r}")
    bundle = Bundle.load(bundle_path)
    modalities = (bundle.metadata["source"], bundle.metadata["target"])
    found = translation_source(
        data,
        modalities=modalities,
        paired=True,
        patient=patient,
        rank=bundle.rank,
        **bundle.metadata.get("source_of_pairs", {}),
    )
    if split_file is not None:
        found = found.part(getattr(Split.load(split_file, found.samples), part))
    elif found.split is not None and getattr(found.split, part):
        found = found.part(getattr(found.split, part))
        say(f"the data set's own {part} part")
    measured = measure(bundle, found, overlap=overlap, progress=tenths(say, "measured"))
    if segmenter is not None:
        measured.summary |= anatomy(bundle, segmenter, found, progress=tenths(say, "segmented"))
    report = write_measures(
        [bundle],
        {bundle.name: measured},
        Path(output or f"evaluation-{bundle.name}"),
        title=f"{bundle.name}: evaluation",
        facts={
            "patients": len({sample.patient for sample in found.samples}),
            "data fingerprint": fingerprint(found.samples)[:16],
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
    overlap: float = 0.5,
    resample: bool = False,
    say: Callable[[str], None] = print,
) -> Predicted:
    """Translate files, folders of files, or DICOM series; what can't be read is left out and named.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        inputs: files and folders.
        output: folder for the translated images.
        to: nifti (float32 in raw units, on the grid of the source), png (8 bits over the learnt
            range), auto (NIfTI for volumes, PNG for pictures), or dicom (of DICOM series a derived
            series of images in the same study and place).
        overlap: of a sliding window.
        resample: sample DICOM slices anew that lie on no regular grid, instead of refusing them.
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown format.
    """
    if to not in ("auto", "nifti", "png", "dicom"):
        raise ValueError(f"`to` must be nifti, png, dicom or auto; received {to!r}")
    bundle = Bundle.load(bundle_path)
    translate, target = WholeVolume(bundle, overlap=overlap), bundle.metadata["target"]
    written, failed, names = [], [], set()
    for sample in samples_of(inputs, failed, resample=resample):
        try:
            check_modality(sample, bundle.preprocessor.name)
            series = sample.series() if to == "dicom" and sample.series else None
            arrays = sample.read() if series is None else series.arrays
            if arrays.image.shape[-1] != bundle.channels:
                raise DataError(
                    f"{sample.files[0]}: has {arrays.image.shape[-1]} channels; the bundle takes "
                    f"{bundle.channels}"
                )
            image = translate(arrays.image)
            name = unused_name(f"{sample.id}-{target}", names)
            if to == "dicom":
                version = bundle_folder(bundle_path).name
                files = _write_derived(Path(output) / name, image, series, sample, bundle, version)
            else:
                files = _write(Path(output), name, image, arrays, sample, bundle, to)
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
    """Add formats to a translator's folder, and measure what a smaller one loses.

    Args:
        bundle_path: saved_models/NAME/VERSION, or saved_models/NAME for the latest.
        formats: of tflite, float16, int8, onnx and openvino.
        data: images of the source: int8 takes its ranges from one half, and on the other the PSNR
            against Keras' own translation is measured.
        check: images on which every float32 format must equal Keras.
        say: told what is being done.

    Returns:
        The files.

    Raises:
        AgreementError: if a format fails the check.
        ValueError: for an unknown format, or int8 without data.
        ImportError: if a format's library is not installed, saying what to install.
    """

    def truths(bundle: Bundle, sample: Sample):
        image = sample.read().image
        for one in image if image.ndim - 1 > bundle.rank else image[None]:
            small = np.asarray(ResizeTo(bundle.size)(np.asarray(one, np.float32)[None]))[0]
            yield bundle.answer(small)["image"]

    def likeness(bundle: Bundle, truth, found) -> float:
        spread = bundle.decoder.high - bundle.decoder.low
        error = float(np.mean(np.square(truth - found["image"]))) / spread**2
        return -10 * np.log10(max(error, 1e-12))

    return export_formats(
        bundle_path,
        formats,
        samples=None if data is None else lambda bundle: list(samples_of([data], [])),
        truths=truths,
        score=likeness,
        what="PSNR against Keras in dB",
        check=None if check is None else lambda bundle: list(samples_of([check], [])),
        say=say,
    )


def _write_derived(folder, image, series, sample, bundle, version) -> list[Path]:
    """Write a translated volume as images of the source's study."""
    if series is None or image.shape[-1] != 1:
        raise DataError(
            f"{sample.files[0]}: --to dicom needs a DICOM series of slices and one channel; "
            "--to nifti or png write other images"
        )
    target = bundle.metadata["target"]
    return write_derived(
        folder,
        image[..., 0],
        series,
        description=f"{bundle.metadata['source']} to {target}, synthetic"[:64],
        modality={"ct": "CT", "cbct": "CT", "pet": "PT"}.get(target.lower(), "MR"),
        algorithm=bundle.name,
        algorithm_version=version,
    )


def _write(folder, name, image, arrays, sample, bundle, to) -> list[Path]:
    """Write one translated image, and a volume on the grid of its source."""
    folder.mkdir(parents=True, exist_ok=True)
    volume = image.ndim == 4
    if to == "nifti" or (to == "auto" and volume):
        whole, origin = image if volume else image[None], sample.files[0]
        whole = whole[..., 0] if whole.shape[-1] == 1 else whole
        spacing_mm = arrays.spacing_mm if volume else (1.0, *arrays.spacing_mm)
        like = origin if origin.lower().endswith((".nii", ".nii.gz")) else None
        path = folder / f"{name}.nii.gz"
        return [write_volume(path, whole, spacing_mm, arrays.affine, like)]
    low, high = bundle.decoder.low, bundle.decoder.high
    grey = np.round(np.clip((image - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    grey = grey[..., 0] if grey.shape[-1] == 1 else grey
    if not volume:
        return [save_png(folder / f"{name}.png", grey)]
    return [
        save_png(folder / name / f"slice-{number:04d}.png", plane)
        for number, plane in enumerate(grey, start=1)
    ]
