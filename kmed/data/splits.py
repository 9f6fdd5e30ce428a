"""Training, validation and test sets that share no patient."""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kmed.data.sample import DataError, Sample

_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Three sets of samples.

    Attributes:
        train: what the weights are fitted to.
        validation: what chooses the best epoch.
        test: what the reported figures come from.
        seed: the seed that the split was drawn with, or None.
    """

    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    seed: int | None = None

    def save(self, path: str | os.PathLike) -> None:
        """Writes the samples' ids and the seed as JSON.

        Args:
            path: file to write.
        """
        content = {"format": "kmed-split", "version": 1, "seed": self.seed}
        content |= {part: [sample.id for sample in getattr(self, part)] for part in _PARTS}
        Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | os.PathLike, samples: Sequence[Sample]) -> Split:
        """Reads a split and finds its samples.

        Args:
            path: file that `save` wrote.
            samples: the data set; samples that the file does not name take no part.

        Returns:
            The split, with the order of the file.

        Raises:
            DataError: if the file is no split, names a sample twice or one that does not exist, or
                a patient has samples in two parts.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            parts = {part: content[part] for part in _PARTS}
            seed = content.get("seed")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: cannot be read as a split ({error!r})") from error
        known = _by_id(samples)
        part_of_id: dict[str, str] = {}
        first_of: dict[str, str] = {}  # sample of each patient
        for part, ids in parts.items():
            if not isinstance(ids, list) or not all(isinstance(i, str) for i in ids):
                raise DataError(f"{path}: {part!r} must be a list of sample ids")
            absent = [i for i in ids if i not in known]
            if absent:
                raise DataError(
                    f"{path}: names {len(absent)} samples that the data set does not have, "
                    f"first {absent[0]!r}"
                )
            for name in ids:
                if name in part_of_id:
                    raise DataError(
                        f"{path}: sample {name!r} is in {part_of_id[name]} and again in {part}"
                    )
                part_of_id[name] = part
                # Named by their samples: an error message must not repeat a Patient ID.
                other = first_of.setdefault(known[name].patient, name)
                if part_of_id[other] != part:
                    raise DataError(
                        f"{path}: one patient is in {part_of_id[other]} (sample {other!r}) and in "
                        f"{part} (sample {name!r}); a patient belongs to one part"
                    )
        return cls(*(tuple(known[i] for i in parts[part]) for part in _PARTS), seed=seed)


