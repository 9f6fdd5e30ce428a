"""Detection, from files to a measured bundle: the whole road, top to bottom."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from kmed import distribute
from kmed.data import detection_training_batches, detection_validation_batches
from kmed.export import Bundle, DetectionDecoder
from kmed.results import box_sheet
from kmed.tasks import inputs
from kmed.tasks.detection import data
from kmed.tasks.detection.judging import Detecting, ValidationAP
from kmed.tasks.detection.measuring import measure, operating_scores
from kmed.tasks.detection.networks import Builder, augmentation, build, codec_of, compiled
from kmed.tasks.detection.publishing import CARD_MEASURES, write_measures
from kmed.tasks.detection.settings import Settings
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import publish
from kmed.tasks.runs import Run, claim, run_facts, validation_batch
from kmed.trainers.box_pictures import BoxPictures
from kmed.trainers.checkpoints import Checkpoints

_SHOWN = 6  # validation images whose boxes TensorBoard shows during training
_SHOWN_FROM = 0.3  # their least score


def train(
    builder: Builder,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: int | str = "auto",
) -> Run:
    """Train a detector, measure it on the test part, export it and report.

    The best epoch and the scores from which on a box is shown come from the validation part, the
    figures from the test part. Interrupted at any moment and called again with the same settings,
    it goes on from the last whole epoch and ends with the same weights.

    Args:
        builder: function of `input_shape`, `classes` and more that gives a network of the
            settings' detector, such as `kmed.applications.ssd300`.
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
    found = data.open_data(settings, say)
    samples, labels = found.samples, found.labels
    for sample in samples:
        inputs.check_modality(sample, settings.preprocessor)
    channels = inputs.image_channels(samples)
    prepare = inputs.preprocessor(settings, channels)
    boxes = sum(len(sample.objects) for sample in samples)
    say(f"{len(samples)} images with {boxes} objects: {', '.join(labels)}")
    store = data.cache(settings, prepare)
    prepared = store.cases(samples, progress=tenths(say, "prepared"))
    cases = dict(zip([sample.id for sample in samples], prepared, strict=True))
    split = data.parts(found, settings, lambda sample: cases[sample.id].digest, say=say)
    split.save(settings.run_folder / "split.json")
    of_part = {
        part: (
            [cases[sample.id] for sample in getattr(split, part)],
            [
                data.objects_in_frame(sample, cases[sample.id], settings)
                for sample in getattr(split, part)
            ],
        )
        for part in ("train", "validation")
    }

    strategy = distribute.strategy(settings.devices)
    replicas = strategy.num_replicas_in_sync
    batch, validated = validation_batch(settings.batch_size, len(split.validation), replicas)
    steps = settings.steps_per_epoch or math.ceil(len(split.train) / settings.batch_size)
    checkpoints = Checkpoints(
        settings.run_folder, monitor="val_ap50", mode="max", patience=settings.patience
    )
    with strategy.scope(), distribute.precision(settings.precision):
        network = build(builder, settings, channels, len(labels))
        distribute.synchronize_batch_norm(network, replicas)
        codec = codec_of(network, settings, of_part["train"][1])
        fitted = compiled(network, codec, settings, steps * settings.epochs)
        first = checkpoints.restore(fitted)
    say(f"{network.count_params():,} parameters on {replicas} device(s)")
    if first:
        say(f"going on after epoch {first} of {settings.epochs}")
    if first < settings.epochs and not checkpoints.finished:
        most = settings.max_objects
        batches, steps = detection_training_batches(
            *of_part["train"],
            targets=codec.targets,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            first_epoch=first,
            steps_per_epoch=steps,
            max_boxes=most,
            augmentation=augmentation(settings),
            seed=settings.seed,
        )
        unseen = detection_validation_batches(
            *of_part["validation"],
            targets=codec.targets,
            batch_size=batch,
            images=validated,
        )
        detect = Detecting(network, codec, settings.batch_size)
        judge = ValidationAP(
            detect,
            *of_part["validation"],
            labels,
            every=settings.judge_every,
            epochs=settings.epochs,
        )
        shown, known = (one[:_SHOWN] for one in of_part["validation"])
        pictures = BoxPictures(
            np.stack([case.image() for case in shown]),
            known,
            decode=detect.decode,
            draw=functools.partial(_drawn, labels=labels),
            every=settings.judge_every,
            folder=settings.run_folder / "tensorboard",
        )
        board = keras.callbacks.TensorBoard(settings.run_folder / "tensorboard")
        fitted.fit(
            batches,
            epochs=settings.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            validation_data=unseen,
            callbacks=[judge, checkpoints, board, pictures],
            shuffle=False,
            verbose=verbose,
        )

    say(f"best epoch {checkpoints.best_epoch} (validation AP50 {checkpoints.best:.4f})")
    fitted.load_weights(checkpoints.best_weights)
    with distribute.precision("float32"):
        plain = settings.replaced(network=settings.network | {"weights": None})
        trained = build(builder, plain, channels, len(labels))
    trained.set_weights(network.get_weights())
    bundle = Bundle(
        settings.name,
        prepare,
        trained,
        labels=labels,
        decoder=DetectionDecoder(
            codec,
            settings.size,
            letterbox=settings.fit == "letterbox",
            options=settings.suppression,
        ),
        fit=settings.fit,
        size=settings.size,
        metadata={"task": "detection", "detector": settings.detector}
        | ({"window_hu": settings.window_hu} if settings.preprocessor == "ct" else {}),
    )
    bundle.metadata["shown_from"] = operating_scores(bundle, split.validation)
    measured = measure(bundle, split.test, seed=settings.seed, progress=tenths(say, "measured"))
    facts = run_facts(
        Path(settings.data).name,
        settings.seed,
        samples,
        split,
        [checkpoints],
        trained.count_params(),
    )
    bundle_path, report_path = publish(
        bundle,
        measured,
        facts,
        write_measures,
        title=f"{bundle.name}: {', '.join(bundle.labels)}",
        measures=CARD_MEASURES,
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        samples=split.test,
        log=checkpoints.rows,
        say=say,
    )
    return Run(bundle_path, report_path, measured.summary, split)


def _drawn(images, found, truth, labels):
    sure = [one["scores"] >= _SHOWN_FROM for one in found]
    found = [{k: v[s] for k, v in one.items()} for one, s in zip(found, sure, strict=True)]
    return box_sheet(images, found, truth, labels=labels)
