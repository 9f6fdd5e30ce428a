"""From a path to the pairs that a retrieval system trains on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from kmed.data import DataError, Split
from kmed.data.cache import Cache, Case
from kmed.data.cross_modal import cross_modal
from kmed.data.items import CrossModal
from kmed.layers import Letterbox, ResizeTo
from kmed.tasks import inputs
from kmed.tasks.progress import tenths
from kmed.tasks.retrieval.settings import Settings

# What the values of a modality are where its files do not say it.
_MR = ("mr", "mri", "t1", "t1c", "t2", "flair", "pd", "dwi")
_BY_NAME = {"ct": "ct"} | dict.fromkeys(_MR, "mr")


def open_data(settings: Settings) -> CrossModal:
    """Find the items of both modalities and what matches.

    Args:
        settings: data, modalities, patient, key, columns, labels, every_mm.

    Returns:
        The data set.

    Raises:
        DataError: if the path holds no pairs that kmed understands.
    """
    if settings.data is None:
        raise DataError(
            "retrieval needs images of two modalities, or images with sentences: give `data` "
            "(--data PATH), a folder with T1 and T2 (or CT and MR) of each patient, or a CSV or "
            "JSON lines file of images and captions"
        )
    return cross_modal(
        settings.data,
        modalities=settings.modalities,
        patient=settings.patient,
        key=settings.key,
        labels=settings.labels,
        rank=settings.rank,
        every_mm=settings.every_mm,
        **settings.columns,
    )


def image_modalities(found: CrossModal) -> tuple[str, ...]:
    """Give the modalities that are no text."""
    return tuple(name for name in found.modalities if found.items[name][0].text is None)


def preprocessor_names(found: CrossModal, settings: Settings) -> dict[str, str]:
    """Choose each image modality's preprocessor.

    Args:
        found: the data set.
        settings: preprocessor.

    Returns:
        By modality ct, mr, xray or rgb.

    Raises:
        ValueError: if a preprocessor is given for each of two modalities and one is of text.
        DataError: if the images of a modality are not in the units that its preprocessor takes.
    """
    images, kinds = image_modalities(found), settings.preprocessor.split(",")
    if len(kinds) > 1 and len(kinds) != len(images):
        raise ValueError(
            f"`preprocessor` names {len(kinds)}; of {', '.join(found.modalities)} only "
            f"{', '.join(images)} has images"
        )
    kinds = kinds if len(kinds) == len(images) else kinds * len(images)
    names = {}
    for modality, kind in zip(images, kinds, strict=True):
        items = found.items[modality]
        first = items[0].sample
        if kind == "auto":
            said = (first.modality or modality).lower()
            kind = _BY_NAME.get(said, _BY_NAME.get(modality.lower(), "xray"))
        for sample in {item.sample.id: item.sample for item in items}.values():
            inputs.check_modality(sample, kind)
        names[modality] = kind
    return names


def frame(settings: Settings) -> keras.layers.Layer:
    """Make the layer that brings an image to the towers' size."""
    if settings.fit == "letterbox":
        return Letterbox(settings.size)
    return ResizeTo(settings.size)


def prepared(
    found: CrossModal,
    preprocessors: Mapping[str, keras.Model],
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
) -> dict[str, Case]:
    """Prepare all images as the towers see them, or take them from the cache.

    Args:
        found: the data set.
        preprocessors: of each image modality.
        settings: size, fit, window, cache.
        say: told of the progress.

    Returns:
        By sample id the prepared image, or volume of slices; it holds what the exported bundle
        computes from the same raw values.
    """
    cases: dict[str, Case] = {}
    for modality, prepare in preprocessors.items():
        samples = {item.sample.id: item.sample for item in found.items[modality]}
        description = {
            "task": "retrieval",
            "preprocessor": prepare.name,
            **{name: getattr(settings, name) for name in ("window_hu", "size", "fit")},
        }

        def one(image, mask, spacing_mm, prepare=prepare):
            if not settings.rank <= image.ndim - 1 <= 3:
                raise DataError(
                    f"images of {image.ndim - 1} spatial axes do not fit `size` {settings.size}: "
                    "give three numbers for whole volumes and two for pictures and slices"
                )
            fitted = inputs.prepared_image(prepare, frame(settings), image, settings.rank)
            return fitted, None, None

        store = Cache(settings.cache_dir or settings.run_folder / "cache", one, description)
        found_cases = store.cases(samples.values(), progress=tenths(say, f"{modality}: prepared"))
        cases |= dict(zip(samples, found_cases, strict=True))
    return cases


def parts(
    found: CrossModal,
    settings: Settings,
    cases: Mapping[str, Case],
    *,
    say: Callable[[str], None] = print,
) -> Split:
    """Split by patient, as the split file says or as the data set itself says.

    Args:
        found: the data set.
        settings: split, split_file, fractions, seed, duplicates.
        cases: of all samples, which know the hash of their pixels.
        say: told of images left out.

    Returns:
        The audited split of the samples of both modalities.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    own = None if settings.split == "random" else found.split
    return inputs.own_or_drawn(
        found.samples, own, settings, lambda sample: cases[sample.id].digest, say=say
    )
