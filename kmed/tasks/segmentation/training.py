"""Segmentation, from files to a measured bundle: the whole road, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kmed import distribute
from kmed.applications.unet import valid_output_size
from kmed.data.augmentation import Augmentation
from kmed.data.cache import Case
from kmed.data.pipeline import training_batches, validation_batches
from kmed.export import Bundle
from kmed.losses import median_frequency_weights
from kmed.tasks import inputs
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import publish
from kmed.tasks.runs import Run, claim, run_facts, validation_batch
from kmed.tasks.segmentation import data
from kmed.tasks.segmentation.measuring import measure
from kmed.tasks.segmentation.networks import Builder, compile_network, inference_network
from kmed.tasks.segmentation.publishing import CARD_MEASURES, write_measures
from kmed.tasks.segmentation.settings import Settings
from kmed.trainers.checkpoints import Checkpoints


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
    claim(settings)
    samples, labels = data.open_data(settings)
    for sample in samples:
        inputs.check_modality(sample, settings.preprocessor)
    channels = inputs.image_channels(samples)
    prepare = inputs.preprocessor(settings, channels)
    store = data.cache(settings, prepare)
    patients = len({sample.patient for sample in samples})
    say(f"{len(samples)} images of {patients} patients, {len(labels)} classes")
    prepared = store.cases(samples, progress=tenths(say, "prepared"))
    cases = dict(zip([sample.id for sample in samples], prepared, strict=True))
    split = inputs.split_and_audit(
        samples, settings, lambda sample: cases[sample.id].digest, say=say
    )
    split.save(settings.run_folder / "split.json")

    margin = _margin(settings)
    views = {"rank": settings.rank, "margin": margin, "foreground": settings.foreground}
    views["patch_shape"] = settings.size if settings.fit == "patch" else None
    strategy = distribute.strategy(settings.devices)
    train_cases, validation_cases = (
        [cases[sample.id] for sample in part] for part in (split.train, split.validation)
    )
    batch, validated = validation_batch(
        settings.batch_size,
        _count_views(validation_cases, settings),
        strategy.num_replicas_in_sync,
    )
    steps = settings.steps_per_epoch or math.ceil(
        _count_views(train_cases, settings) / settings.batch_size
    )
    with strategy.scope(), distribute.precision(settings.precision):
        network = builder(
            input_shape=(*settings.size, channels), classes=len(labels), **settings.network
        )
        distribute.synchronize_batch_norm(network, strategy.num_replicas_in_sync)
        compile_network(
            network,
            settings,
            steps * settings.epochs,
            classes=len(labels),
            class_weights=_class_weights(settings, train_cases, len(labels)),
        )
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
            batch_size=batch,
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
    name = "phantom studies" if settings.data is None else Path(settings.data).name
    parameters = bundle.network.count_params()
    facts = run_facts(name, settings.seed, samples, split, [checkpoints], parameters)
    bundle_path, report_path = publish(
        bundle,
        measured,
        facts,
        write_measures,
        title=f"{bundle.name}: segmentation of {', '.join(bundle.labels[1:])}",
        measures=CARD_MEASURES,
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        samples=split.test,
        log=checkpoints.rows,
        pictures="overlays",
        say=say,
    )
    return Run(bundle_path, report_path, measured.summary, split)


def _class_weights(settings: Settings, cases: list[Case], classes: int) -> list[float] | None:
    if settings.loss != "median_frequency":
        return None
    counts = [np.bincount(np.ravel(case.mask()), minlength=classes) for case in cases]
    return median_frequency_weights(np.stack(counts)).tolist()


def _for_each(outputs: list[str], batches):
    """Give every output of a deeply supervised network the same labels."""
    if not outputs:
        return batches
    return batches.map(lambda image, *rest: (image, *({n: r for n in outputs} for r in rest)))


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
