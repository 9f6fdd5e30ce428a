"""All measures of translated images against true ones, with intervals from resampling patients."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kmed.metrics.bootstrap import Interval, bootstrap_interval
from kmed.metrics.image_similarity import VOLUMES, mae, ms_ssim, psnr, ssim
from kmed.ops.structural_similarity import smallest_size


def translation_report(
    cases: Iterable[tuple],
    *,
    data_range: float,
    unit: str | None = None,
    volume: str = "slices",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Interval]:
    """Returns every measure with its bootstrap interval over patients.

    `mae` is the mean absolute error in the images' unit, `psnr` in decibels, `ssim` and, where any
    image has 176 pixels along its axes, `ms_ssim`; each the mean over the cases. What a case has
    no value for is left out and counted in `omitted`: an infinite PSNR (equal images), similarity
    of images smaller than the window (11 pixels), errors where a mask marks nothing.

    Reference: Efron, Tibshirani: An introduction to the bootstrap, 1993, chapter 13.

    Args:
        cases: of each the real image, the generated one, both `(H, W)`, `(H, W, C)` or
            `(D, H, W, C)`, its patient and, if there is one, a mask `([D,] H, W)` within which
            `mae` and `psnr` are taken (similarity looks at whole images). They are read once, one
            after the other: a generator keeps memory flat.
        data_range: largest possible value less the smallest.
        unit: of the intensities: with "HU" the error is called "mae_hu".
        volume: similarity of volumes, "slices" or "whole", see `image_similarity.ssim`.
        level: of confidence, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        `{measure: Interval}`.

    Raises:
        ValueError: for no case, images that do not fit one another, or values that are not finite:
            the message has the case's number.

    Example:
        >>> real = np.zeros((16, 16))
        >>> cases = [(real, real + error, patient) for error, patient in ((10, "a"), (20, "b"))]
        >>> print(translation_report(cases, data_range=2000)["mae"])
        15.000 (10.000 to 20.000), n = 2
    """
    if volume not in VOLUMES:
        raise ValueError(f"`volume` must be one of {VOLUMES}; received {volume!r}")
    rows, patients = [], []
    for number, (real, fake, patient, *rest) in enumerate(cases):
        if len(rest) > 1:
            raise ValueError(
                "a case is (real, fake, patient) or (real, fake, patient, mask); received "
                f"{3 + len(rest)} parts"
            )
        try:
            rows.append(_measured(real, fake, rest[0] if rest else None, data_range, volume))
        except ValueError as error:
            raise ValueError(f"case {number}: {error}") from error
        patients.append(str(patient))
    if not rows:
        raise ValueError("`cases` must have one case at least; received none")
    values = dict(zip(("mae", "psnr", "ssim", "ms_ssim"), np.transpose(rows), strict=True))
    if np.isnan(values["ms_ssim"]).all():
        del values["ms_ssim"]
    if unit is not None:
        values = {f"mae_{unit.lower()}" if k == "mae" else k: v for k, v in values.items()}
    settings = {"patients": patients, "level": level, "resamples": resamples, "seed": seed}
    return {name: bootstrap_interval(column, **settings) for name, column in values.items()}


def _measured(real, fake, mask, data_range, volume) -> tuple[float, ...]:
    """Four measures of one case, NaN where it is too small."""
    errors = mae(real, fake, mask), psnr(real, fake, data_range=data_range, mask=mask)
    shape = np.shape(real)
    sides = shape[:2] if len(shape) < 4 else shape[:3] if volume == "whole" else shape[1:3]
    similarities = [
        measure(real, fake, data_range=data_range, volume=volume)
        if min(sides) >= smallest
        else np.nan
        for measure, smallest in ((ssim, smallest_size(1)), (ms_ssim, smallest_size()))
    ]
    return (*errors, *similarities)
