"""What `predict` takes and gives, for every task."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from kmed.data import DataError, Sample, discover, nifti, pictures
from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.samples import dicom_images
from kmed.data.pairing import files_below

_ALONE = (*pictures.SUFFIXES, *nifti.SUFFIXES)  # files that are a whole image each

_IRREGULAR = ("tilt", "spacing", "missing")  # what may be resampled


class Predicted(NamedTuple):
    """What `predict` did.

    Attributes:
        written: the files.
        failed: pairs of an input and the reason why it was left out.
    """

    written: list[Path]
    failed: list[tuple[str, str]]


def samples_of(
    inputs: Iterable[str | Path], failed: list[tuple[str, str]], *, resample: bool = False
) -> Iterator[Sample]:
    """Find the images of files, folders of files, and DICOM series.

    Args:
        inputs: files and folders.
        failed: gets pairs of an input that cannot be read and the reason.
        resample: whether DICOM slices that lie on no regular grid (tilt, uneven spacing, missing
            ones) are sampled anew instead of refused.

    Yields:
        The samples of what can be read.
    """
    for path in inputs:
        try:
            yield from discover(path)
        except DicomError:
            # A series is whole or it is nothing, but the others of its folder are read.
            decisions = dict.fromkeys(_IRREGULAR, "resample" if resample else "refuse")
            try:
                yield from dicom_images(path, several="all", left_out=failed, **decisions)
            except DataError as error:
                failed.append((str(path), str(error)))
        except DataError as error:
            # One file that is broken must not keep the others of its folder from being read.
            alone = files_below(path, _ALONE) if Path(path).is_dir() else []
            if alone:
                yield from samples_of(alone, failed)
            else:
                failed.append((str(path), str(error)))


def unused_name(name: str, names: set[str]) -> str:
    """Number a name that another input had: two series are often both called "ct".

    Args:
        name: the wanted one; a "/" becomes "_".
        names: those given away, which this one joins.

    Returns:
        The name, or "NAME-2", "NAME-3" and so on.

    Example:
        >>> names = set()
        >>> unused_name("a/ct", names), unused_name("a/ct", names)
        ('a_ct', 'a_ct-2')
    """
    name = name.replace("/", "_")
    candidates = itertools.chain([name], (f"{name}-{i}" for i in itertools.count(2)))
    chosen = next(candidate for candidate in candidates if candidate not in names)
    names.add(chosen)
    return chosen
