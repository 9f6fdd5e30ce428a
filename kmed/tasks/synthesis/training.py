"""Synthesis, from images to a measured generator: the whole road, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kmed import distribute
from kmed.data.augmentation import Augmentation
from kmed.data.epochs import entries_of
from kmed.data.labelled_batches import labelled_training_batches
from kmed.export import GeneratorBundle, ImageDecoder
from kmed.results.image_grid import image_grid
from kmed.tasks import inputs
from kmed.tasks.extractors import feature_space
from kmed.tasks.image_range import image_range, in_hounsfield, range_preprocessor
from kmed.tasks.progress import tenths
from kmed.tasks.runs import Run, claim, run_facts
from kmed.tasks.synthesis import data, networks
from kmed.tasks.synthesis.judging import ValidationDistance
from kmed.tasks.synthesis.measuring import measure
from kmed.tasks.synthesis.publishing import publish
from kmed.tasks.synthesis.settings import Settings
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.generation_callbacks import GeneratedSamples, ModeCollapse

_JUDGED = 1000  # real images of a part at most, by which the generator is judged


def train(
    builder: networks.Builder,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: int | str = "auto",
) -> Run:
    """Train a generator, measure it on the test part, export it and report.

    Interrupted at any moment and called again with the same settings, it goes on from the last
    whole epoch and ends with the same weights.

    Args:
        builder: function of `input_shape`, `classes`, `latent` and more that gives a generator:
            `kmed.applications.dcgan_generator`.
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
    found = data.open_data(settings)
    classes, channels = len(found.labels), inputs.image_channels(found.samples)
    patients = len({sample.patient for sample in found.samples})
    of = f"of {', '.join(found.labels)}" if classes else "without classes"
    say(f"{len(found.samples)} images of {patients} patients, {of}")
    split = data.parts(found, settings, say=say)
    split.save(settings.run_folder / "split.json")
    limits = image_range(split.train, settings)
    hounsfield = in_hounsfield(found.samples, settings, "image")
    say(f"{limits[0]:g} to {limits[1]:g} {'HU ' if hounsfield else ''}become -1 to 1")
    prepare = range_preprocessor(limits, settings, channels, hounsfield=hounsfield)
    store = data.cache(settings, prepare, limits)
    cases = {
        part: store.cases(getattr(split, part), progress=tenths(say, f"{part}: prepared"))
        for part in ("train", "validation", "test")
    }
    labels = {part: data.targets(getattr(split, part), found.labels) for part in cases}
    real = {
        part: data.images_of(cases[part], labels[part], settings.rank, _JUDGED, settings.seed)
        for part in cases
    }

    strategy = distribute.strategy(settings.devices)
    if settings.batch_size % strategy.num_replicas_in_sync:
        raise ValueError(
            "`batch_size` must be divisible by the number of devices; received "
            f"{settings.batch_size} for {strategy.num_replicas_in_sync}"
        )
    count = len(entries_of(cases["train"], settings.rank))
    steps = settings.steps_per_epoch or math.ceil(count / settings.batch_size)
    checkpoints = Checkpoints(
        settings.run_folder,
        monitor="val_fid" if settings.select == "fid" else None,
        patience=settings.patience,
    )
    with strategy.scope(), distribute.precision(settings.precision):
        made = networks.generator(builder, settings, channels, classes)
        judged = networks.discriminator(settings, channels, classes)
        for network in (made, judged):
            distribute.synchronize_batch_norm(network, strategy.num_replicas_in_sync)
        fitted = networks.compiled(made, judged, settings, steps * settings.epochs)
        first = checkpoints.restore(fitted)
    say(
        f"generator {made.count_params():,} and discriminator {judged.count_params():,} parameters "
        f"on {strategy.num_replicas_in_sync} device(s)"
    )
    space = feature_space(settings.extractor, real["train"][0].shape[1:], limits)
    if first:
        say(f"going on after epoch {first} of {settings.epochs}")
    if first < settings.epochs and not checkpoints.finished:
        batches, steps = labelled_training_batches(
            cases["train"],
            labels["train"],
            classes=max(classes, 2),
            kind="multiclass",
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            first_epoch=first,
            steps_per_epoch=steps,
            rank=settings.rank,
            augmentation=_augmentation(settings),
            seed=settings.seed,
        )

        def draw(count, of_class, seed):
            return np.asarray(fitted.generate(count=count, labels=of_class, seed=seed))

        shown = np.arange(settings.samples, dtype=np.int32) % classes if classes else None
        board = settings.run_folder / "tensorboard"
        fitted.fit(
            batches if classes else batches.map(lambda image, _: image),
            epochs=settings.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            callbacks=[
                ValidationDistance(
                    draw,
                    space,
                    real["validation"][0],
                    labels=real["validation"][1] if classes else None,
                    count=settings.generated,
                    seed=settings.seed,
                ),
                ModeCollapse(
                    lambda: draw(settings.samples, shown, settings.seed),
                    real["validation"][0],
                    say=say,
                ),
                GeneratedSamples(
                    lambda: image_grid(draw(settings.samples, shown, settings.seed), -1.0, 1.0),
                    settings.run_folder / "samples",
                    board=board,
                ),
                checkpoints,
                keras.callbacks.TensorBoard(board),
            ],
            shuffle=False,
            verbose=verbose,
        )

    say(f"epoch {checkpoints.best_epoch} is kept; measuring")
    fitted.load_weights(checkpoints.best_weights)
    with distribute.precision("float32"):
        plain = settings.replaced(network=settings.network | {"weights": None})
        trained = networks.generator(builder, plain, channels, classes)
    trained.set_weights(fitted.inference_generator("generator").get_weights())
    facts = {"task": "synthesis", "unit": "HU" if hounsfield else "raw"}
    bundle = GeneratorBundle(
        settings.name, trained, ImageDecoder(*limits), labels=found.labels, metadata=facts
    )
    measured = measure(
        bundle,
        space,
        real=real["test"][0],
        known=real["train"][0],
        labels=real["test"][1] if classes else None,
        count=settings.generated,
        seed=settings.seed,
    )
    facts = run_facts(
        Path(settings.data).name,
        settings.seed,
        found.samples,
        split,
        [checkpoints],
        trained.count_params(),
    )
    path, report = publish(
        bundle,
        measured,
        facts,
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        log=checkpoints.rows,
        say=say,
    )
    return Run(path, report, measured.summary, split)


def _augmentation(settings):
    if not settings.augment and settings.flip == "none":
        return None
    return Augmentation(flip=settings.flip).scaled(settings.augment)
