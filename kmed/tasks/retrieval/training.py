"""Cross-modal retrieval, from files to two measured towers: the whole road, top to bottom."""

from __future__ import annotations

import math
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import keras

from kmed import distribute, preprocessors
from kmed.data.augmentation import Augmentation
from kmed.data.cross_modal_batches import cross_modal_training_batches
from kmed.data.views import views
from kmed.export import Bundle, EmbeddingDecoder, TextBundle
from kmed.tasks import inputs
from kmed.tasks.progress import tenths
from kmed.tasks.retrieval import data, networks
from kmed.tasks.retrieval.judging import ValidationRecall
from kmed.tasks.retrieval.measuring import measure
from kmed.tasks.retrieval.publishing import publish
from kmed.tasks.retrieval.settings import Settings
from kmed.tasks.retrieval.towers import tower_name
from kmed.tasks.runs import Run, claim, run_facts
from kmed.trainers.checkpoints import Checkpoints


def train(
    builder: networks.Builder,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    verbose: int | str = "auto",
) -> Run:
    """Train two towers, measure them on the test part, export them and report.

    The best epoch comes from the validation part, the figures from the test part. Interrupted at
    any moment and called again with the same settings, it goes on from the last whole epoch and
    ends with the same weights.

    Args:
        builder: function of `input_shape`, `dimension` and more that gives an image tower:
            `kmed.applications.embedding`.
        settings: everything else.
        say: told what is being done, a line at a time.
        verbose: as in `keras.Model.fit`.

    Returns:
        Where things are and what was measured; `bundle_path` is the first modality's.

    Raises:
        DataError: for data that kmed refuses, naming the file and the rule.
        LeakageError: if two parts of the split share a patient or an image.
        ValueError: for settings that don't fit together or differ from the interrupted training's.
    """
    keras.utils.set_random_seed(settings.seed)
    claim(settings)
    found = data.open_data(settings)
    modalities = found.modalities
    counts = ", ".join(f"{len(found.items[name])} of {name}" for name in modalities)
    say(f"items: {counts}; {len({s.patient for s in found.samples})} patients")
    kinds = data.preprocessor_names(found, settings)
    channels = {name: _channels(found, name) for name in modalities}
    prepare = {
        name: inputs.preprocessor(settings.replaced(preprocessor=kind), channels[name])
        for name, kind in kinds.items()
    }
    cases = data.prepared(found, prepare, settings, say=say)
    split = data.parts(found, settings, cases, say=say)
    split.save(settings.run_folder / "split.json")
    part = {name: found.part(getattr(split, name)) for name in ("train", "validation", "test")}
    words = None
    for name in modalities:
        if name not in kinds:
            sentences = [item.text for item in part["train"].items[name]]
            words = networks.vocabulary(settings, sentences)
            prepare[name] = preprocessors.text(words, length=settings.words)
            say(f"{len(words)} words of the training part's sentences")
    of_part = {name: views(part[name], cases) for name in ("train", "validation")}

    strategy = distribute.strategy(settings.devices)
    replicas = strategy.num_replicas_in_sync
    pairs = len({item.key for item in part["train"].items[modalities[0]]})
    steps = settings.steps_per_epoch or max(1, math.ceil(pairs / settings.batch_size))
    checkpoints = Checkpoints(
        settings.run_folder, monitor="val_recall", mode="max", patience=settings.patience
    )
    with strategy.scope(), distribute.precision(settings.precision):
        towers = networks.build(builder, settings, _seen(channels, prepare), words)
        for tower in towers.values():
            distribute.synchronize_batch_norm(tower, replicas)
        fitted = networks.compiled(towers, settings, steps * settings.epochs)
        first = checkpoints.restore(fitted)
    for name, tower in towers.items():
        say(f"{name}: {tower.count_params():,} parameters on {replicas} device(s)")
    if first:
        say(f"going on after epoch {first} of {settings.epochs}")
    if first < settings.epochs and not checkpoints.finished:
        augmentation = Augmentation(flip=settings.flip, **settings.augmentation)
        batches, steps = cross_modal_training_batches(
            of_part["train"],
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            first_epoch=first,
            steps_per_epoch=steps,
            sampler=settings.sampler,
            per_label=settings.per_label,
            augmentation=augmentation.scaled(settings.augment),
            word_dropout=settings.word_dropout,
            seed=settings.seed,
        )
        judge = ValidationRecall(
            _of_raw_text(towers, prepare),
            of_part["validation"],
            batch_size=settings.batch_size,
            match=settings.match,
            tolerance_mm=settings.tolerance_mm,
        )
        board = keras.callbacks.TensorBoard(settings.run_folder / "tensorboard")
        fitted.fit(
            _in_numbers(batches, prepare),
            epochs=settings.epochs,
            initial_epoch=first,
            steps_per_epoch=steps,
            callbacks=[judge, checkpoints, board],
            shuffle=False,
            verbose=verbose,
        )

    say(f"best epoch {checkpoints.best_epoch} (validation recall {checkpoints.best:.4f})")
    fitted.load_weights(checkpoints.best_weights)
    bundles = _bundles(builder, settings, towers, prepare, channels, words)
    measured = measure(
        bundles,
        part["test"],
        gallery=settings.gallery,
        seed=settings.seed,
        progress=lambda name: tenths(say, f"{name}: measured"),
    )
    parameters = {id(tower): tower.count_params() for tower in towers.values()}
    facts = run_facts(
        Path(settings.data).name,
        settings.seed,
        found.samples,
        split,
        [checkpoints],
        sum(parameters.values()),
    )
    paths, report = publish(
        bundles,
        measured,
        facts,
        title=f"{settings.name}: {' and '.join(modalities)}",
        saved_models=settings.saved_models,
        folder=settings.run_folder,
        log=checkpoints.rows,
        say=say,
    )
    for path in list(paths.values())[1:]:
        say(f"bundle: {path}")
    return Run(paths[modalities[0]], report, measured.summary, split)


