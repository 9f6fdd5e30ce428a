"""Classification, from files to a measured bundle: the whole road, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import keras

from kmed import distribute
from kmed.data import Sample, balanced_class_weights
from kmed.data.augmentation import Augmentation
from kmed.data.cache import Case
from kmed.data.labelled_batches import labelled_training_batches, labelled_validation_batches
from kmed.export import Bundle
from kmed.tasks import inputs
from kmed.tasks.classification import data
from kmed.tasks.classification.calibrating import calibrated_decoder
from kmed.tasks.classification.measuring import measure
from kmed.tasks.classification.networks import Builder, build, compile_network, train_head_only
from kmed.tasks.classification.publishing import CARD_MEASURES, write_measures
from kmed.tasks.classification.settings import Settings
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import publish
from kmed.tasks.runs import Run, claim, run_facts, validation_batch
from kmed.trainers.checkpoints import Checkpoints


def train(
    builder: Builder,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: int | str = "auto",
) -> Run:
    """Train a classifier, calibrate it, measure it on the test part, export it and report.

    Temperature and thresholds come from the validation part, the figures from the test part.
    Interrupted at any moment and called again with the same settings, it goes on from the last
    whole epoch and ends with the same weights.

    Args:
        builder: function of `input_shape`, `classes` and more that gives logits, such as
            `kmed.applications.resnet18`.
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
    samples, classes = found.samples, len(found.labels)
    for sample in samples:
        inputs.check_modality(sample, settings.preprocessor)
    channels = inputs.image_channels(samples)
    prepare = inputs.preprocessor(settings, channels)
    store = data.cache(settings, prepare)
    patients = len({sample.patient for sample in samples})
    say(f"{len(samples)} images of {patients} patients, {found.kind}: {', '.join(found.labels)}")
    prepared = store.cases(samples, progress=tenths(say, "prepared"))
    cases = dict(zip([sample.id for sample in samples], prepared, strict=True))
    split = data.parts(found, settings, lambda sample: cases[sample.id].digest, say=say)
    split.save(settings.run_folder / "split.json")

    strategy = distribute.strategy(settings.devices)
    with strategy.scope(), distribute.precision(settings.precision):
        network = build(builder, settings, channels, classes, found.kind)
        distribute.synchronize_batch_norm(network, strategy.num_replicas_in_sync)
    say(f"{network.count_params():,} parameters on {strategy.num_replicas_in_sync} device(s)")
    fit = _Phases(network, settings, strategy, split, cases, found.kind, classes, say, verbose)
    phases = []
    if settings.head_epochs:
        phases.append(fit("head", settings.head_epochs, settings.head_learning_rate))
    phases.append(fit(None, settings.epochs, settings.learning_rate))

    say(f"best epoch {phases[-1].best_epoch} (validation loss {phases[-1].best:.4f})")
    network.load_weights(phases[-1].best_weights)
    with distribute.precision("float32"):
        trained = build(
            builder,
            settings.replaced(network=settings.network | {"weights": None}),
            channels,
            classes,
            found.kind,
        )
    trained.set_weights(network.get_weights())
    decoder = calibrated_decoder(
        trained,
        labelled_validation_batches(
            [cases[sample.id] for sample in split.validation],
            data.targets(split.validation),
            batch_size=settings.batch_size,
            rank=settings.rank,
        ),
        data.targets(split.validation),
        kind=found.kind,
        rule=settings.threshold,
        at=settings.threshold_at,
        calibrate=settings.calibrate,
    )
    bundle = Bundle(
        settings.name,
        prepare,
        trained,
        labels=found.labels,
        decoder=decoder,
        size=settings.size,
        metadata={"task": "classification"}
        | ({"window_hu": settings.window_hu} if settings.preprocessor == "ct" else {}),
    )
    measured = measure(bundle, split.test, seed=settings.seed, progress=tenths(say, "measured"))
    facts = run_facts(
        Path(settings.data).name, settings.seed, samples, split, phases, trained.count_params()
    )
    bundle_path, report_path = publish(
        bundle,
        measured,
        facts,
        write_measures,
        title=f"{bundle.name}: {' or '.join(bundle.labels)}",
        measures=CARD_MEASURES,
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        samples=split.test,
        log=[row | {"epoch": i} for i, row in enumerate(_rows(phases), start=1)],
        pictures="explanations",
        say=say,
    )
    return Run(bundle_path, report_path, measured.summary, split)


class _Phases:
    """Fits a network in one phase or two, each with its own checkpoints."""

    def __init__(self, network, settings, strategy, split, cases, kind, classes, say, verbose):
        self.network, self.settings, self.strategy = network, settings, strategy
        self.kind, self.classes, self.say, self.verbose = kind, classes, say, verbose
        self.cases = {part: _cases(getattr(split, part), cases) for part in ("train", "validation")}
        self.targets = {
            part: data.targets(getattr(split, part)) for part in ("train", "validation")
        }

    def __call__(self, phase: str | None, epochs: int, learning_rate: float) -> Checkpoints:
        settings, network = self.settings, self.network
        folder = settings.run_folder / phase if phase else settings.run_folder
        batch, validated = validation_batch(
            settings.batch_size, len(self.cases["validation"]), self.strategy.num_replicas_in_sync
        )
        steps = settings.steps_per_epoch or math.ceil(
            len(self.cases["train"]) / settings.batch_size
        )
        weights = None
        if settings.class_weights:
            weights = balanced_class_weights(self.targets["train"], self.classes, self.kind)
        checkpoints = Checkpoints(
            folder,
            monitor="val_loss",
            patience=settings.patience if phase is None else None,
        )
        with self.strategy.scope():
            train_head_only(network, phase == "head")
            compile_network(
                network,
                settings,
                steps * epochs,
                kind=self.kind,
                class_weights=weights,
                learning_rate=learning_rate,
            )
            first = checkpoints.restore(network)
        if first:
            what = f"{phase} phase, " if phase else ""
            self.say(f"{what}going on after epoch {first} of {epochs}")
        if first < epochs and not checkpoints.finished:
            batches, steps = labelled_training_batches(
                self.cases["train"],
                self.targets["train"],
                batch_size=settings.batch_size,
                epochs=epochs,
                first_epoch=first,
                steps_per_epoch=steps,
                rank=settings.rank,
                augmentation=Augmentation(flip=settings.flip).scaled(settings.augment),
                sampling=settings.sampling,
                classes=self.classes,
                kind=self.kind,
                mixup=settings.mixup,
                cutmix=settings.cutmix,
                seed=settings.seed,
            )
            unseen = labelled_validation_batches(
                self.cases["validation"],
                self.targets["validation"],
                batch_size=batch,
                images=validated,
                rank=settings.rank,
            )
            network.fit(
                batches,
                epochs=epochs,
                initial_epoch=first,
                steps_per_epoch=steps,
                validation_data=unseen,
                callbacks=[checkpoints, keras.callbacks.TensorBoard(folder / "tensorboard")],
                shuffle=False,
                verbose=self.verbose,
            )
        if phase == "head":
            network.load_weights(checkpoints.best_weights)
        return checkpoints


def _cases(samples: tuple[Sample, ...], cases: dict[str, Case]) -> list[Case]:
    return [cases[sample.id] for sample in samples]


def _rows(phases: list[Checkpoints]) -> list[dict]:
    return [row for phase in phases for row in phase.rows]
