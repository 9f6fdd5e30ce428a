"""Which raw values a generator sees as -1 and 1: the way in and the way back."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from kmed import preprocessors
from kmed.data import DataError, Sample
from kmed.data.intensity import intensity_range
from kmed.data.pictures import SUFFIXES
from kmed.tasks import inputs
from kmed.tasks.adversarial_settings import AdversarialSettings

_BYTE = (0.0, 255.0)


def in_hounsfield(samples: Sequence[Sample], settings: AdversarialSettings, modality: str) -> bool:
    """Say whether the values of a modality are Hounsfield units, and refuse a mixture.

    Args:
        samples: of the modality.
        settings: preprocessor and modality's range.
        modality: its name, such as "ct".

    Returns:
        Whether they are.

    Raises:
        DataError: naming the file whose values are others.
    """
    if modality in settings.ranges or settings.preprocessor == "range":
        return False
    said = (samples[0].modality or modality).lower()
    if settings.preprocessor != "ct" and said != "ct":
        return False
    if settings.preprocessor == "ct" and said not in ("ct", "image", modality.lower()):
        raise DataError(f"{samples[0].files[0]}: is of modality {said}, not in Hounsfield units")
    for sample in samples:
        inputs.check_modality(sample, "ct")
    return True


def image_range(
    samples: Sequence[Sample], settings: AdversarialSettings, modality: str = "image"
) -> tuple[float, float]:
    """Choose the raw values that become -1 and 1.

    Args:
        samples: of the training part.
        settings: intensity, preprocessor, window, seed.
        modality: the name that `intensity` may give a range under.

    Returns:
        Low and high: what the settings say; the window of CT; 0 and 255 of 8 bit pictures; else
        the percentiles that `kmed.data.intensity.intensity_range` measures.

    Raises:
        DataError: if the images are constant, or not in the units that the settings say.
        ValueError: if the settings name a modality that the data do not have.
    """
    ranges = settings.ranges
    if modality in ranges or "image" in ranges:
        return ranges.get(modality, ranges.get("image"))
    if in_hounsfield(samples, settings, modality):
        center, width = settings.window_hu
        return (center - width / 2, center + width / 2)
    pictures = all(sample.files[0].lower().endswith(SUFFIXES) for sample in samples)
    if pictures and samples[0].read().image.dtype == np.uint8:
        return _BYTE
    return intensity_range(samples, seed=settings.seed)


def range_preprocessor(
    limits: tuple[float, float], settings: AdversarialSettings, channels: int, *, hounsfield: bool
) -> keras.Model:
    """Build the preprocessor of a range.

    Args:
        limits: low and high in raw units.
        settings: size, window.
        channels: of the images.
        hounsfield: whether raw units are Hounsfield's: the bundle then refuses others.

    Returns:
        `kmed.preprocessors.ct` of the window, or `kmed.preprocessors.intensity`; both clip and
        scale to [-1, 1].
    """
    if hounsfield:
        return preprocessors.ct(settings.window_hu, channels=channels, rank=settings.rank)
    return preprocessors.intensity(*limits, channels=channels, rank=settings.rank)
