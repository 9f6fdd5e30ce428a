"""From a path to the images, with classes or without, that a generator learns from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from kmed.data import DataError, Labelled, Sample, Split, discover, labelled
from kmed.data.cache import Cache, Case
from kmed.data.epochs import entries_of
from kmed.layers import ResizeTo
from kmed.tasks import inputs
from kmed.tasks.synthesis.settings import Settings


def open_data(settings: Settings) -> Labelled:
    """Find the images and, where they have classes, these.

    Args:
        settings: data, table, label, labels, patient, conditional.

    Returns:
        The data set; without classes `labels` is empty.

    Raises:
        DataError: if the path holds no images, or none with classes where `conditional` asks for
            them.
    """
    if settings.data is None:
        raise DataError(
            "synthesis needs images to learn from: give `data` (--data PATH), a folder of images, "
            "a folder with one folder for each class, or a MedMNIST .npz file"
        )
    if settings.conditional is not False:
        try:
            found = labelled(
                settings.data,
                labels=settings.labels,
                table=settings.table,
                label=settings.label,
                patient=settings.patient,
            )
        except DataError:
            if settings.conditional:
                raise
        else:
            if found.kind != "multilabel":
                return found
            if settings.conditional:
                raise DataError(
                    f"{settings.data}: images have several labels each; a conditional generator "
                    "takes one"
                )
    samples = discover(settings.data, patient=settings.patient)
    return Labelled(tuple(samples), (), "none", None)


def parts(found: Labelled, settings: Settings, *, say: Callable[[str], None] = print) -> Split:
    """Split as the split file says, as the data set itself says, or by patient.

    Args:
        found: the data set.
        settings: split, split_file, fractions, seed, duplicates.
        say: told of images left out.

    Returns:
        The audited split, see `kmed.tasks.inputs.own_or_drawn`.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    own = None if settings.split == "random" else found.split
    return inputs.own_or_drawn(found.samples, own, settings, say=say)


def cache(settings: Settings, prepare: keras.Model, limits: tuple[float, float]) -> Cache:
    """Make the cache of images as the networks see them.

    Args:
        settings: size.
        prepare: the preprocessor.
        limits: raw values of -1 and 1.

    Returns:
        The cache.
    """
    description = {"task": "synthesis", "limits": limits, "size": settings.size}
    resize = ResizeTo(settings.size)

    def prepared(image, mask, spacing_mm):
        if not settings.rank <= image.ndim - 1 <= 3:
            raise DataError(
                f"images of {image.ndim - 1} spatial axes do not fit `size` {settings.size}: give "
                "three numbers for whole volumes and two for pictures and slices"
            )
        return inputs.prepared_image(prepare, resize, image, settings.rank), None, None

    return Cache(settings.cache_dir or settings.run_folder / "cache", prepared, description)


def targets(samples: Sequence[Sample], labels: Sequence[str]) -> np.ndarray:
    """Give the classes of samples, 0 where there are none.

    Args:
        samples: of one part.
        labels: names of the classes; empty without.

    Returns:
        int32 `(N,)`.
    """
    return np.array([sample.label if labels else 0 for sample in samples], np.int32)


def images_of(
    cases: Sequence[Case], labels: np.ndarray, rank: int, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Read prepared images, or slices of volumes where the network is 2D.

    Args:
        cases: of one part.
        labels: their classes `(N,)`.
        rank: spatial axes of the network.
        most: images at most; of more so many are drawn.
        seed: of the drawing.

    Returns:
        float32 `(N, [D,] H, W, C)` in [-1, 1], and the class of each.
    """
    entries = entries_of(cases, rank)
    if len(entries) > most:
        chosen = np.random.default_rng(seed).choice(len(entries), most, replace=False)
        entries = entries[np.sort(chosen)]
    images = [
        np.asarray(cases[case].image() if index < 0 else cases[case].image()[index], np.float32)
        for case, index in entries
    ]
    return np.stack(images), labels[entries[:, 0]]
