"""Does anatomy survive a translation? What a segmenter finds in translated and in real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kmed.data import DataError
from kmed.data.items import CrossModal
from kmed.export import Bundle
from kmed.metrics import Interval, dice_score
from kmed.metrics.bootstrap import bootstrap_statistics
from kmed.tasks.segmentation.whole_case import WholeCase
from kmed.tasks.translation.data import pairs
from kmed.tasks.translation.whole_volume import WholeVolume


def anatomy(
    bundle: Bundle,
    segmenter: str | Path,
    found: CrossModal,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Interval]]:
    """Compare what a segmenter of the target modality finds with the true masks.

    Args:
        bundle: a translator.
        segmenter: the bundle of a segmentation of the target modality.
        found: pairs whose target samples have masks.
        seed: of the bootstrap.
        progress: called with the number of volumes done and of all.

    Returns:
        For each structure "dice" of the translated image, "dice_of_real" of the real one, and
        "dice_ratio", the mean of the one over that of the other.

    Raises:
        DataError: if there are no pairs, or a target has no mask.
        ValueError: if the segmenter is none, or takes other images.
    """
    segment = Bundle.load(segmenter)
    if segment.metadata.get("task") != "segmentation":
        raise ValueError(f"`segmenter` must be the bundle of a segmentation; {segmenter} is none")
    source, target = bundle.metadata["source"], bundle.metadata["target"]
    ordered = CrossModal(
        modalities=(source, target), items={n: found.items[n] for n in (source, target)}
    )
    volumes = {(one.sample.id): (one.sample, other.sample) for one, other in pairs(ordered)}
    if not volumes:
        raise DataError(f"there are no pairs of {source} and {target} to segment")
    translate, case = WholeVolume(bundle), WholeCase(segment)
    scores, patients = {"dice": [], "dice_of_real": []}, []
    for i, (one, other) in enumerate(volumes.values()):
        real = other.read()
        if real.mask is None:
            raise DataError(f"{other.files[0]}: has no mask to compare a segmentation with")
        translated = translate(one.read().image)
        for name, image in (("dice", translated), ("dice_of_real", real.image)):
            labels = case(image, real.spacing_mm).labels
            scores[name].append(dice_score(real.mask, labels, len(segment.labels))[1:])
        patients.append(other.patient)
        if progress:
            progress(i + 1, len(volumes))
    stacked = {name: np.stack(values) for name, values in scores.items()}
    return {
        label: _report({name: values[:, k] for name, values in stacked.items()}, patients, seed)
        for k, label in enumerate(segment.labels[1:])
    }


def _report(values, patients, seed):
    names = ("dice", "dice_of_real")
    table = np.nan_to_num(np.stack([values[name] for name in names], axis=-1))

    def means(weights):
        mean = weights @ table / weights.sum(axis=1, keepdims=True)  # (R, 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([mean, mean[:, :1] / mean[:, 1:]], axis=1)

    intervals = bootstrap_statistics(means, len(table), patients=patients, seed=seed)
    return dict(zip((*names, "dice_ratio"), intervals, strict=True))
