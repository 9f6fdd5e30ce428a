"""One folder per class: pictures, NIfTI volumes or DICOM."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from kmed.data import nifti, pictures
from kmed.data.file_kinds import dicom_by_content, kind_of
from kmed.data.image_files import image_files
from kmed.data.label_kinds import (
    Labelled,
    checked_kind,
    checked_names,
    encoded,
    official_split,
    split_part,
)
from kmed.data.pairing import files_below, require_patients, stem
from kmed.data.sample import DataError, Sample

SUFFIXES = (*pictures.SUFFIXES, *nifti.SUFFIXES)
# What may lie beside images; hidden files are passed over anyway.
_BESIDE = ("readme", "license", "licence")
_LEFT_BY_VIEWERS = ("thumbs.db", "desktop.ini", "dicomdir")


def class_folders(
    root: str | os.PathLike,
    *,
    labels: Sequence[str] | None = None,
    kind: str | None = None,
    patient: str | Callable[[str], str] | None = None,
    channels: int | None = None,
) -> Labelled:
    r"""Makes samples of a folder that has a folder of images for each class.

    Folders called train, val (valid, validation) and test (training, testing) above the class
    folders are the data set's own split. Below a class folder there may be more folders.

    Args:
        root: the folder above the class folders, or above the folders of the parts.
        labels: the names of the class folders in the order of the class indices; None: sorted.
        kind: "ordinal" where the classes are grades, which then need `labels`, unless their names
            are numbers; None: "binary" of two classes, "multiclass" of more.
        patient: a regular expression with one group that finds the patient in the path below
            `root` without suffix, such as `r"/(P\d+)_"`; or a function of the path. None: the
            Patient ID of DICOM; every other file is a patient of its own.
        channels: as in `image_files`, for pictures.

    Returns:
        The samples sorted by id, the path below `root`; DICOM as `dicom_samples` makes it.

    Raises:
        DataError: files that are no images (README, license, hidden files are passed over) or lie
            in no class folder; several kinds of images; empty folders; a class that training lacks.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("well/a", "well/b", "sick/a"):
        ...     (root / name).parent.mkdir(exist_ok=True)
        ...     Image.new("L", (6, 4)).save(root / f"{name}.png")
        >>> found = class_folders(root)
        >>> found.labels, found.kind, [(s.id, s.label) for s in found.samples]
        (('sick', 'well'), 'binary', [('sick/a', 0), ('well/a', 1), ('well/b', 1)])
    """
    root, labels = Path(root), checked_names(labels)
    kind_of_files, files = images_below(root)
    parts = _parts(root)
    depth = 1 + bool(parts)
    groups: dict[tuple[str | None, str], list[Path]] = defaultdict(list)
    for path in files:
        *folders, _ = path.relative_to(root).parts
        if len(folders) < depth:
            raise DataError(f"{path}: lies in no class folder; move it, or give a table of labels")
        part = parts[folders[0]] if parts else None
        groups[part, folders[depth - 1]].append(path)
    _require_images(root, parts, groups)
    samples, values, of = [], [], []
    if kind_of_files == "dicom":
        found = _dicom(root, groups, patient)
    else:
        for paths in groups.values():
            folder = root.joinpath(*paths[0].relative_to(root).parts[:depth])
            keys = [(stem(path, folder, SUFFIXES), path, None) for path in paths]
            require_patients(keys, patient)
        named = named_by_path([path for paths in groups.values() for path in paths], root)
        made = image_files(named, patient=patient, channels=channels)
        places = [key for key, paths in groups.items() for _ in paths]
        found = list(zip(made, places, strict=True))
    for sample, (part, name) in sorted(found, key=lambda pair: pair[0].id):
        samples.append(sample)
        values.append(name)
        of.append(part)
    places = [sample.files[0] for sample in samples]
    names = labels if labels is not None else _sorted(values, places, kind)
    if set(names) != set(values):
        raise DataError(
            f"{root}: `labels` must name the class folders {', '.join(sorted(set(values)))}; "
            f"received {', '.join(names)}"
        )
    indices, names = encoded(values, places, labels=names)
    samples = [replace(s, label=index) for s, index in zip(samples, indices, strict=True)]
    kind = checked_kind(kind, len(names), several=False, where=str(root))
    return Labelled(tuple(samples), names, kind, official_split(samples, of))


def images_below(root: Path) -> tuple[str, list[Path]]:
    """Lists the images of a folder and refuses whatever else lies there.

    Args:
        root: the folder, searched with its subfolders.

    Returns:
        "picture", "nifti" or "dicom", and the files, sorted.

    Raises:
        DataError: naming the files that are no images; if there are none, or several kinds.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder")
    kinds: dict[str | None, list[Path]] = defaultdict(list)
    for path in files_below(root, ("",)):
        name = path.name.lower()
        if not name.startswith(_BESIDE) and name not in _LEFT_BY_VIEWERS:
            found = kind_of(path) or dicom_by_content(path)
            kinds[found if found in ("picture", "nifti", "dicom") else None].append(path)
    stray = kinds.pop(None, [])
    if stray:
        names = ", ".join(str(path) for path in stray[:3])
        more = f" and {len(stray) - 3} more" if len(stray) > 3 else ""
        raise DataError(
            f"{root}: holds files that are no images: {names}{more}; move them out of the folder"
        )
    if not kinds:
        raise DataError(f"{root}: holds no pictures, NIfTI or DICOM files")
    if len(kinds) > 1:
        (most, many), *others = sorted(kinds.items(), key=lambda item: -len(item[1]))
        raise DataError(
            f"{others[0][1][0]}: a {others[0][0]} among {len(many)} files of kind {most}; "
            "a data set has one kind of images"
        )
    return next(iter(kinds.items()))


