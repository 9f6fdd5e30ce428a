"""From a path to the cases that a segmentation network trains on."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

from kmed.data import DataError, Sample, decathlon_labels, discover
from kmed.data.cache import Cache
from kmed.data.phantoms import phantom_source, phantoms
from kmed.data.resampling import resample, resampled_shape
from kmed.layers import ResizeTo
from kmed.losses import border_weight_map
from kmed.tasks.inputs import prepared_image
from kmed.tasks.segmentation.settings import Settings


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
        image = prepared_image(prepare, resize, image, settings.rank)
        if resize is not None:
            grid = (*mask.shape[:-2], *settings.size)
            mask = resample(mask, grid, order=0)
        weight = _border_weights(mask) if weighted else None
        return image, mask, weight

    folder = settings.cache_dir or settings.run_folder / "cache"
    return Cache(folder, prepared, description)


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
