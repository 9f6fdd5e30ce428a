"""What labels of whole images mean: their kinds, their classes' names, labelled data sets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kmed.data.sample import DataError, Sample
from kmed.data.splits import Split
from kmed.ops.class_targets import KINDS

# What the parts of an official split are called, in any mixture of capitals.
_PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_INTEGER = re.compile(r"([+-]?\d+)(?:\.0*)?")


class Labelled(NamedTuple):
    """A data set with a label for each image or volume.

    Attributes:
        samples: each with a `label`: a class index, or a 0 or 1 per class for "multilabel".
        labels: names of the classes, in the order of their indices.
        kind: one of `KINDS`.
        split: the data set's own split, or None where it has none. A part that it does not have is
            empty; `kmed.data.split(parts.train, fractions=(0.9, 0.1, 0))` draws a validation set.
    """

    samples: tuple[Sample, ...]
    labels: tuple[str, ...]
    kind: str
    split: Split | None


def checked_kind(kind: str | None, classes: int, *, several: bool, where: str) -> str:
    """Chooses what labels mean, or checks what the user says of it.

    Args:
        kind: one of `KINDS`, or None for what the labels themselves say.
        classes: number of classes.
        several: whether an image may have several labels.
        where: the file or folder, for error messages.

    Returns:
        One of `KINDS`; "ordinal" only if it was asked for.

    Raises:
        ValueError: if the kind is none of `KINDS`.
        DataError: if it does not fit the labels.

    Example:
        >>> checked_kind(None, 2, several=False, where="labels.csv")
        'binary'
    """
    require_kind(kind)
    if classes < (1 if several else 2):
        raise DataError(f"{where}: has {classes} class; there is nothing to tell apart")
    if kind is None:
        return "multilabel" if several else "binary" if classes == 2 else "multiclass"
    if several != (kind == "multilabel"):
        holds = "several labels an image" if several else "one label an image"
        raise DataError(f"{where}: holds {holds}, which does not fit kind={kind!r}")
    if kind == "binary" and classes != 2:
        raise DataError(f"{where}: kind='binary' has 2 classes; there are {classes}")
    return kind


def require_kind(kind: str | None) -> None:
    """Refuses a kind of labels that does not exist.

    Args:
        kind: one of `KINDS`, or None.

    Raises:
        ValueError: if it is none of them.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}; received {kind!r}")


def checked_names(labels: Sequence[str] | None) -> tuple[str, ...] | None:
    """Checks the names of classes that a user gives.

    Args:
        labels: names in the order of the class indices, or None.

    Returns:
        The names as a tuple of str, or None.

    Raises:
        ValueError: if a name is empty or comes twice, or `labels` is one str.
    """
    if labels is None:
        return None
    names = () if isinstance(labels, str) else tuple(str(name) for name in labels)
    if not names or not all(names) or len(set(names)) < len(names):
        raise ValueError(f"`labels` must be different names of classes; received {labels!r}")
    return names


def encoded(
    values: Sequence[str],
    places: Sequence[str],
    *,
    labels: Sequence[str] | None = None,
    kind: str | None = None,
) -> tuple[list[int], tuple[str, ...]]:
    """Turns the names of classes, or whole numbers, into class indices.

    Args:
        values: one per image.
        places: where each value stands, for error messages.
        labels: names in the order of the indices. Where the values are numbers and no names, they
            are the indices. None: the different values, sorted; numbers by value.
        kind: an order that only the alphabet gives is refused for "ordinal".

    Returns:
        The class indices and the names.

    Raises:
        DataError: if a value is no class; if grades have names and no order.

    Example:
        >>> encoded(["sick", "well", "sick"], ["row 1", "row 2", "row 3"])
        ([0, 1, 0], ('sick', 'well'))
        >>> encoded(["1", "0"], ["row 1", "row 2"], labels=["well", "sick"])
        ([1, 0], ('well', 'sick'))
    """
    labels = checked_names(labels)
    numbers = [_INTEGER.fullmatch(value) for value in values]
    numeric = bool(values) and all(numbers)
    if numeric and not (labels and set(values) <= set(labels)):
        values = [str(int(number.group(1))) for number in numbers]  # "02" and "2.0" are 2
    if labels is None:
        if kind == "ordinal" and not numeric:
            raise DataError(
                f"{places[0]}: {values[0]!r} is a name; say the order of the grades with "
                "labels=[lowest, ..., highest]"
            )
        labels = tuple(sorted(set(values), key=int if numeric else None))
    elif numeric and not set(values) & set(labels):
        names = dict(zip(map(str, range(len(labels))), labels, strict=True))
        for value, place in zip(values, places, strict=True):
            if value not in names:
                raise DataError(f"{place}: class {value} is not from 0 to {len(labels) - 1}")
        values = [names[value] for value in values]
    index = {name: number for number, name in enumerate(labels)}
    for value, place in zip(values, places, strict=True):
        if value not in index:
            raise DataError(f"{place}: {value!r} is not one of the classes {', '.join(labels)}")
    return [index[value] for value in values], labels


def split_part(name: str) -> str | None:
    """Tells which part of a split a folder or a table's entry names.

    Args:
        name: such as "train", "Training", "valid" or "test".

    Returns:
        "train", "validation", "test" or None.

    Example:
        >>> split_part("Val"), split_part("CXR")
        ('validation', None)
    """
    return _PARTS.get(name.strip().lower())


def official_split(samples: Iterable[Sample], parts: Iterable[str | None]) -> Split | None:
    """Makes a split of the parts that a data set assigns.

    Args:
        samples: the data set.
        parts: "train", "validation", "test" or None of each sample.

    Returns:
        The split, or None where there is but one part.

    Raises:
        DataError: if some samples have no part, or none is for training.
    """
    pairs = list(zip(samples, parts, strict=True))
    named = {part for _, part in pairs}
    if len(named) < 2:
        return None
    for sample, part in pairs:
        if part is None:
            raise DataError(f"{sample.files[0]}: in no part of the split; others are in one")
    if "train" not in named:
        raise DataError(f"{pairs[0][0].files[0]}: the split has no part for training")
    return Split(
        *(
            tuple(sample for sample, of in pairs if of == part)
            for part in ("train", "validation", "test")
        )
    )
