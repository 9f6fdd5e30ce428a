"""A finished generator at work: new images, evaluation, further formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from kmed.data import DataError, Split, fingerprint
from kmed.data.atomic import replacing
from kmed.export import GeneratorBundle, bundle_folder, check_generator_agreement, export_tflite
from kmed.results import save_png
from kmed.results.findings import write_volume
from kmed.results.image_grid import image_grid
from kmed.tasks.exporting import FORMATS
from kmed.tasks.extractors import feature_space
from kmed.tasks.image_range import range_preprocessor
from kmed.tasks.inputs import image_channels
from kmed.tasks.predictions import Predicted
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import PARTS
from kmed.tasks.synthesis import data as source
from kmed.tasks.synthesis.measuring import measure
from kmed.tasks.synthesis.publishing import write_measures
from kmed.tasks.synthesis.settings import Settings

_MOST = 1000  # images of the data at most


def generate(
    bundle_path: str | Path,
    count: int = 16,
    *,
    class_name: str | None = None,
    seed: int = 0,
    output: str | Path = "generated",
    to: str = "auto",
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Make new images.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        count: how many.
        class_name: of a conditional generator the class; without it the classes take turns.
        seed: of the random numbers; equal seeds give equal images.
        output: folder for the images and overview.png.
        to: png (of planes; 8 bits over the range that was learnt), npy (float32, raw units), nifti
            (raw units), or auto: PNG of planes and NIfTI of volumes.
        say: told what was written.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: for a class that the generator does not know, or a format that does not fit.
    """
    bundle = GeneratorBundle.load(bundle_path)
    volumes = len(bundle.size) == 3
    kind = {"auto": "nifti" if volumes else "png"}.get(to, to)
    if kind not in ("png", "npy", "nifti") or (kind == "png" and volumes):
        raise ValueError(f"`to` must be png (of planes), npy, nifti or auto; received {to!r}")
    if count < 1:
        raise ValueError(f"`count` must be at least 1; received {count}")
    labels = None
    if class_name is not None:
        labels = np.full(count, bundle.label_of(class_name), np.int32)
    elif bundle.conditional:
        labels = np.arange(count, dtype=np.int32) % len(bundle.labels)
    folder, written = Path(output), []
    images = bundle.answer(bundle.latents(count, seed), labels)
    low, high = bundle.decoder.low, bundle.decoder.high
    for i, image in enumerate(images):
        name = f"{i + 1:05d}"
        if labels is not None:
            name += "-" + bundle.labels[labels[i]].replace("/", "_").replace(" ", "_")
        written.append(_write(folder, name, image, kind, low, high))
    titles = None if labels is None else [bundle.labels[label] for label in labels[:64]]
    overview = image_grid(images[:64], low, high, titles=titles)
    written.append(save_png(folder / "overview.png", overview))
    say(f"{count} images, {low:g} to {high:g} in raw units, seed {seed}")
    return written


