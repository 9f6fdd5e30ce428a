"""From the cells of a table to the labels of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kmed.data.label_kinds import checked_names, encoded
from kmed.data.label_rows import Row, column_named
from kmed.data.sample import DataError

_NAMES = (
    *("label", "labels", "class", "classname", "classes", "target", "diagnosis", "dx"),
    *("finding", "findings", "findinglabels", "category", "grade", "y"),
)
_BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_JOINED = "|"
# What tables of several labels write for none of them, such as those of ChestX-ray14.
_NOTHING = ("no finding", "none")


def table_labels(
    path: Path,
    rows: Sequence[Row],
    chosen: Sequence[str],
    free: Sequence[str],
    *,
    labels: Sequence[str] | None,
    kind: str | None,
) -> tuple[list[int] | list[tuple[int, ...]], tuple[str, ...], bool]:
    """Reads one column of classes, or several of 0 and 1.

    Args:
        path: the table, for error messages.
        rows: its rows.
        chosen: the columns that the user names, or none.
        free: the columns among which to look otherwise.
        labels: names of the classes in the order of their indices, or None.
        kind: what the user says of the labels, or None.

    Returns:
        The label of each row, the names, and whether a row may have several labels.

    Raises:
        DataError: naming file and line: a blank cell, a value that is no class.
    """
    columns = list(chosen) or _found(path, rows, free)
    if len(columns) > 1:
        return _bits(path, rows, columns, checked_names(labels), kind)
    [column] = columns
    values = [row.cells[column] for row in rows]
    for row, value in zip(rows, values, strict=True):
        if not value:
            raise DataError(f"{row.where}: {column} is blank; delete the row or name its class")
    places = [f"{row.where}, {column}" for row in rows]
    if kind == "multilabel" or (kind is None and any(_JOINED in value for value in values)):
        return _joined(values, places, checked_names(labels))
    return *encoded(values, places, labels=labels, kind=kind), False


def _found(path: Path, rows: Sequence[Row], free: Sequence[str]) -> list[str]:
    named = column_named(free, _NAMES)
    if named is not None:
        return [named]
    if len(free) == 1 or (
        free and all(row.cells[name].lower() in _BITS for row in rows for name in free)
    ):
        return list(free)
    raise DataError(
        f"{path}: no column is called `label`, `class` or the like; say which holds the labels "
        f"with label_columns=, one or some of {', '.join(free) or 'none'}"
    )


def _bits(path, rows, columns, labels, kind):
    if labels is not None and set(labels) != set(columns):
        raise DataError(
            f"{path}: `labels` must name the columns {', '.join(columns)}; received "
            f"{', '.join(labels)}"
        )
    names = labels or tuple(columns)
    targets = []
    for row in rows:
        for name in names:
            if row.cells[name].lower() not in _BITS:
                raise DataError(
                    f"{row.where}: {name} must be 0 or 1, as several label columns hold; received "
                    f"{row.cells[name]!r}"
                )
        targets.append(tuple(_BITS[row.cells[name].lower()] for name in names))
    if kind in (None, "multilabel"):
        return targets, names, True
    for row, target in zip(rows, targets, strict=True):
        if sum(target) != 1:
            raise DataError(
                f"{row.where}: {sum(target)} columns hold 1; kind={kind!r} has one class a row"
            )
    return [target.index(1) for target in targets], names, False


def _joined(values, places, labels):
    rows = [[name.strip() for name in value.split(_JOINED)] for value in values]
    nothing = [name for name in _NOTHING if name not in map(str.lower, labels or ())]
    rows = [[] if len(row) == 1 and row[0].lower() in nothing else row for row in rows]
    names = labels or tuple(sorted({name for row in rows for name in row if name}))
    targets = []
    for row, place in zip(rows, places, strict=True):
        unknown = [name for name in row if name not in names or not name]
        if unknown:
            raise DataError(f"{place}: {unknown[0]!r} is not one of the classes {', '.join(names)}")
        targets.append(tuple(int(name in row) for name in names))
    return targets, names, True
