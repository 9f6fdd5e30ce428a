"""The folder of one training, and what it leaves behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kmed.data import Sample, Split, fingerprint
from kmed.tasks.training_settings import TrainingSettings
from kmed.trainers.checkpoints import Checkpoints


@dataclass(frozen=True)
class Run:
    """What a training leaves behind.

    Attributes:
        bundle_path: the bundle, saved_models/NAME/VERSION.
        report_path: the HTML report.
        metrics: per class and quantity, the value on test patients with its interval.
        split: the samples of each part.
    """

    bundle_path: Path
    report_path: Path
    metrics: dict
    split: Split


def claim(settings: TrainingSettings) -> None:
    """Write the settings into the run's folder, and refuse to mix two trainings in one.

    Args:
        settings: of the training that begins or goes on.

    Raises:
        ValueError: if the folder holds a training with other settings, naming them.
    """
    file = settings.run_folder / "settings.json"
    fingerprint_ = settings.fingerprint()
    # Settings that failed before the first epoch ended claim nothing.
    begun = any(settings.run_folder.rglob("epoch-*")) and file.exists()
    if begun and settings.resume and file.read_text() != fingerprint_:
        old, new = json.loads(file.read_text()), json.loads(fingerprint_)
        differing = sorted(k for k in new if old.get(k) != new[k])
        raise ValueError(
            f"{settings.run_folder} holds a training with other settings ({', '.join(differing)} "
            "differ); choose another `name` or `run_dir`, or start afresh with resume=False"
        )
    if not settings.resume:
        for old in list(settings.run_folder.rglob("epoch-*")):
            shutil.rmtree(old)
    settings.run_folder.mkdir(parents=True, exist_ok=True)
    file.write_text(fingerprint_)


def run_facts(
    data: str,
    seed: int,
    samples: Sequence[Sample],
    split: Split,
    checkpoints: Sequence[Checkpoints],
    parameters: int,
) -> dict:
    """What the model card and the report say of data and training: counts, no names of patients.

    Args:
        data: what the data set is called.
        seed: of the training.
        samples: the data set.
        split: its parts.
        checkpoints: of each phase of the training, the last one last.
        parameters: of the network.

    Returns:
        "data", "seed" and "training", as `kmed.export.write_card` takes them.
    """
    parts = {part: getattr(split, part) for part in ("train", "validation", "test")}
    seconds = sum(row["seconds"] for phase in checkpoints for row in phase.rows)
    return {
        "data": {
            "name": data,
            "fingerprint": fingerprint(samples),
            "patients": {
                part: len({s.patient for s in content}) for part, content in parts.items()
            },
            "images": {part: len(content) for part, content in parts.items()},
            "split_seed": split.seed,
        },
        "seed": seed,
        "training": {
            "epochs": sum(len(phase.rows) for phase in checkpoints),
            "best epoch": checkpoints[-1].best_epoch,
            "minutes": round(seconds / 60, 1),
            "parameters": parameters,
        },
    }


def validation_batch(batch_size: int, images: int, replicas: int) -> tuple[int, int]:
    """Choose how many images are validated, and in what batches.

    TensorFlow gives one replica less of a batch that is not full, or nothing, and Keras fails on
    both. Several replicas get full batches alone; at most `replicas - 1` images are left out.

    Args:
        batch_size: of the training.
        images: in the validation part.
        replicas: number of devices.

    Returns:
        Images in a validation batch, and images validated.

    Raises:
        ValueError: if the devices cannot share the batch, or there are fewer images than devices.
    """
    if batch_size % replicas:
        raise ValueError(
            f"`batch_size` must be divisible by the number of devices; received "
            f"{batch_size} for {replicas}"
        )
    if images < replicas:
        raise ValueError(
            f"the validation part must have an image for each of {replicas} devices; it has "
            f"{images}: raise `validation` or lower `devices`"
        )
    if replicas == 1:
        return batch_size, images
    images -= images % replicas
    sizes = range(batch_size, 0, -replicas)
    return next(size for size in sizes if images % size == 0), images