def named_by_path(paths: Sequence[Path], root: Path) -> list[tuple[str, Path]]:
    """Names files by their paths below a folder, without suffix where that tells them apart.

    Args:
        paths: the files.
        root: the folder.

    Returns:
        Name and path of each, in the same order.

    Example:
        >>> named_by_path([Path("a/b.png"), Path("a/c.png"), Path("a/c.jpg")], Path("a"))[:2]
        [('b', PosixPath('a/b.png')), ('c.png', PosixPath('a/c.png'))]
    """
    whole = [Path(os.path.relpath(path, root)).as_posix() for path in paths]
    short = [stem(Path(name), Path(), SUFFIXES) for name in whole]
    counts = Counter(short)
    names = [name if counts[s] > 1 else s for name, s in zip(whole, short, strict=True)]
    return list(zip(names, paths, strict=True))


def _folders(root: Path) -> list[str]:
    names = sorted(path.name for path in root.iterdir() if path.is_dir())
    return [name for name in names if name[0] != "." and name != "__MACOSX"]


def _parts(root: Path) -> dict[str, str]:
    """Folder name -> part of the split, or nothing where the class folders lie in the root."""
    names = _folders(root)
    parts = {name: part for name in names if (part := split_part(name))}
    if not parts:
        return {}
    others = [name for name in names if name not in parts]
    if others:
        raise DataError(
            f"{root}: {', '.join(others)} beside {', '.join(parts)}: either all folders are "
            "classes, or all are parts of the split with the classes below them"
        )
    if len(set(parts.values())) < len(parts):
        raise DataError(f"{root}: two folders of one part of the split: {', '.join(parts)}")
    return parts


def _require_images(root, parts, groups) -> None:
    for folder in [root / name for name in parts] or [root]:
        part = parts.get(folder.name) if parts else None
        names = _folders(folder)
        if not names:
            raise DataError(f"{folder}: has no class folders")
        for name in names:
            if (part, name) not in groups:
                raise DataError(
                    f"{folder / name}: a class folder without images; delete or fill it"
                )
    if parts and "train" in parts.values():
        known = {name for part, name in groups if part == "train"}
        for part, name in groups:
            if name not in known:
                raise DataError(f"{root}: the class {name} of {part} has no folder for training")


def _dicom(root: Path, groups, patient) -> list[tuple[Sample, tuple[str | None, str]]]:
    from kmed.data.dicom.images import dicom_samples, images_of
    from kmed.data.dicom.slices import image_headers  # slow to import, rarely needed

    images, places = [], []
    for place, paths in groups.items():
        found = images_of(image_headers(paths))
        images += found
        places += [place] * len(found)
    class_of: dict[str, str] = {}
    for image, (_, name) in zip(images, places, strict=True):
        uid = image[0].series_uid if len(image) > 1 else image[0].instance_uid
        if class_of.setdefault(uid, name) != name:
            raise DataError(f"{image[0].path}: {uid} lies in {class_of[uid]} and in {name}")
    return list(zip(dicom_samples(images, root, patient=patient), places, strict=True))


def _sorted(values, places, kind) -> tuple[str, ...]:
    # By value where the names are numbers; "01" keeps its name, unlike in a table.
    numeric = all(value.isdecimal() for value in values)
    if kind == "ordinal":
        encoded(values, places, kind=kind)  # refuses names without an order
    return tuple(sorted(set(values), key=(lambda name: (int(name), name)) if numeric else None))
