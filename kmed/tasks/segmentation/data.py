"""From a path to the cases that a segmentation network trains on."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np

from kmed import preprocessors
from kmed.data import DataError, Sample, Split, audit, decathlon_labels, discover, split
from kmed.data.cache import Cache
from kmed.data.phantoms import phantom_source, phantoms
from kmed.data.resampling import resample, resampled_shape
from kmed.layers import ResizeTo
from kmed.losses import border_weight_map
from kmed.tasks.segmentation.settings import PREPROCESSORS, Settings

# Modalities whose values have a scale of their own, which no other preprocessor may take.
_SCALED = {"CT": "ct", "MR": "mr"}
_SLICES = 16  # of a volume, through a 2D preprocessor at once


def open_data(settings: Settings) -> tuple[list[Sample], tuple[str, ...]]:
    """Find the samples and the names of their classes.

    Args:
        settings: without `data`, phantom studies are made in the run's folder.

    Returns:
        The samples and the class names, background first.

    Raises:
        DataError: if the path holds nothing that kmed understands, or images without masks.
    """
    if settings.data is None:
        root = phantoms(
            settings.run_folder / "phantoms",
            patients=settings.patients,
            seed=settings.seed,
            modalities=(settings.modality,),
        )
        samples = phantom_source(root, modality=settings.modality)
        return samples, settings.labels or _declared_labels(root)
    path = Path(settings.data)
    labels = settings.labels or _declared_labels(path) or ("background", "foreground")
    return discover(path, classes=len(labels), patient=settings.patient), labels


def split_and_audit(
    samples: Sequence[Sample], settings: Settings, digests: Callable[[Sample], str] | None = None
) -> Split:
    """Split by patient, or as the split file says, and stop if the parts share an image.

    Args:
        samples: the data set.
        settings: fractions, seed, split file.
        digests: from a sample to the hash of its pixels, if it is known already.

    Returns:
        The audited split.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    if settings.split_file:
        parts = Split.load(settings.split_file, samples)
    else:
        train = 1 - settings.validation - settings.test
        fractions = (train, settings.validation, settings.test)
        parts = split(samples, fractions=fractions, seed=settings.seed)
    audit(parts, digest=digests)
    return parts


def preprocessor(settings: Settings, channels: int) -> keras.Model:
    """Build the preprocessor that the settings name.

    Args:
        settings: its kind and window.
        channels: channels of the images.

    Returns:
        A model from raw values to the network's, of the network's rank.
    """
    options = {"channels": channels, "rank": settings.rank}
    if settings.preprocessor == "ct":
        options["window_hu"] = settings.window_hu
    if settings.preprocessor == "rgb":
        options.pop("channels")
    return getattr(preprocessors, settings.preprocessor)(**options)


def cache(settings: Settings, prepare: keras.Model) -> Cache:
    """Make the cache of images as the network sees them.

    Args:
        settings: fit, size, spacing, loss.
        prepare: the preprocessor.

    Returns:
        The cache; its cases hold what the exported bundle computes from the same raw values.
    """
    names = ("preprocessor", "window_hu", "fit", "spacing_mm")
    description = {name: getattr(settings, name) for name in names}
    description["rank"] = settings.rank
    description["size"] = settings.size if settings.fit == "resize" else None
    weighted = settings.loss == "border_weighted"
    description["weighted"] = weighted
    resize = ResizeTo(settings.size) if settings.fit == "resize" else None

    def prepared(image, mask, spacing_mm):
        if mask is None:
            raise DataError("a segmentation network trains on masks, and this source has none")
        if settings.spacing_mm:
            grid = resampled_shape(mask.shape, spacing_mm, settings.spacing_mm)
            image, mask = resample(image, grid, order=1), resample(mask, grid, order=0)
        image = _in_batches(prepare, resize, image, settings.rank)
        if resize is not None:
            grid = (*mask.shape[:-2], *settings.size)
            mask = resample(mask, grid, order=0)
        weight = _border_weights(mask) if weighted else None
        return image, mask, weight

    folder = settings.cache_dir or settings.run_folder / "cache"
    return Cache(folder, prepared, description)


def check_modality(sample: Sample, preprocessor_name: str) -> None:
    """Refuse an image whose values are not in the units that the preprocessor takes.

    A network for Hounsfield units gives a mask for MR too, and nothing in the mask tells that it
    is nonsense. Sources that don't say their modality (pictures, NIfTI) pass.

    Args:
        sample: the image.
        preprocessor_name: name of a preprocessor of kmed; others are not checked.

    Raises:
        DataError: naming the file, its modality and those that fit.

    Example:
        >>> check_modality(Sample(id="a", patient="a", files=(), read=None, modality="CT"), "ct")
    """
    if preprocessor_name not in PREPROCESSORS or not sample.modality:
        return
    if _SCALED.get(sample.modality.upper(), preprocessor_name) != preprocessor_name or (
        preprocessor_name in _SCALED.values() and sample.modality.upper() not in _SCALED
    ):
        raise DataError(
            f"{sample.files[0]}: is of modality {sample.modality}, whose values are not what the "
            f"preprocessor {preprocessor_name!r} takes"
        )


def _in_batches(prepare, resize, image, rank):
    """A volume goes slice by slice through a 2D model, as it will when the bundle is used."""
    single = image.ndim - 1 == rank
    batch = image[None] if single else image
    parts = []
    for first in range(0, len(batch), _SLICES):
        x = prepare(np.asarray(batch[first : first + _SLICES], np.float32), training=False)
        parts.append(np.asarray(resize(x) if resize is not None else x))
    result = np.concatenate(parts)
    return result[0] if single else result


def _border_weights(mask):
    # Every connected piece of any structure is an object of the paper's.
    if mask.ndim == 2:
        return border_weight_map(mask > 0)
    return np.stack([border_weight_map(row > 0) for row in mask])


def _declared_labels(path: Path) -> tuple[str, ...] | None:
    file = path / "dataset.json" if path.is_dir() else path
    if file.name != "dataset.json" or not file.is_file():
        return None
    described = json.loads(file.read_text())
    return tuple(described["labels"]) if "kmed" in described else decathlon_labels(file.parent)
