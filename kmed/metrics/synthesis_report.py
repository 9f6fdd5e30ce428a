"""All measures of a generator of images, with intervals from resampling images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from kmed.metrics.bootstrap import Interval, bootstrap_interval
from kmed.metrics.classification_report import ALL
from kmed.metrics.distances import distance_blocks
from kmed.metrics.frechet import checked_features, frechet_distance_of_features
from kmed.metrics.kernel_distance import cubic_kernel, discrepancy
from kmed.metrics.memorisation import Memorisation

_PAIRED = 1000  # images of a kind of which all pairs are held: 8 MB a table
_FEW = 4  # with fewer there are no two halves that say how much a value varies


def synthesis_report(
    real: np.ndarray,
    fake: np.ndarray,
    *,
    memorisation: Memorisation | None = None,
    correct: Sequence[bool] | None = None,
    classes: Sequence[str] | None = None,
    patients: Sequence[str] | None = None,
    level: float = 0.95,
    halves: int = 50,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Returns every measure of generated images with its interval.

    Under "all": `fid`, the Fréchet distance, and `kid`, the kernel distance, between the features;
    `diversity`, the mean distance between generated images relative to that between real ones; with
    `memorisation` the share of `copies` of training images and `nearest_distance`, the median
    distance to the nearest training image relative to that of held-out images; with `correct` the
    `conditional_accuracy`, the share of images of which a classifier says what was asked for. With
    `classes` too, an entry for each class holds its `conditional_accuracy`.

    Shares and medians have the percentile interval of the bootstrap over generated images.
    Distances between sets do not bear it: an image drawn twice makes a set less diverse, and the
    distance of every such sample too large. Their limits are the value plus and minus a normal
    quantile of the delete-half jackknife's deviation: the deviation of the measure over random
    halves of the images, of the real ones by patient. Two generators judged with the same real
    images differ by less chance than these limits say of each.

    References:
        Shao, Wu: A general theory for jackknife variance estimation, Ann. Statist. 17 (1989),
        whose factor, what is kept by what is left out, is 1 for halves.
        See `frechet_distance_of_features`, `kernel_distance`, `diversity`, `memorisation`.

    Args:
        real: features of real images that the generator did not learn from, `(N, F)`.
        fake: features of generated images, `(M, F)`.
        memorisation: of the same generated images.
        correct: of each generated image whether a classifier finds the class asked for, `(M,)`.
        classes: the class asked for of each generated image, `(M,)`.
        patients: the patient of each real image, or None if each is another patient.
        level: of confidence, between 0 and 1.
        halves: number of random halves.
        seed: of the resampling.

    Returns:
        `{"all": {measure: Interval}, class: {measure: Interval}}`; `n` is the number of generated
        images. `kid` and `diversity` are of 1000 images of each kind at most, evenly from all.

    Raises:
        ValueError: for shapes or lengths that don't fit, or values that are not finite.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> real, fake = rng.normal(size=(200, 4)), rng.normal(0.5, 1, (300, 4))
        >>> report = synthesis_report(real, fake, correct=np.arange(300) % 10 > 0)["all"]
        >>> print(report["conditional_accuracy"])
        0.900 (0.863 to 0.933), n = 300
        >>> bool(report["fid"].low < 4 * 0.5**2 < report["fid"].high)
        True
    """
    real, fake = checked_features(real, fake)
    for name, given, count in (
        ("correct", correct, len(fake)),
        ("classes", classes, len(fake)),
        ("memorisation", None if memorisation is None else memorisation.distance, len(fake)),
        ("patients", patients, len(real)),
    ):
        if given is not None and len(given) != count:
            raise ValueError(f"`{name}` must have {count} entries; received {len(given)}")
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1; received {level}")
    if halves < 2:
        raise ValueError(f"`halves` must be at least 2; received {halves}")
    patients = np.arange(len(real)) if patients is None else np.asarray(patients)
    options = {"level": level, "seed": seed}
    report = {ALL: _of_sets(real, fake, patients, level, halves, seed)}
    if memorisation is not None:
        copies = memorisation.copies.astype("float64")
        report[ALL]["copies"] = bootstrap_interval(copies, **options)
        report[ALL]["nearest_distance"] = bootstrap_interval(
            memorisation.ratio, statistic=np.median, **options
        )
    if correct is not None:
        right = np.asarray(correct, "float64")
        report[ALL]["conditional_accuracy"] = bootstrap_interval(right, **options)
        for name in () if classes is None else dict.fromkeys(map(str, classes)):
            of_class = right[np.asarray(classes).astype(str) == name]
            report[name] = {"conditional_accuracy": bootstrap_interval(of_class, **options)}
    return report


def _of_sets(real, fake, patients, level, halves, seed):
    """Measures of two sets as a whole, with the deviation over halves."""
    some, others = _evenly(len(real)), _evenly(len(fake))
    a, b = real[some], fake[others]
    kernels = cubic_kernel(a, a), cubic_kernel(b, b), cubic_kernel(a, b)
    apart = _distances(a), _distances(b)

    def values(rows, columns):
        """Of the real images and the generated ones that are marked."""
        i, j = np.flatnonzero(rows[some]), np.flatnonzero(columns[others])
        within, among, between = kernels
        return (
            frechet_distance_of_features(real[rows], fake[columns]),
            discrepancy(within[np.ix_(i, i)], among[np.ix_(j, j)], between[np.ix_(i, j)]),
            _ratio(_mean(apart[1][np.ix_(j, j)]), _mean(apart[0][np.ix_(i, i)])),
        )

    everything = values(np.ones(len(real), bool), np.ones(len(fake), bool))
    deviation = np.full(len(everything), np.nan)
    _, patient = np.unique(patients, return_inverse=True)
    count = int(patient.max()) + 1
    if min(count, len(fake)) >= _FEW:
        rng = np.random.default_rng(seed)
        drawn = []
        for _ in range(halves):
            rows = _half(rng, count)[patient]
            drawn.append(values(rows, _half(rng, len(fake))))
        deviation = np.std(drawn, axis=0, ddof=1)
    reach = ndtri((1 + level) / 2) * deviation
    lowest = 0.0, -np.inf, 0.0
    return {
        name: Interval(value, max(value - r, low), value + r, len(fake), int(np.isnan(value)))
        for name, value, r, low in zip(
            ("fid", "kid", "diversity"), everything, reach.tolist(), lowest, strict=True
        )
    }


def _evenly(count):
    return np.linspace(0, count - 1, min(count, _PAIRED)).round().astype(int)


def _half(rng, count):
    chosen = np.zeros(count, bool)
    chosen[rng.permutation(count)[: count // 2]] = True
    return chosen


def _distances(table):
    found = np.zeros((len(table), len(table)))
    for rows, columns, block in distance_blocks(table, table):
        found[rows, columns] = block
    np.fill_diagonal(found, 0)
    return found


def _mean(distances):
    count = len(distances)
    return distances.sum() / (count * (count - 1)) if count > 1 else np.nan


def _ratio(distance, usual):
    return float(distance / usual) if usual > 0 else float("nan")
