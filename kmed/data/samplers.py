"""Which items of two modalities share a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

SAMPLERS = ("paired", "labels")


class PairedSampler:
    """Batches of pairs that all differ.

    A batch holds `batch_size` different keys, and of each key one item of each modality, drawn at
    random where there are several. Every key comes once before any comes again.

    Args:
        keys: of each modality the "key" of its items, `(N,)` integers; keys that not all of them
            have take no part.
        batch_size: keys in a batch.

    Raises:
        ValueError: if there are fewer keys than a batch holds.

    Example:
        >>> sampler = PairedSampler([{"key": np.array([7, 5])}, {"key": np.array([5, 7, 7])}],
        ...                         batch_size=2)
        >>> pairs = sampler.epoch(steps=1, random=np.random.default_rng(0))
        >>> sorted(pairs[:, 0].tolist()), bool((pairs[:, 1] == 0).any())
        ([0, 1], True)
    """

    def __init__(self, keys: Sequence[Mapping[str, np.ndarray]], *, batch_size: int):
        _require_positive(batch_size=batch_size)
        self._members = _Members([side["key"] for side in keys])
        self.count = len(self._members.units)
        self.batch_size = batch_size
        if not self.count:
            raise ValueError("the modalities have no key in common: there are no pairs")
        if self.count < batch_size:
            raise ValueError(
                "`batch_size` must not be above the number of pairs, because those of a batch "
                f"all differ; received {batch_size} with {self.count} pairs"
            )

    def epoch(self, steps: int, random: np.random.Generator) -> np.ndarray:
        """Draws an epoch.

        Args:
            steps: number of batches.
            random: source of randomness.

        Returns:
            `(steps * batch_size, M)` int32: of each of M modalities the index of an item; every
            `batch_size` rows are a batch.
        """
        units = _rounds(self.count, steps * self.batch_size, self.batch_size, random)
        return self._members.draw(units, random)

    def pairs(self) -> np.ndarray:
        """Gives each key once, in order, with the first of its items in each modality.

        Returns:
            `(count, M)` int32: of each of M modalities the index of an item.
        """
        return self._members.first()


class LabelSampler:
    """Batches of P labels with K items each in every modality (P x K).

    Labels come equally often, however rare. The items of a label are those of K keys, different
    ones where the label has so many, one item of each modality to a key: an item has its own
    partner in the batch besides others of its label. Items without a label take no part.

    Reference: Hermans, Beyer and Leibe, "In Defense of the Triplet Loss for Person
    Re-Identification" (2017), section 2.

    Args:
        keys: of each modality the "key" and the "label" of its items, `(N,)` integers, a label
            below 0 being unknown; keys count for a label that an item of theirs has in every
            modality.
        batch_size: items of a modality in a batch, P * K.
        per_label: items of a label in a batch, K.

    Raises:
        ValueError: if K does not divide the batch, or there are fewer than P labels.
    """

    def __init__(
        self, keys: Sequence[Mapping[str, np.ndarray]], *, batch_size: int, per_label: int
    ):
        _require_positive(batch_size=batch_size, per_label=per_label)
        if batch_size % per_label:
            raise ValueError(
                "`batch_size` must be a multiple of `per_label`; received "
                f"{batch_size} and {per_label}"
            )
        # A pair of key and label as one number, so that it can be compared.
        base = 1 + max(int(np.max(side["label"], initial=0)) for side in keys)
        pairs = [
            np.where(side["label"] >= 0, side["key"].astype(np.int64) * base + side["label"], -1)
            for side in keys
        ]
        self._members = _Members(pairs)
        self.count = len(self._members.units)
        of_unit = self._members.units % base
        self._of_label = [np.flatnonzero(of_unit == label) for label in np.unique(of_unit)]
        self.batch_size, self.per_label = batch_size, per_label
        if len(self._of_label) < batch_size // per_label:
            raise ValueError(
                f"a batch of {batch_size} items, {per_label} of each label, takes "
                f"{batch_size // per_label} labels; the pairs have {len(self._of_label)}: raise "
                "`per_label` or lower `batch_size`"
            )

    def epoch(self, steps: int, random: np.random.Generator) -> np.ndarray:
        """Draws an epoch, as `PairedSampler.epoch`."""
        several = self.batch_size // self.per_label
        labels = _rounds(len(self._of_label), steps * several, several, random)
        units = np.empty((len(labels), self.per_label), np.int64)
        for label, own in enumerate(self._of_label):
            rows = np.flatnonzero(labels == label)
            # With fewer keys than places in a batch, some come twice in it.
            apart = self.per_label if len(own) >= self.per_label else 1
            drawn = _rounds(len(own), len(rows) * self.per_label, apart, random)
            units[rows] = own[drawn].reshape(len(rows), self.per_label)
        return self._members.draw(units.ravel(), random)


class _Members:
    """The items of each modality that belong to one unit, such as a key."""

    def __init__(self, units_of_items: Sequence[np.ndarray]):
        shared = np.unique(units_of_items[0])
        for units in units_of_items[1:]:
            shared = np.intersect1d(shared, units)
        self.units = shared[shared >= 0]
        # Items in the order of their units: those of a unit lie between two places.
        self.orders = [np.argsort(units, kind="stable") for units in units_of_items]
        ordered = [units[order] for units, order in zip(units_of_items, self.orders, strict=True)]
        self.starts = [np.searchsorted(units, self.units) for units in ordered]
        ends = [np.searchsorted(units, self.units, side="right") for units in ordered]
        self.numbers = [end - start for start, end in zip(self.starts, ends, strict=True)]

    def first(self) -> np.ndarray:
        """Give the first item of each modality for each unit, as `(U, M)` int32."""
        columns = [order[at] for order, at in zip(self.orders, self.starts, strict=True)]
        return np.stack(columns, axis=1).astype(np.int32)

    def draw(self, numbers: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Give one item of each modality for each of some units `(N,)`, as `(N, M)` int32."""
        columns = []
        for order, starts, counts in zip(self.orders, self.starts, self.numbers, strict=True):
            place = starts[numbers] + random.integers(counts[numbers])
            columns.append(order[place])
        return np.stack(columns, axis=1).astype(np.int32)


def _rounds(count: int, length: int, apart: int, random: np.random.Generator) -> np.ndarray:
    """Shuffle 0 to count - 1 again and again; every `apart` in a row from the start differ."""
    order = np.empty(0, np.int64)
    while len(order) < length:
        fresh = random.permutation(count)
        begun = len(order) % apart
        if begun:
            # What the batch has already waits until the end of this round.
            taken = np.isin(fresh, order[len(order) - begun :])
            fresh = np.concatenate([fresh[~taken], fresh[taken]])
        order = np.concatenate([order, fresh])
    return order[:length]


def _require_positive(**numbers: int) -> None:
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"`{name}` must be 1 or more; received {value}")