def evaluate(
    bundle_path: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split_file: str | Path | None = None,
    part: str = "test",
    patient: str | None = None,
    extractor: str = "random",
    generated: int = 1000,
    say: Callable[[str], None] = print,
) -> dict:
    """Compare generated images with real ones.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        data: images as the training took them.
        output: folder for report.html and metrics.json; by default ./evaluation-NAME.
        split_file: compare with a part of this split only, and look for copies of its training
            part; without it, with all images.
        part: train, validation or test.
        patient: regular expression whose first group is the patient in a file's name.
        extractor: as the training's setting.
        generated: number of generated images.
        say: told what is being done.

    Returns:
        `{"all": {measure: Interval}}`.

    Raises:
        DataError: for data that kmed refuses.
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown part.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be train, validation or test; received {part!r}")
    bundle = GeneratorBundle.load(bundle_path)
    limits = bundle.decoder.low, bundle.decoder.high
    folder = Path(output or f"evaluation-{bundle.name}")
    settings = Settings(
        data=str(data),
        size=bundle.size,
        patient=patient,
        labels=bundle.labels or None,
        conditional=bundle.conditional,
        intensity={"image": limits},
        cache_dir=str(folder / "cache"),
    )
    found = source.open_data(settings)
    samples = {part: found.samples, "train": found.samples}
    if split_file is not None:
        split = Split.load(split_file, found.samples)
        samples = {name: getattr(split, name) for name in (part, "train")}
    if not samples[part]:
        raise DataError(f"there is no image in the {part} part to compare with")
    say(f"{len(samples[part])} images")
    channels = image_channels(samples[part])
    prepare = range_preprocessor(limits, settings, channels, hounsfield=False)
    store = source.cache(settings, prepare, limits)
    images = {}
    for name, of in samples.items():
        cases = store.cases(of, progress=tenths(say, f"{name}: prepared"))
        labels = source.targets(of, bundle.labels)
        images[name] = source.images_of(cases, labels, settings.rank, _MOST, settings.seed)
    measured = measure(
        bundle,
        feature_space(extractor, images[part][0].shape[1:], limits),
        real=images[part][0],
        known=images["train"][0],
        labels=images[part][1] if bundle.conditional else None,
        count=generated,
    )
    report = write_measures(
        bundle,
        measured,
        folder,
        title=f"{bundle.name}: evaluation",
        facts={
            "images": len(samples[part]),
            "data fingerprint": fingerprint(samples[part])[:16],
        },
    )
    say(f"report: {report}")
    return measured.summary


def predict(
    bundle_path: str | Path, inputs: Iterable[str | Path], *, output: str | Path = "findings",
    say: Callable[[str], None] = print,
) -> Predicted:  # fmt: skip
    """Refuse: a generator takes random numbers, not images.

    Args:
        bundle_path: the bundle.
        inputs: not taken.
        output: not written.
        say: not told.

    Raises:
        ValueError: always, saying what to do instead.
    """
    raise ValueError(
        f"{bundle_folder(bundle_path)} makes images of random numbers, not of images: "
        f"kmed generate {bundle_path} -n 16"
    )


def export(
    bundle_path: str | Path,
    formats: Sequence[str],
    *,
    data: str | Path | None = None,
    check: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Add formats to a generator's folder.

    Args:
        bundle_path: saved_models/NAME/VERSION, or saved_models/NAME for the latest.
        formats: of tflite and float16.
        data: not taken: a generator sees no images.
        check: not taken; the float32 formats are compared with Keras always.
        say: told what is being done.

    Returns:
        The files.

    Raises:
        AgreementError: if a format makes other images than Keras.
        ValueError: for another format, or for images.
    """
    unknown = sorted(set(formats) - {"tflite", "float16"})
    if unknown:
        raise ValueError(
            f"a generator of random numbers is exported to tflite and float16, of {FORMATS}; "
            f"received {', '.join(unknown)}"
        )
    if data is not None or check is not None:
        raise ValueError("--data and --check are images, which a generator does not take")
    folder = bundle_folder(bundle_path)
    bundle = GeneratorBundle.load(folder)
    files = []
    for kind in formats:
        say(f"writing {kind}")
        name = "model.tflite" if kind == "tflite" else "model_float16.tflite"
        quantize = None if kind == "tflite" else kind
        files.append(export_tflite(bundle.model, folder / name, quantize=quantize))
    for name, row in check_generator_agreement(folder).items():
        say(f"{name} equals Keras on {row['images']} images: to {row['max_difference']:.1e}")
    return files


def _write(folder, name, image, kind, low, high):
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "nifti":
        whole = image if image.ndim == 4 else image[None]
        whole = whole[..., 0] if whole.shape[-1] == 1 else whole
        return write_volume(folder / f"{name}.nii.gz", whole, (1.0, 1.0, 1.0))
    if kind == "npy":
        path = folder / f"{name}.npy"
        with replacing(path) as unfinished, open(unfinished, "wb") as file:
            np.save(file, image)
        return path
    scaled = np.clip((image - low) / (high - low), 0, 1) * 255
    plane = np.round(scaled).astype(np.uint8)
    return save_png(folder / f"{name}.png", plane[..., 0] if plane.shape[-1] == 1 else plane)
