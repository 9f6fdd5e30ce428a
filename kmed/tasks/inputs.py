"""From raw images to a network's, and from a data set to its parts, for every task."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from kmed import preprocessors
from kmed.data import DataError, Sample, Split, audit, split, without_duplicates
from kmed.tasks.training_settings import PREPROCESSORS, TrainingSettings

# Modalities whose values have a scale of their own, which no other preprocessor may take.
_SCALED = {"CT": "ct", "MR": "mr"}
_SLICES = 16  # of a volume, through a 2D preprocessor at once


def split_and_audit(
    samples: Sequence[Sample],
    settings: TrainingSettings,
    digests: Callable[[Sample], str] | None = None,
    *,
    say: Callable[[str], None] = print,
) -> Split:
    """Split by patient, or as the split file says, and stop if the parts share an image.

    Args:
        samples: the data set.
        settings: fractions, seed, split file, duplicates.
        digests: from a sample to the hash of its pixels, if it is known already.
        say: told of images left out.

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
    return audited(parts, settings, digests, say=say)


def own_or_drawn(
    samples: Sequence[Sample],
    own: Split | None,
    settings: TrainingSettings,
    digests: Callable[[Sample], str] | None = None,
    *,
    say: Callable[[str], None] = print,
) -> Split:
    """Split as the split file says, as the data set itself says, or by patient.

    Args:
        samples: the data set.
        own: the data set's own split, or None.
        settings: fractions, seed, split file, duplicates.
        digests: from a sample to the hash of its pixels, if it is known already.
        say: told of images left out.

    Returns:
        The audited split. A data set without a validation part of its own has it drawn from the
        training part; one without a test part has both drawn.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    if settings.split_file or own is None or not own.test:
        return split_and_audit(samples, settings, digests, say=say)
    if not own.validation:
        fractions = (1 - settings.validation, settings.validation, 0.0)
        drawn = split(own.train, fractions=fractions, seed=settings.seed)
        own = Split(drawn.train, drawn.validation, own.test, seed=drawn.seed)
    return audited(own, settings, digests, say=say)


def audited(
    parts: Split,
    settings: TrainingSettings,
    digests: Callable[[Sample], str] | None = None,
    *,
    say: Callable[[str], None] = print,
) -> Split:
    """Stop if the parts of a split share a patient or an image, or leave such images out.

    Args:
        parts: the split.
        settings: duplicates.
        digests: from a sample to the hash of its pixels, if it is known already.
        say: told of images left out.

    Returns:
        The audited split.

    Raises:
        LeakageError: naming the files that two parts share.
    """
    if settings.duplicates == "drop":
        parts, dropped = without_duplicates(parts, digest=digests)
        if dropped:
            say(f"left out {dropped} images that a later part of the split holds too")
    audit(parts, digest=digests)
    return parts


def preprocessor(settings: TrainingSettings, channels: int) -> keras.Model:
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


def check_modality(sample: Sample, preprocessor_name: str) -> None:
    """Refuse an image whose values are not in the units that the preprocessor takes.

    A network for Hounsfield units answers for MR too, and nothing in the answer tells that it
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


def image_channels(samples: Sequence[Sample]) -> int:
    """Count the channels of a data set's images by its first.

    Args:
        samples: the data set.

    Returns:
        The number of channels.

    Raises:
        DataError: for an empty data set.
    """
    if not samples:
        raise DataError("the data set is empty")
    return samples[0].read().image.shape[-1]


def prepared_image(
    prepare: keras.Model, resize: keras.layers.Layer | None, image: np.ndarray, rank: int
) -> np.ndarray:
    """Preprocess and resize one raw image as a bundle does.

    Args:
        prepare: the preprocessor.
        resize: layer that brings images to the network's size, or None.
        image: `(H, W, C)` or `(D, H, W, C)` in raw units.
        rank: of the network: with 2 a volume goes slice by slice, as when the bundle is used.

    Returns:
        float32 of the same number of axes.
    """
    single = image.ndim - 1 == rank
    batch = image[None] if single else image
    parts = []
    for first in range(0, len(batch), _SLICES):
        x = prepare(np.asarray(batch[first : first + _SLICES], np.float32), training=False)
        parts.append(np.asarray(resize(x) if resize is not None else x))
    result = np.concatenate(parts)
    return result[0] if single else result
