"""Segmentation, from files to a measured bundle: the whole road, top to bottom."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from kmed import distribute
from kmed.applications.unet import valid_output_size
from kmed.data import DataError, Sample, Split, fingerprint
from kmed.data.augmentation import Augmentation
from kmed.data.cache import Case
from kmed.data.pipeline import training_batches, validation_batches
from kmed.export import Bundle
from kmed.tasks.progress import tenths
from kmed.tasks.segmentation import data
from kmed.tasks.segmentation.measuring import measure
from kmed.tasks.segmentation.networks import Builder, compile_network, inference_network
from kmed.tasks.segmentation.publishing import publish
from kmed.tasks.segmentation.settings import Settings
from kmed.trainers.checkpoints import Checkpoints


@dataclass(frozen=True)
class Run:
    """What a training leaves behind.

    Attributes:
        bundle_path: the bundle, saved_models/NAME/VERSION.
        report_path: the HTML report.
        metrics: per class and quantity, the mean over test patients with its interval.
        split: the samples of each part.
    """

    bundle_path: Path
    report_path: Path
    metrics: dict
    split: Split


def train(
    builder: Builder,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: int | str = "auto",
) -> Run:
    """Train a segmentation network, measure it on the test part, export it and report.

    Interrupted at any moment and called again with the same settings, it goes on from the last
    whole epoch and ends with the same weights.

    Args:
        builder: function of `input_shape`, `classes` and more that gives logits, such as
            `kmed.applications.unet`.
        settings: everything else.
        say: told what is being done, a line at a time.
        verbose: as in `keras.Model.fit`.

    Returns:
        Where things are and what was measured.

    Raises:
        DataError: for data that kmed refuses, naming the file and the rule.
        LeakageError: if two parts of the split share a patient or an image.
        ValueError: for settings that don't fit together or differ from the interrupted training's.
    """
    keras.utils.set_random_seed(settings.seed)
    _claim(settings)
    samples, labels = data.open_data(settings)
    for sample in samples:
        data.check_modality(sample, settings.preprocessor)
    channels = _channels(samples)
    prepare = data.preprocessor(settings, channels)
    store = data.cache(settings, prepare)
    patients = len({sample.patient for sample in samples})
    say(f"{len(samples)} images of {patients} patients, {len(labels)} classes")
    prepared = store.cases(samples, progress=tenths(say, "prepared"))
    cases = dict(zip([sample.id for sample in samples], prepared, strict=True))
    split = data.split_and_audit(samples, settings, lambda sample: cases[sample.id].digest)
    split.save(settings.run_folder / "split.json")

    margin = _margin(settings)
    views = {"rank": settings.rank, "margin": margin, "foreground": settings.foreground}
    views["patch_shape"] = settings.size if settings.fit == "patch" else None
    strategy = distribute.strategy(settings.devices)
    train_cases, validation_cases = (
        [cases[sample.id] for sample in part] for part in (split.train, split.validation)
    )
    validation_batch, validated = _validation_batch(
        settings, _count_views(validation_cases, settings), strategy.num_replicas_in_sync
    )
    steps = settings.steps_per_epoch or math.ceil(
        _count_views(train_cases, settings) / settings.batch_size
    )
    with strategy.scope(), distribute.precision(settings.precision):
        network = builder(
            input_shape=(*settings.size, channels), classes=len(labels), **settings.network
        )
        distribute.synchronize_batch_norm(network, strategy.num_replicas_in_sync)
        compile_network(network, settings, steps * settings.epochs, classes=len(labels))
        outputs = list(network.output) if isinstance(network.output, dict) else []
        checkpoints = Checkpoints(
            settings.run_folder,
            monitor="val_logits_dice" if outputs else "val_dice",
            mode="max",
            patience=settings.patience,
        )
        first = checkpoints.restore(network)
    say(f"{network.count_params():,} parameters on {strategy.num_replicas_in_sync} device(s)")
    if first:
        say(f"going on after epoch {first} of {settings.epochs}")
    if first < settings.epochs and not checkpoints.finished:
        batches, steps = training_batches(
            train_cases,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            first_epoch=first,
            steps_per_epoch=steps,
            augmentation=Augmentation(flip=settings.flip).scaled(settings.augment),
            seed=settings.seed,
            **views,
        )
        unseen = validation_batches(
            validation_cases,
            batch_size=validation_batch,
            images=validated,
            **views,
        )
        network.fit(
            _for_each(outputs, batches),
            epochs=settings.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            validation_data=_for_each(outputs, unseen),
            callbacks=[
                checkpoints,
                keras.callbacks.TensorBoard(settings.run_folder / "tensorboard"),
            ],
            shuffle=False,
            verbose=verbose,
        )
    say(f"best epoch {checkpoints.best_epoch} (validation Dice {checkpoints.best:.4f}); measuring")
    network.load_weights(checkpoints.best_weights)
    bundle = Bundle(
        settings.name,
        prepare,
        inference_network(builder, network, settings, channels, len(labels)),
        labels=labels,
        fit=("tile" if margin else "pad") if settings.fit == "patch" else "resize",
        spacing_mm=settings.spacing_mm,
        metadata=_metadata(settings, margin),
        size=tuple(size - 2 * margin for size in settings.size),
    )
    measured = measure(bundle, split.test, seed=settings.seed, progress=tenths(say, "measured"))
    facts = _facts(settings, samples, split, checkpoints, bundle)
    bundle_path, report_path = publish(
        bundle,
        measured,
        facts,
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        samples=split.test,
        log=checkpoints.rows,
        say=say,
    )
    return Run(bundle_path, report_path, measured.summary, split)


def _facts(
    settings: Settings,
    samples: list[Sample],
    split: Split,
    checkpoints: Checkpoints,
    bundle: Bundle,
) -> dict:
    """What the model card and the report say of data and training: counts, no names."""
    parts = {part: getattr(split, part) for part in ("train", "validation", "test")}
    return {
        "data": {
            "name": "phantom studies" if settings.data is None else Path(settings.data).name,
            "fingerprint": fingerprint(samples),
            "patients": {
                part: len({s.patient for s in content}) for part, content in parts.items()
            },
            "images": {part: len(content) for part, content in parts.items()},
            "split_seed": split.seed,
        },
        "seed": settings.seed,
        "training": {
            "epochs": len(checkpoints.rows),
            "best epoch": checkpoints.best_epoch,
            "minutes": round(sum(row["seconds"] for row in checkpoints.rows) / 60, 1),
            "parameters": bundle.network.count_params(),
        },
    }


def _for_each(outputs: list[str], batches):
    """Give every output of a deeply supervised network the same labels."""
    if not outputs:
        return batches
    return batches.map(lambda image, *rest: (image, *({n: r for n in outputs} for r in rest)))


def _claim(settings: Settings) -> None:
    """Refuse to mix two trainings in one folder."""
    file = settings.run_folder / "settings.json"
    fingerprint_ = settings.fingerprint()
    # Settings that failed before the first epoch ended claim nothing.
    begun = any(settings.run_folder.glob("epoch-*")) and file.exists()
    if begun and settings.resume and file.read_text() != fingerprint_:
        old, new = json.loads(file.read_text()), json.loads(fingerprint_)
        differing = sorted(k for k in new if old.get(k) != new[k])
        raise ValueError(
            f"{settings.run_folder} holds a training with other settings ({', '.join(differing)} "
            "differ); choose another `name` or `run_dir`, or start afresh with resume=False"
        )
    if not settings.resume:
        for old in settings.run_folder.glob("epoch-*"):
            shutil.rmtree(old)
    settings.run_folder.mkdir(parents=True, exist_ok=True)
    file.write_text(fingerprint_)


def _channels(samples: list[Sample]) -> int:
    if not samples:
        raise DataError("the data set is empty")
    return samples[0].read().image.shape[-1]


def _margin(settings: Settings) -> int:
    """Pixels by which a network of valid convolutions is smaller at each end, else 0."""
    if settings.network.get("padding", "same") == "same":
        return 0
    if settings.fit != "patch":
        raise ValueError(
            '`padding="valid"` needs fit="patch": its output is smaller than its input'
        )
    levels = len(settings.network.get("filters", range(5)))
    return (settings.size[0] - valid_output_size(settings.size[0], levels)) // 2


def _metadata(settings: Settings, margin: int) -> dict:
    window = [size - 2 * margin for size in settings.size]
    windowed = {"window": window, "margin": margin} if settings.fit == "patch" else {}
    seen = {"window_hu": settings.window_hu} if settings.preprocessor == "ct" else {}
    return {"task": "segmentation", **windowed, **seen}


def _count_views(cases: list[Case], settings: Settings) -> int:
    """Count images, or slices where a 2D network trains on volumes."""
    return sum(math.prod(case.shape[: -settings.rank]) for case in cases)


def _validation_batch(settings: Settings, images: int, replicas: int) -> tuple[int, int]:
    """Choose how many images are validated, and in what batches.

    TensorFlow gives one replica less of a batch that is not full, or nothing, and Keras fails on
    both. Several replicas get full batches alone; at most `replicas - 1` images are left out.
    """
    if settings.batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be divisible by the number of devices; received "
            f"{settings.batch_size} for {replicas}"
        )
    if images < replicas:
        raise ValueError(
            f"the validation part must have an image for each of {replicas} devices; it has "
            f"{images}: raise `validation` or lower `devices`"
        )
    if replicas == 1:
        return settings.batch_size, images
    images -= images % replicas
    sizes = range(settings.batch_size, 0, -replicas)
    return next(size for size in sizes if images % size == 0), images
