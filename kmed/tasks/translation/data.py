"""From a path to the images of two modalities that a translation learns from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from kmed.data import DataError, Sample, Split
from kmed.data.cache import Cache, Case
from kmed.data.items import CrossModal, Item
from kmed.data.patches import cut
from kmed.data.translation_pairs import translation_source, unpaired_parts
from kmed.layers import ResizeTo
from kmed.tasks import inputs
from kmed.tasks.progress import tenths
from kmed.tasks.translation.settings import Settings


def open_data(settings: Settings) -> CrossModal:
    """Find the images of both modalities.

    Args:
        settings: data, modalities, algorithm, paired, side_by_side, patient, key, every_mm.

    Returns:
        The data set, the source first; of pairs, matching images have the same key.

    Raises:
        DataError: if the path holds no images of two modalities, or no pairs where the algorithm
            needs them.
    """
    if settings.data is None:
        raise DataError(
            "translation needs images of two modalities: give `data` (--data PATH), a folder with "
            "T1 and T2 (or CT and MR) of each patient, or two folders of images"
        )
    needed = True if settings.algorithm == "pix2pix" else None
    return translation_source(
        settings.data,
        modalities=settings.modalities,
        paired=needed if settings.paired is not True else True,
        side_by_side=settings.side_by_side,
        patient=settings.patient,
        key=settings.key,
        every_mm=settings.every_mm,
        rank=settings.rank,
    )


def training_part(part: CrossModal, settings: Settings) -> CrossModal:
    """Take the pairs from an algorithm that is to learn without them.

    Args:
        part: the training part.
        settings: algorithm, paired, seed.

    Returns:
        The part; where pairs exist and are not to be used, each patient has one modality left.
    """
    if settings.algorithm == "pix2pix" or settings.paired is True or not is_paired(part):
        return part
    return unpaired_parts(part, settings.seed)


def is_paired(found: CrossModal) -> bool:
    """Say whether images of the two modalities match."""
    first, second = ({item.key for item in found.items[name]} for name in found.modalities)
    return bool(first & second)


def pairs(found: CrossModal) -> list[tuple[Item, Item]]:
    """List what matches.

    Args:
        found: items of both modalities.

    Returns:
        The source's item and the target's, of each key that both have.
    """
    source, target = found.modalities
    of_target = {item.key: item for item in found.items[target]}
    return [(item, of_target[item.key]) for item in found.items[source] if item.key in of_target]


def samples_of(found: CrossModal, modality: str) -> tuple[Sample, ...]:
    """Give the images and volumes of one modality, each once."""
    return tuple({item.sample.id: item.sample for item in found.items[modality]}.values())


def prepared(
    found: CrossModal,
    preprocessors: Mapping[str, object],
    limits: Mapping[str, tuple[float, float]],
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
) -> dict[str, Case]:
    """Prepare all images as the networks see them, or take them from the cache.

    Args:
        found: the data set.
        preprocessors: of each modality.
        limits: raw values of -1 and 1 of each.
        settings: size, fit, cache.
        say: told of the progress.

    Returns:
        By sample id the prepared image, or volume of slices.
    """
    cases: dict[str, Case] = {}
    for modality, prepare in preprocessors.items():
        samples = samples_of(found, modality)
        description = {
            "task": "translation",
            "limits": limits[modality],
            **{name: getattr(settings, name) for name in ("size", "fit")},
        }

        def one(image, mask, spacing_mm, prepare=prepare):
            if not settings.rank <= image.ndim - 1 <= 3:
                raise DataError(
                    f"images of {image.ndim - 1} spatial axes do not fit `size` {settings.size}: "
                    "give three numbers for whole volumes and two for pictures and slices"
                )
            if settings.fit == "resize":
                resize = ResizeTo(settings.size)
                return inputs.prepared_image(prepare, resize, image, settings.rank), None, None
            scaled = inputs.prepared_image(prepare, None, image, settings.rank)
            return framed(scaled, settings.size), None, None

        store = Cache(settings.cache_dir or settings.run_folder / "cache", one, description)
        found_cases = store.cases(samples, progress=tenths(say, f"{modality}: prepared"))
        cases |= dict(zip([s.id for s in samples], found_cases, strict=True))
    return cases


def framed(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Cut an image around its centre, or continue it by its edge, to a size.

    Args:
        image: `([D,] H, W, C)`.
        size: of its last spatial axes; the slices of a volume are cut alike.

    Returns:
        The image; of `size`.
    """
    spatial = image.shape[:-1]
    whole = (*spatial[: len(spatial) - len(size)], *size)
    start = [(n - wanted) // 2 for n, wanted in zip(spatial, whole, strict=True)]
    return cut(image, np.array(start), whole)


def parts(found: CrossModal, settings: Settings, *, say: Callable[[str], None] = print) -> Split:
    """Split by patient, as the split file says or as the data set itself says.

    Args:
        found: the data set.
        settings: split_file, fractions, seed, duplicates.
        say: told of images left out.

    Returns:
        The audited split of the samples of both modalities.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    return inputs.own_or_drawn(found.samples, found.split, settings, say=say)