def split(
    samples: Sequence[Sample],
    *,
    fractions: tuple[float, float, float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> Split:
    """Draws training, validation and test set by patient.

    Depends on the patients and the seed, not on the order of the samples. Where samples have
    labels, each part has the labels' proportions as nearly as whole patients allow.

    Args:
        samples: the data set.
        fractions: shares of patients for training, validation and test; they sum to 1. A part with
            a share above 0 gets one patient at least.
        seed: seed of the draw.

    Returns:
        The split; samples are sorted by id.

    Raises:
        DataError: if ids are not unique or there are fewer patients than parts.
        ValueError: if the fractions are not three shares that sum to 1.

    Example:
        >>> samples = [Sample(id=f"s{i}", patient=f"p{i % 10}", files=(), read=None)
        ...            for i in range(20)]
        >>> parts = split(samples, fractions=(0.6, 0.2, 0.2))
        >>> len(parts.train), len(parts.validation), len(parts.test)
        (12, 4, 4)
    """
    shares = np.array(fractions, np.float64)
    if shares.shape != (3,) or not (shares >= 0).all() or not abs(shares.sum() - 1) < 1e-6:
        raise ValueError(f"`fractions` must be three shares that sum to 1; received {fractions}")
    if not shares[0]:
        raise ValueError(f"`fractions` must leave patients to train on; received {fractions}")
    by_patient = _by_patient(samples)
    wanted = np.count_nonzero(shares)
    if len(by_patient) < wanted:
        raise DataError(
            f"{wanted} parts need {wanted} patients at least; the data set has {len(by_patient)}; "
            "set a fraction to 0, or tell the source what a patient is"
        )
    counts = _whole(shares, len(by_patient))
    # Test first: a validation set of another size is taken from the training set alone.
    order = _mixed(by_patient, seed)
    test, validation, train = np.split(np.array(order, object), np.cumsum(counts[:0:-1]))
    parts = [
        tuple(sorted((s for p in part for s in by_patient[p]), key=lambda s: s.id))
        for part in (train, validation, test)
    ]
    return Split(*parts, seed=seed)


def folds(samples: Sequence[Sample], k: int = 5, *, seed: int = 0) -> list[Split]:
    """Draws k splits for cross-validation: each patient is in `validation` of exactly one.

    Args:
        samples: the data set.
        k: number of folds, 2 or more.
        seed: seed of the draw.

    Returns:
        k splits with an empty `test`; samples are sorted by id.

    Raises:
        DataError: if ids are not unique or there are fewer than k patients.
        ValueError: if k is below 2.
    """
    if k < 2:
        raise ValueError(f"`k` must be 2 or more; received {k}")
    by_patient = _by_patient(samples)
    if len(by_patient) < k:
        raise DataError(f"{k} folds need {k} patients at least; the data set has {len(by_patient)}")
    # Dealt out label by label, so that of each label every fold has the same number, to within one.
    order = sum(_strata(by_patient, np.random.default_rng(seed)), [])
    splits = []
    for fold in range(k):
        held_out = set(order[fold::k])
        parts: tuple[list[Sample], list[Sample]] = ([], [])
        for sample in sorted(samples, key=lambda s: s.id):
            parts[sample.patient in held_out].append(sample)
        splits.append(Split(tuple(parts[0]), tuple(parts[1]), (), seed=seed))
    return splits


def _by_id(samples: Sequence[Sample]) -> dict[str, Sample]:
    known: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in known:
            raise DataError(
                f"sample ids must be unique; {sample.id!r} names {known[sample.id].files} and "
                f"{sample.files}"
            )
        known[sample.id] = sample
    return known


def _by_patient(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    if not samples:
        raise DataError("there are no samples to split")
    _by_id(samples)
    patients: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        patients[sample.patient].append(sample)
    return dict(sorted(patients.items()))


def _whole(shares: np.ndarray, count: int) -> np.ndarray:
    """Give whole numbers of patients by largest remainder, one at least for each share above 0."""
    exact = shares * count
    counts = np.floor(exact + 1e-9).astype(int)
    for part in np.argsort(counts - exact, kind="stable")[: count - counts.sum()]:
        counts[part] += 1
    for part in np.flatnonzero((counts == 0) & (shares > 0)):
        counts[np.argmax(counts)] -= 1
        counts[part] += 1
    return counts


def _mixed(by_patient: dict[str, list[Sample]], seed: int) -> list[str]:
    """Order patients at random so that every run of the order has all labels' proportions.

    Systematic sampling: the n patients of a label stand 1/n apart from a random start, so that a
    run that is the share f of the whole holds f * n of them, to within one or two.
    """
    random = np.random.default_rng(seed)
    placed = []
    for patients in _strata(by_patient, random):
        start = random.random()
        for rank, patient in enumerate(patients):
            placed.append(((rank + start) / len(patients), random.random(), patient))
    return [patient for _, _, patient in sorted(placed)]


def _strata(by_patient: dict[str, list[Sample]], random: np.random.Generator) -> list[list[str]]:
    """Give the patients of each label in random order."""
    strata: dict[int, list[str]] = defaultdict(list)
    for patient, samples in by_patient.items():
        labels = Counter(s.label for s in samples if s.label is not None)
        # The most frequent label; of two the smaller, so that the order of samples has no say.
        most = min(labels, key=lambda k: (-labels[k], k)) if labels else -1
        strata[most].append(patient)
    return [
        [names[i] for i in random.permutation(len(names))] for _, names in sorted(strata.items())
    ]
