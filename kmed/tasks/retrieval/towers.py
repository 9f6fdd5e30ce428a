"""The two bundles of one retrieval system, found again by what they say of each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kmed.data import Arrays, DataError, Sample
from kmed.data.items import Item
from kmed.data.paired_volumes import slice_items
from kmed.export import Bundle, TextBundle, bundle_folder, version_folders
from kmed.tasks.inputs import check_modality

Tower = Bundle | TextBundle


def tower_name(name: str, modality: str) -> str:
    """Name the bundle of one modality."""
    return f"{name}-{modality}"


def load_tower(path: str | Path) -> Tower:
    """Load the bundle of one modality, of images or of text.

    Args:
        path: saved_models/NAME-MODALITY or saved_models/NAME-MODALITY/VERSION.

    Returns:
        The bundle.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: if it is no tower of a retrieval system.
    """
    folder = bundle_folder(path)
    facts = _facts(folder)
    if facts["metadata"].get("task") != "retrieval":
        raise ValueError(
            f"{folder} is no tower of a retrieval system; train one: kmed train triplet"
        )
    kind = TextBundle if facts["input"]["name"] == "text" else Bundle
    return kind.load(folder)


def partner_folder(path: str | Path) -> Path:
    """Find the other tower of the same training, which lies beside a tower.

    Args:
        path: saved_models/NAME-MODALITY or saved_models/NAME-MODALITY/VERSION.

    Returns:
        The partner's saved_models/NAME-MODALITY/VERSION.

    Raises:
        FileNotFoundError: if it is not there.
    """
    folder = bundle_folder(path)
    facts = _facts(folder)
    own = facts["metadata"]
    root = folder.parent.with_name(own["partner_name"])
    for candidate in version_folders(root):
        other = _facts(candidate)["metadata"]
        if other.get("training") == own["training"]:
            return candidate
    raise FileNotFoundError(
        f"{root}: holds no tower of the training that {folder} is from; copy the folders of both "
        "modalities together"
    )


def embeddings(
    bundle: Tower,
    items: Sequence[Item],
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Embed items, each volume read once and one in memory at a time.

    Args:
        bundle: of the items' modality.
        items: of one modality.
        progress: called with the number of items done and of all.

    Returns:
        float32 `(N, dimension)`.

    Raises:
        DataError: if an image is not what the bundle takes, naming its file.
    """
    found = []
    current, image = None, None
    for done, item in enumerate(items, start=1):
        if item.text is not None:
            found.append(bundle.answer(item.text)["embedding"])
        else:
            if current != item.sample.id:
                current, image = item.sample.id, fitting(bundle, item.sample).image
            shown = image if item.slice is None else image[item.slice]
            found.append(bundle.answer(shown)["embedding"])
        if progress:
            progress(done, len(items))
    return np.stack(found).astype("float32")


def slices(
    bundle: Bundle, sample: Sample, every_mm: float | None = None
) -> Iterator[tuple[int | None, float | None, np.ndarray]]:
    """Embed an image, or the slices of a volume that show something.

    Args:
        bundle: of the image's modality.
        sample: the image or volume.
        every_mm: distance of the slices taken, at least; None: all.

    Yields:
        The slice's index and its position along the normal in mm (None of a whole image), and its
        embedding `(dimension,)`.

    Raises:
        DataError: if the image is not what the bundle takes, or a volume shows nothing, naming its
            file.
    """
    arrays = fitting(bundle, sample)
    if arrays.image.ndim - 1 == bundle.rank:
        yield None, None, bundle.answer(arrays.image)["embedding"]
        return
    held = replace(sample, read=lambda: arrays)  # else it would be read again
    for item in slice_items([held], every_mm=every_mm):
        vector = bundle.answer(arrays.image[item.slice])["embedding"]
        yield item.slice, item.position_mm, vector


def fitting(bundle: Bundle, sample: Sample) -> Arrays:
    """Read an image that a bundle takes whole, or slice by slice.

    Args:
        bundle: of the image's modality.
        sample: the image or volume.

    Returns:
        What was read.

    Raises:
        DataError: if the image is not what the bundle takes, naming its file.
    """
    check_modality(sample, bundle.preprocessor.name)
    arrays = sample.read()
    rank, channels = arrays.image.ndim - 1, arrays.image.shape[-1]
    if not bundle.rank <= rank <= 3 or channels != bundle.channels:
        wanted = "a volume" if bundle.rank == 3 else "pictures or slices"
        raise DataError(
            f"{sample.files[0]}: the bundle {bundle.name} takes {wanted} of {bundle.channels} "
            f"channels; this is {arrays.image.shape}"
        )
    return arrays


def _facts(folder: Path) -> dict:
    return json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
