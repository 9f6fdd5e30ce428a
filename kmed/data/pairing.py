"""The files of a folder, the mask of each image, and the patient that it shows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from kmed.data.sample import DataError

#: What annotation programs append to the image's name to name its mask.
MASK_ENDINGS = ("_mask", "-mask", "_masks", "_seg", "-seg", "_segmentation", "_label", "-label")


def files_below(root: str | os.PathLike, suffixes: Sequence[str]) -> list[Path]:
    """Lists the files with one of the suffixes in a folder and its subfolders, sorted by path.

    Links to folders are followed, each folder once, so that a loop of links ends. Hidden files and
    the `__MACOSX` folders of archives are passed over.

    Args:
        root: a folder, or one file, which is then the whole list.
        suffixes: lower-case endings of file names such as `(".png", ".nii.gz")`.

    Returns:
        The paths, each starting with `root`.

    Raises:
        DataError: if `root` does not exist, cannot be listed, or is a file of another kind.
    """
    root = Path(root)
    if root.is_file():
        if not root.name.lower().endswith(tuple(suffixes)):
            raise DataError(f"{root}: expected a file that ends in {_listed(suffixes)}")
        return [root]
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder")

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename}: cannot list this folder ({error.strerror})") from error

    found, seen = [], set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=refuse):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            subfolders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(s for s in subfolders if s[0] != "." and s != "__MACOSX")
        for name in names:
            if name.lower().endswith(tuple(suffixes)) and name[0] != ".":
                found.append(Path(folder, name))
    for path in found:
        # Opening a pipe or a device of that name would wait for ever.
        if not path.is_file():
            raise DataError(f"{path}: not a regular file, or a link to a file that is gone")
    return sorted(found)


def stem(path: Path, root: Path, suffixes: Iterable[str]) -> str:
    """Names a file by its path below `root`, with `/` between folders and without the suffix.

    Args:
        path: the file.
        root: the folder above it, or the file itself.
        suffixes: the endings to take off; the longest that fits is taken.

    Returns:
        The name.

    Example:
        >>> stem(Path("a/b/c.nii.gz"), Path("a"), (".nii", ".nii.gz"))
        'b/c'
    """
    name = path.name if path == root else path.relative_to(root).as_posix()
    fits = [s for s in suffixes if name.lower().endswith(s)]
    return name[: -len(max(fits, key=len))] if fits else name


def pair(
    images: str | os.PathLike, masks: str | os.PathLike | None, suffixes: Sequence[str]
) -> list[tuple[str, Path, Path | None]]:
    """Finds the images of a folder and the mask of each.

    A mask has the name of its image, or that name and one of `MASK_ENDINGS`, and another suffix if
    it likes. Where both folders have subfolders these must agree; where one of the two is flat the
    names alone decide. `masks` may be the folder `images` itself. A mask without image is passed
    over; an image without mask is an error.

    Args:
        images: folder of images, searched with its subfolders, or one image.
        masks: folder of masks, or one mask, or None.
        suffixes: the suffixes of images and of masks.

    Returns:
        `(id, image, mask or None)` sorted by id; the id is the image's path below the folder
        without its suffix.

    Raises:
        DataError: if a folder is absent or empty, two files have the same name, an image has no
            mask or two.
    """
    images = Path(images)
    named = _by_stem(files_below(images, suffixes), images, suffixes)
    if not named:
        raise DataError(f"{images}: no file that ends in {_listed(suffixes)} in this folder")
    if masks is None:
        return [(key, path, None) for key, path in sorted(named.items())]
    masks = Path(masks)
    if images.is_file() and masks.is_file():
        return [(key, path, masks) for key, path in named.items()]
    if masks.is_dir() and images.is_dir() and os.path.samefile(images, masks):
        mask_named = {key: path for key, path in named.items() if _image_of(key, named)}
        named = {key: path for key, path in named.items() if key not in mask_named}
    else:
        mask_named = _by_stem(files_below(masks, suffixes), masks, suffixes)
    if not mask_named:
        raise DataError(f"{masks}: no mask that ends in {_listed(suffixes)} in this folder")

    by_name = _is_flat(named) or _is_flat(mask_named)
    if by_name:
        mask_named = _by_last_name(mask_named)
        _by_last_name(named)  # two images of one name would share a mask
    pairs, missing = [], []
    for key, image in sorted(named.items()):
        name = key.rpartition("/")[2] if by_name else key
        hits = [mask_named[name + e] for e in ("", *MASK_ENDINGS) if name + e in mask_named]
        if len(hits) > 1:
            raise DataError(f"{image}: expected one mask, found {hits[0]} and {hits[1]}")
        if not hits:
            missing.append(image)
        else:
            pairs.append((key, image, hits[0]))
    if missing:
        raise DataError(
            f"{missing[0]}: no mask of this name in {masks} ({len(missing)} of {len(named)} images "
            f"have none); a mask is named like its image, or ends in {_listed(MASK_ENDINGS)}"
        )
    return pairs


def patient_of(
    key: str, path: str | os.PathLike, patient: str | Callable[[str], str] | None
) -> str:
    r"""Tells which patient a file shows.

    Args:
        key: the file's id: its name without suffix, with the subfolders if there are any.
        path: the file.
        patient: a regular expression with one group, searched in `key`; or a function of the
            path; or None: every key is a patient of its own.

    Returns:
        The patient.

    Raises:
        DataError: if the expression does not fit or the function gives no name.
        ValueError: if the expression is invalid or has not exactly one group.

    Example:
        >>> patient_of("p07_slice3", "p07_slice3.png", r"(p\d+)_")
        'p07'
    """
    if patient is None:
        return key
    if callable(patient):
        found = patient(os.fspath(path))
        if not isinstance(found, str) or not found:
            raise DataError(f"{path}: `patient` must return a non-empty str; received {found!r}")
        return found
    try:
        pattern = re.compile(patient)
    except re.error as error:
        raise ValueError(f"`patient` is no regular expression: {patient!r} ({error})") from error
    if pattern.groups != 1:
        raise ValueError(f"`patient` must have exactly one group; received {patient!r}")
    match = pattern.search(key)
    if match is None or not match.group(1):
        raise DataError(f"{path}: `patient` {patient!r} finds nothing in the name {key!r}")
    return match.group(1)


def require_patients(
    pairs: Sequence[tuple[str, Path, Path | None]], patient: str | Callable[[str], str] | None
) -> None:
    """Refuses to guess the patients where a name occurs in several subfolders.

    `a/001.png` and `b/001.png` may be two series of patient 001, or two patients' first slices.

    Args:
        pairs: what `pair` returned.
        patient: what the user said of patients.

    Raises:
        DataError: if names repeat and `patient` is None.
    """
    if patient is None:
        try:
            _by_last_name({key: image for key, image, _ in pairs})
        except DataError as error:
            raise DataError(
                f"{error}. Say which part of the path is the patient, for instance "
                "patient=r'([^/]+)/' for a folder per patient or patient=r'([^/]+)$' for the name"
            ) from error


def _by_stem(paths: Sequence[Path], root: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    named: dict[str, Path] = {}
    for path in paths:
        key = stem(path, root, suffixes)
        if key in named:
            raise DataError(f"{path}: {named[key]} has the same name but for the suffix")
        named[key] = path
    return named


def _by_last_name(named: dict[str, Path]) -> dict[str, Path]:
    short: dict[str, Path] = {}
    for key, path in named.items():
        name = key.rpartition("/")[2]
        if name in short:
            raise DataError(f"{path}: {short[name]} has the same name in another subfolder")
        short[name] = path
    return short


def _is_flat(named: dict[str, Path]) -> bool:
    return not any("/" in key for key in named)


def _image_of(key: str, named: dict[str, Path]) -> bool:
    return any(key.endswith(e) and key[: -len(e)] in named for e in MASK_ENDINGS)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " or " + names[-1] if len(names) > 1 else names[0]