def _bundles(builder, settings, towers, prepare, channels, words):
    """Put each tower, in float32, between its preprocessor and its decoder."""
    with distribute.precision("float32"):
        plain = settings.replaced(network=settings.network | {"weights": None})
        trained = networks.build(builder, plain, _seen(channels, prepare), words)
    names = list(towers)
    training = sha256(settings.fingerprint().encode())
    for name in names:
        trained[name].set_weights(towers[name].get_weights())
        for weight in towers[name].get_weights():
            training.update(weight.tobytes())
    bundles = {}
    for name, partner in zip(names, names[::-1], strict=True):
        facts = {
            "task": "retrieval",
            "modality": name,
            "partner": partner,
            "first": name == names[0],
            "partner_name": tower_name(settings.name, partner),
            "training": training.hexdigest()[:32],  # the same of both towers, and no others
            "match": settings.match,
            "tolerance_mm": settings.tolerance_mm,
            "every_mm": settings.every_mm,
            "source": settings.columns | {"patient": settings.patient, "key": settings.key},
        }
        own_name = tower_name(settings.name, name)
        if channels[name] is None:
            bundles[name] = TextBundle(own_name, prepare[name], trained[name], metadata=facts)
            continue
        if prepare[name].name == "ct":
            facts["window_hu"] = settings.window_hu
        bundles[name] = Bundle(
            own_name,
            prepare[name],
            trained[name],
            labels=(),
            decoder=EmbeddingDecoder(),
            fit=settings.fit,
            size=settings.size,
            metadata=facts,
        )
    return bundles


def _channels(found, modality):
    """Channels of a modality's images; None for text."""
    item = found.items[modality][0]
    return None if item.text is not None else item.sample.read().image.shape[-1]


def _seen(channels, prepare):
    """Channels that the towers see, after the preprocessor."""
    return {
        name: None if count is None else prepare[name].output_shape[-1]
        for name, count in channels.items()
    }


def _of_raw_text(towers, prepare):
    """Put the vocabulary before a text tower: validation sees sentences."""
    whole = dict(towers)
    for name, model in prepare.items():
        if model.input.dtype == "string":
            text = keras.Input((), dtype="string")
            whole[name] = keras.Model(text, towers[name](model(text)))
    return whole


def _in_numbers(batches, prepare):
    """Turn the sentences of batches into the indices of their words."""
    texts = [name for name, model in prepare.items() if model.input.dtype == "string"]
    if not texts:
        return batches

    def numbered(x, y):
        return x | {name: prepare[name](x[name]) for name in texts}, y

    return batches.map(numbered)
