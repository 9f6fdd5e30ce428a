"""From a path to the labelled cases that a classifier trains on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from kmed.data import DataError, Labelled, Sample, Split, labelled
from kmed.data.cache import Cache
from kmed.layers import ResizeTo
from kmed.tasks import inputs
from kmed.tasks.classification.settings import Settings


def open_data(settings: Settings) -> Labelled:
    """Find the samples, their labels and what the labels mean.

    Args:
        settings: data, table, label, labels, kind and patient.

    Returns:
        The labelled data set.

    Raises:
        DataError: if the path holds nothing that kmed understands, or images without labels.
    """
    if settings.data is None:
        raise DataError(
            "a classifier needs labelled images: give `data` (--data PATH), a folder with one "
            "folder for each class, a CSV table of files and labels, or a MedMNIST .npz file"
        )
    return labelled(
        settings.data,
        kind=settings.kind,
        labels=settings.labels,
        table=settings.table,
        label=settings.label,
        patient=settings.patient,
    )


def parts(
    found: Labelled,
    settings: Settings,
    digests: Callable[[Sample], str],
    *,
    say: Callable[[str], None] = print,
) -> Split:
    """Split as the split file says, as the data set itself says, or by patient.

    Args:
        found: the data set.
        settings: split, split_file, fractions, seed, duplicates.
        digests: from a sample to the hash of its pixels.
        say: told of images left out.

    Returns:
        The audited split, see `kmed.tasks.inputs.own_or_drawn`.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    own = None if settings.split == "random" else found.split
    return inputs.own_or_drawn(found.samples, own, settings, digests, say=say)


def cache(settings: Settings, prepare: keras.Model) -> Cache:
    """Make the cache of images as the network sees them.

    Args:
        settings: size.
        prepare: the preprocessor.

    Returns:
        The cache; its cases hold what the exported bundle computes from the same raw values.
    """
    names = ("preprocessor", "window_hu", "size")
    description = {"task": "classification"} | {name: getattr(settings, name) for name in names}
    resize = ResizeTo(settings.size)

    def prepared(image, mask, spacing_mm):
        if image.ndim - 1 != settings.rank:
            raise DataError(
                f"images of {image.ndim - 1} spatial axes do not fit `size` {settings.size}: a "
                "volume has one label, so give three numbers for a volume and two for a picture"
            )
        return inputs.prepared_image(prepare, resize, image, settings.rank), None, None

    return Cache(settings.cache_dir or settings.run_folder / "cache", prepared, description)


def targets(samples: Sequence[Sample]) -> np.ndarray:
    """Give the labels as one array.

    Args:
        samples: with labels.

    Returns:
        int32 `(N,)` class indices, or `(N, K)` of 0 and 1 for several labels.
    """
    return np.array([sample.label for sample in samples], np.int32)
