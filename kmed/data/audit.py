"""Finds what a network may have seen in training among what it is tested on."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from kmed.data.digest import pixel_digest
from kmed.data.sample import DataError, Sample
from kmed.data.splits import Split

_SHOWN = 10
_DUPLICATES = "\n`without_duplicates` (duplicates=drop) leaves the copies out of training"


class LeakageError(DataError):
    """A patient or an image is in two parts of a split."""


def audit(
    split: Split,
    *,
    pixels: bool = True,
    digest: Callable[[Sample], str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Refuses a split in which a patient, or an image with identical pixels, is in two parts.

    The decoded pixels are compared, so that a file is found under another name or in another
    lossless format. Images of one single value, such as empty slices, tell nothing of a patient
    and may repeat.

    Args:
        split: the split.
        pixels: compare the images, too. Decodes every file unless `digest` knows better; as many
            at a time as there are cores.
        digest: from a sample to a hash of its pixels, for instance one that was kept when the
            image was decoded for training; by default the image is decoded and hashed.
        progress: called with the number of images hashed and the number of all.

    Raises:
        LeakageError: naming the files.
        DataError: if an image cannot be read.
    """
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    samples = [(part, sample) for part, content in parts.items() for sample in content]
    _refuse(_across(samples, [sample.patient for _, sample in samples]), "the same patient")
    if pixels:
        hashes = _in_threads(digest or _hashed, [sample for _, sample in samples], progress)
        pairs = [pair for pair in _across(samples, hashes) if not _is_blank(pair[0][1])]
        _refuse(pairs, "identical pixels", _DUPLICATES)


def without_duplicates(
    split: Split, *, digest: Callable[[Sample], str] | None = None
) -> tuple[Split, int]:
    """Leaves out of training and validation what a later part holds, pixel by pixel.

    Published splits have such images; what they are tested on must not change, so the copies leave
    the parts before it.

    Args:
        split: the split.
        digest: as in `audit`.

    Returns:
        The split, and the number of images left out.

    Raises:
        DataError: if an image cannot be read.
    """
    parts = {"test": split.test, "validation": split.validation, "train": split.train}
    later: set[str] = set()
    kept: dict[str, tuple[Sample, ...]] = {}
    for part, samples in parts.items():
        hashes = _in_threads(digest or _hashed, samples)
        pairs = list(zip(samples, hashes, strict=True))
        kept[part] = tuple(s for s, h in pairs if h not in later or _is_blank(s))
        later.update(hashes)
    dropped = sum(len(parts[part]) - len(kept[part]) for part in parts)
    return Split(kept["train"], kept["validation"], kept["test"], seed=split.seed), dropped


def fingerprint(samples: Sequence[Sample]) -> str:
    """Hashes a data set: what its samples are called and what their files hold.

    Does not depend on the order of the samples, on where the files lie or on what they are called
    beyond the samples' ids.

    Args:
        samples: the data set.

    Returns:
        SHA-256, 64 hexadecimal digits.

    Raises:
        DataError: if a file cannot be read.
    """
    files = sorted({file for sample in samples for file in sample.files})
    content = dict(zip(files, _in_threads(_content, files), strict=True))
    rows = sorted(
        json.dumps([s.id, s.patient, s.label, [content[file] for file in s.files]]) for s in samples
    )
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _across(samples, keys):
    """Give pairs of (part, sample) with one key in two parts, one pair per key and two parts."""
    first: dict[str, dict[str, Sample]] = defaultdict(dict)
    for (part, sample), key in zip(samples, keys, strict=True):
        first[key].setdefault(part, sample)
    pairs = []
    for found in first.values():
        parts = list(found.items())
        pairs += [(a, b) for i, a in enumerate(parts) for b in parts[i + 1 :]]
    return pairs


def _refuse(pairs, what: str, hint: str = "") -> None:
    if pairs:
        lines = [
            f"  {_named(a)} ({part_a}) and {_named(b)} ({part_b})"
            for (part_a, a), (part_b, b) in pairs[:_SHOWN]
        ]
        if len(pairs) > _SHOWN:
            lines.append(f"  and {len(pairs) - _SHOWN} more")
        raise LeakageError(
            f"two parts of a split must not share {what}; found {len(pairs)} such pairs:\n"
            + "\n".join(lines)
            + hint
        )


def _named(sample: Sample) -> str:
    return f"{sample.files[0] if sample.files else 'no file'} [{sample.id}]"


def _is_blank(sample: Sample) -> bool:
    image = sample.read().image
    return bool(image.min() == image.max())


def _hashed(sample: Sample) -> str:
    return pixel_digest(sample.read().image)


def _content(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from error


def _in_threads(work, items, progress=None) -> list[str]:
    results = []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        for result in pool.map(work, items):
            results.append(result)
            if progress is not None:
                progress(len(results), len(items))
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nobody needs the rest
    return results
