"""What the names of files and folders say of modality and key."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial

from kmed.data.pairing import MASK_ENDINGS
from kmed.data.sample import DataError

_SEPARATOR = r"[/_\-. ]"
_MASKS = {ending.strip("_-") for ending in MASK_ENDINGS} | {"labels", "segmentations"}
_KNOWN = {
    *("ct", "cbct", "mr", "mri", "pet", "us", "dx", "cr", "xray", "oct", "fundus", "he", "ihc"),
    *("t1", "t1w", "t1c", "t1ce", "t1gd", "t1pre", "t1post", "t2", "t2w", "t2s", "flair", "pd"),
    *("pdw", "dwi", "adc", "swi"),
}
_LISTED = 12  # modalities that an error message names at most


def modality_of(name: str, modalities: Sequence[str]) -> str | None:
    """Finds the modality that a name tells, as the name of a folder or a part of a file's name.

    Parts of a name stand between `/`, `_`, `-`, `.` or blanks; capitals do not matter. A folder
    that is called like a modality decides; of a modality that is a part of another's name, such as
    "t1" and "t1-post", the longer.

    Args:
        name: path below the data set's folder without suffix.
        modalities: those that are looked for.

    Returns:
        One of `modalities`, or None.

    Raises:
        DataError: if the name tells two of them.

    Example:
        >>> modality_of("patient07_T1", ["t1", "t2"]), modality_of("patient07_t1c", ["t1", "t2"])
        ('t1', None)
    """
    folders = [part.lower() for part in name.split("/")]
    found = [m for m in modalities if m.lower() in folders]
    found = found or [m for m in modalities if _pattern(m).search(name)]
    found = [m for m in found if not any(m != o and _pattern(m).search(o) for o in found)]
    if len(found) > 1:
        raise DataError(
            f"{name}: the name tells both {found[0]!r} and {found[1]!r}; put the images of each "
            "modality into a folder that is called like it"
        )
    return found[0] if found else None


def key_of(name: str, modality: str) -> str:
    """Takes the modality out of a name; what is left names the pair.

    Args:
        name: path below the data set's folder without suffix.
        modality: the part to take out, wherever it stands.

    Returns:
        The rest; empty if the name is the modality alone.

    Example:
        >>> key_of("patient07_t1", "t1"), key_of("T2/p1_b", "t2"), key_of("p1/ct/scan", "ct")
        ('patient07', 'p1_b', 'p1/scan')
    """
    parts = _pattern(modality).sub("", name).split("/")
    parts = [re.sub(r"([_\-. ])[_\-. ]+", r"\1", part).strip("_-. ") for part in parts]
    return "/".join(part for part in parts if part)


def guessed_modalities(names: Sequence[str], where: str) -> tuple[str, str]:
    """Finds the two modalities that names tell.

    Where they may stand: the outermost or innermost folder, the whole name of the file, the last or
    first part of it. A place tells two modalities if it has two values with pairs; of several such
    places that with names of modalities is taken.

    Args:
        names: paths below the data set's folder without suffix.
        where: the folder, for error messages.

    Returns:
        The two, in lower case, sorted.

    Raises:
        DataError: if there are not two, saying what was found.

    Example:
        >>> guessed_modalities(["a_t2", "a_t1", "b_t1", "a_mask"], "folder")
        ('t1', 't2')
    """
    found = {tuple(values) for values in map(partial(_paired, names), _PLACES) if values}
    two = [values for values in found if len(values) == 2]
    two = [values for values in two if _KNOWN.issuperset(values)] or two
    if len(two) == 1:
        return two[0]
    if two:
        pairs = " or ".join(f"({a!r}, {b!r})" for a, b in sorted(two))
        raise DataError(f"{where}: the names may tell several modalities; say modalities={pairs}")
    if found:
        # A folder for each of many patients looks like many modalities.
        most = max(found, key=lambda values: (len(_KNOWN & set(values)), -len(values), values))
        raise DataError(
            f"{where}: holds more than two modalities, {', '.join(most[:_LISTED])}; choose two "
            "of them, such as modalities=('t1', 't2')"
        )
    raise DataError(
        f"{where}: cannot tell two modalities by the names of {len(names)} images, first "
        f"{names[0]!r}; say them, such as modalities=('t1', 't2')"
    )


def _paired(names: Sequence[str], place: Callable[[str], str | None]) -> list[str]:
    """The values of a place that share a key with another value."""
    keys: dict[str, set[str]] = defaultdict(set)
    for name in names:
        value = place(name)
        if value and value.lower() not in _MASKS:
            keys[value.lower()].add(key_of(name, value))
    counts = Counter(key for of in keys.values() for key in of)
    return sorted(value for value, of in keys.items() if any(counts[key] > 1 for key in of))


def _pattern(modality: str) -> re.Pattern:
    """The modality as a whole part of a name."""
    return re.compile(rf"(?i)(?:(?<=^)|(?<={_SEPARATOR})){re.escape(modality)}(?={_SEPARATOR}|$)")


def _outermost(name: str) -> str | None:
    return name.split("/")[0] if "/" in name else None


def _innermost(name: str) -> str | None:
    return name.split("/")[-2] if "/" in name else None


def _whole(name: str) -> str | None:
    return name.split("/")[-1] if "/" in name else None


def _last(name: str) -> str | None:
    parts = re.split(_SEPARATOR, name.split("/")[-1])
    return parts[-1] if len(parts) > 1 else None


def _first(name: str) -> str | None:
    parts = re.split(_SEPARATOR, name.split("/")[-1])
    return parts[0] if len(parts) > 1 else None


_PLACES: tuple[Callable[[str], str | None], ...] = (_outermost, _innermost, _whole, _last, _first)
