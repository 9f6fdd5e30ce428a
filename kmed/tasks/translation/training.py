"""Translation, from files to measured generators: the whole road, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kmed import distribute
from kmed.data.augmentation import Augmentation
from kmed.data.translation_batches import translation_training_batches
from kmed.data.views import views
from kmed.export import Bundle, ImageDecoder
from kmed.results.image_grid import image_grid
from kmed.tasks.image_range import image_range, in_hounsfield, range_preprocessor
from kmed.tasks.progress import tenths
from kmed.tasks.runs import Run, claim, run_facts
from kmed.tasks.translation import data, networks
from kmed.tasks.translation.judging import ValidationError
from kmed.tasks.translation.measuring import measure
from kmed.tasks.translation.publishing import publish
from kmed.tasks.translation.settings import Settings
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.generation_callbacks import GeneratedSamples

_JUDGED = 200  # validation images at most


def train(
    builder: networks.Builder,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: int | str = "auto",
) -> Run:
    """Train generators from one modality to another, measure, export and report.

    Interrupted at any moment and called again with the same settings, it goes on from the last
    whole epoch and ends with the same weights.

    Args:
        builder: function of `input_shape`, `outputs` and more that gives a generator:
            `kmed.applications.pix2pix_generator` or `cyclegan_generator`.
        settings: everything else.
        say: told what is being done, a line at a time.
        verbose: as in `keras.Model.fit`.

    Returns:
        Where things are and what was measured; `bundle_path` is that of the first direction.

    Raises:
        DataError: for data that kmed refuses, naming the file and the rule.
        LeakageError: if two parts of the split share a patient or an image.
        ValueError: for settings that don't fit together or differ from the interrupted training's.
    """
    keras.utils.set_random_seed(settings.seed)
    claim(settings)
    found = data.open_data(settings)
    source, target = found.modalities
    counts = " and ".join(f"{len(found.items[name])} of {name}" for name in found.modalities)
    patients = len({sample.patient for sample in found.samples})
    say(f"{counts}, of {patients} patients, {'' if data.is_paired(found) else 'not '}paired")
    split = data.parts(found, settings, say=say)
    split.save(settings.run_folder / "split.json")
    part = {name: found.part(getattr(split, name)) for name in ("train", "validation", "test")}
    part["train"] = data.training_part(part["train"], settings)
    samples = {name: data.samples_of(found, name) for name in found.modalities}
    channels = {name: of[0].read().image.shape[-1] for name, of in samples.items()}
    hounsfield = {name: in_hounsfield(of, settings, name) for name, of in samples.items()}
    limits, prepare = {}, {}
    for name in found.modalities:
        limits[name] = image_range(data.samples_of(part["train"], name), settings, name)
        prepare[name] = range_preprocessor(
            limits[name], settings, channels[name], hounsfield=hounsfield[name]
        )
        unit = " HU" if hounsfield[name] else ""
        say(f"{name}: {limits[name][0]:g} to {limits[name][1]:g}{unit} become -1 to 1")
    cases = data.prepared(found, prepare, limits, settings, say=say)
    seen = views(part["train"], cases)
    checked = _validation_pairs(part["validation"], cases, settings)
    if settings.judged_by_pairs and checked is None:
        raise ValueError(
            "`select` best needs pairs of the validation part; there are none: use select=last"
        )

    strategy = distribute.strategy(settings.devices)
    replicas = strategy.num_replicas_in_sync
    if settings.batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be divisible by the number of devices; received "
            f"{settings.batch_size} for {replicas}"
        )
    paired = settings.algorithm == "pix2pix"
    longest = len(seen[source]) if paired else max(len(view) for view in seen.values())
    steps = settings.steps_per_epoch or math.ceil(longest / settings.batch_size)
    checkpoints = Checkpoints(
        settings.run_folder,
        monitor="val_mae" if settings.judged_by_pairs else None,
        patience=settings.patience,
    )
    with strategy.scope(), distribute.precision(settings.precision):
        trainer = networks.build(builder, settings, channels, replicas)
        networks.compiled(trainer, settings, steps * settings.epochs)
        first = checkpoints.restore(trainer)
    parameters = trainer.count_params()
    say(f"{parameters:,} parameters in all networks, on {replicas} device(s)")
    if first:
        say(f"going on after epoch {first} of {settings.epochs}")
    if first < settings.epochs and not checkpoints.finished:
        batches, steps = translation_training_batches(
            seen[source],
            seen[target],
            paired=paired,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            first_epoch=first,
            steps_per_epoch=steps,
            augmentation=Augmentation(flip=settings.flip).scaled(settings.augment),
            crop=settings.crop,
            seed=settings.seed,
        )
        trainer.fit(
            batches,
            epochs=settings.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            callbacks=[
                *_judges(trainer, settings, checked, part["validation"], cases),
                checkpoints,
                keras.callbacks.TensorBoard(settings.run_folder / "tensorboard"),
            ],
            shuffle=False,
            verbose=verbose,
        )

    say(f"epoch {checkpoints.best_epoch} is kept; measuring")
    trainer.load_weights(checkpoints.best_weights)
    bundles = _bundles(trainer, settings, prepare, limits, hounsfield, channels)
    measured = {
        bundle.name: measure(
            bundle,
            part["test"],
            seed=settings.seed,
            progress=tenths(say, f"{bundle.name}: measured"),
        )
        for bundle in bundles
    }
    facts = run_facts(
        Path(settings.data).name, settings.seed, found.samples, split, [checkpoints], parameters
    )
    paths, report = publish(
        bundles,
        measured,
        facts,
        {name: data.samples_of(part["test"], name) for name in found.modalities},
        title=f"{settings.name}: {source} to {target}",
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        log=checkpoints.rows,
        say=say,
    )
    for path in paths[1:]:
        say(f"bundle: {path}")
    summary = {name: one for m in measured.values() for name, one in m.summary.items()}
    return Run(paths[0], report, summary, split)


def _validation_pairs(part, cases, settings):
    """Prepared pairs of the validation part, evenly over it; None where there are none."""
    listed = data.pairs(part)
    if not listed:
        return None
    chosen = np.linspace(0, len(listed) - 1, min(_JUDGED, len(listed))).round().astype(int)
    both = zip(*(listed[i] for i in np.unique(chosen)), strict=True)
    return tuple(_stacked(items, cases) for items in both)


def _stacked(items, cases):
    images = []
    for item in items:
        image = cases[item.sample.id].image()
        images.append(np.asarray(image if item.slice is None else image[item.slice], np.float32))
    return np.stack(images)


def _judges(trainer, settings, checked, part, cases):
    """Callbacks that look at the validation part: figures of its pairs, and a picture."""
    source, target = part.modalities

    there = networks.translation(trainer, source, target)
    if checked is not None:
        yield ValidationError(there, *checked)
        inputs = checked[0]
    elif part.items[source]:
        inputs = _stacked(part.items[source][: settings.samples], cases)
    else:
        return
    chosen = np.linspace(0, len(inputs) - 1, min(settings.samples, len(inputs))).round()
    inputs = inputs[np.unique(chosen.astype(int))]

    def picture():
        made = np.asarray(there(inputs))
        grids = [image_grid(images, -1.0, 1.0, columns=len(inputs)) for images in (inputs, made)]
        if checked is not None:
            true = checked[1][np.unique(chosen.astype(int))]
            grids.append(image_grid(true, -1.0, 1.0, columns=len(inputs)))
        return np.concatenate(grids)

    folder = settings.run_folder
    yield GeneratedSamples(picture, folder / "samples", board=folder / "tensorboard")


def _bundles(trainer, settings, prepare, limits, hounsfield, channels):
    """Put each trained generator, in float32, between its preprocessor and its decoder."""
    bundles = []
    modalities = tuple(channels)
    for source, target in networks.directions(settings, modalities):
        trained = networks.whole(
            networks.inference_generator(trainer, source, target), settings.size
        )
        several = settings.algorithm == "cyclegan"
        bundles.append(
            Bundle(
                f"{settings.name}-{source}-to-{target}" if several else settings.name,
                prepare[source],
                trained,
                labels=(),
                decoder=ImageDecoder(*limits[target]),
                fit=settings.fit,
                size=settings.size,
                metadata={
                    "task": "translation",
                    "source": source,
                    "target": target,
                    "source_range": limits[source],
                    "unit": "HU" if hounsfield[target] else "",
                    "source_of_pairs": {"side_by_side": settings.side_by_side, "key": settings.key},
                }
                | ({"window_hu": settings.window_hu} if hounsfield[source] else {}),
            )
        )
    return bundles
