"""From what a table calls an image to its files."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from kmed.data.class_folders import SUFFIXES
from kmed.data.file_kinds import dicom_by_content, kind_of
from kmed.data.pairing import files_below, stem
from kmed.data.sample import DataError

if TYPE_CHECKING:
    from kmed.data.dicom.slices import SliceHeader

#: Columns that name DICOM by an attribute, as `label_rows.plain` has them.
ATTRIBUTES = {
    "sopinstanceuid": "instance_uid",
    "seriesinstanceuid": "series_uid",
    "studyinstanceuid": "study_uid",
    "patientid": "patient",
}
_OPENED = 50  # files without a telling suffix that are opened to see whether there is DICOM


class ImageLookup:
    """Finds images below a folder by path, by name or by a DICOM identifier.

    Args:
        root: the folder.
        modality: DICOM of this Modality only, for instance "CT".
    """

    def __init__(self, root: str | os.PathLike, modality: str | None = None):
        self.root, self.modality = Path(root), modality
        if not self.root.is_dir():
            raise DataError(f"{root}: no such folder of images")

    def find(self, key: str, where: str, attribute: str | None = None) -> list:
        """Finds what a table calls `key`.

        Args:
            key: path below the folder, with or without suffix; the name of a file that lies
                anywhere below it; the folder of a series; a SOP Instance UID, Series Instance UID,
                Study Instance UID or Patient ID.
            where: file and line of the table, for error messages.
            attribute: value of `ATTRIBUTES`: DICOM that has this identifier.

        Returns:
            A `Path` of a picture or a NIfTI file; or tuples of DICOM headers, one per image: of a
            study, a patient or a folder there may be several.

        Raises:
            DataError: if there is none, or several files of that name.
        """
        if not key:
            raise DataError(f"{where}: names no image")
        if attribute and self.has_dicom:
            return self._by_attribute(key, where, (attribute,))
        named = self.root / key.replace("\\", "/")
        files = [named] if named.is_file() else []
        if not files and named.is_dir():
            return self._in_folder(named, where)
        files = files or self._by_name.get(key.replace("\\", "/"), [])
        if len(files) > 1:
            raise DataError(
                f"{where}: {key!r} may be {files[0]} or {files[1]}; give the path below {self.root}"
            )
        if files:
            return self._of_file(files[0], where)
        if self.has_dicom:
            return self._by_attribute(key, where, tuple(ATTRIBUTES.values()))
        raise DataError(f"{where}: no image {key!r} below {self.root}")

    def images_beside(self, found: list) -> list:
        """Lists the images that might have been named as well as those that were.

        These are the files of the same kind in the same folders, or DICOM of the same modality.

        Args:
            found: everything that `find` found.

        Returns:
            The paths, or the tuples of DICOM headers.
        """
        if not isinstance(found[0], Path):
            taken = {header.path for group in found for header in group}
            return found + [
                group
                for group in self._groups
                if group[0].modality == found[0][0].modality
                and not taken.intersection(header.path for header in group)
            ]
        folders = {path.parent.resolve() for path in found}
        kinds = {kind_of(path) for path in found}
        return [
            path
            for path in self._files
            if path.parent.resolve() in folders and kind_of(path) in kinds
        ]

    @cached_property
    def has_dicom(self) -> bool:
        """Whether DICOM lies below the folder."""
        untold = (path for path in self._files if kind_of(path) is None)
        return any(kind_of(path) == "dicom" for path in self._files) or any(
            map(dicom_by_content, islice(untold, _OPENED))
        )

    @cached_property
    def _files(self) -> list[Path]:
        return files_below(self.root, ("",))

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """Paths and names, with and without suffix, of everything that may be an image."""
        names: dict[str, list[Path]] = defaultdict(list)
        for path in self._files:
            if kind_of(path) in ("picture", "nifti", "dicom"):
                below = path.relative_to(self.root).as_posix()
                short = stem(Path(below), Path(), (*SUFFIXES, ".dcm", ".dicom"))
                for name in {below, short, path.name, short.rpartition("/")[2]}:
                    names[name].append(path)
        return names

    @cached_property
    def _headers(self) -> list[SliceHeader]:
        from kmed.data.dicom.slices import image_headers  # slow to import, rarely needed

        headers = image_headers(self.root)
        if self.modality is not None:
            wanted = self.modality.upper()
            kept = [header for header in headers if header.modality.upper() == wanted]
            if not kept:
                there = ", ".join(sorted({header.modality for header in headers}))
                raise DataError(f"{self.root}: no images of modality {wanted}; there are {there}")
            headers = kept
        return headers

    @cached_property
    def _groups(self) -> list[tuple[SliceHeader, ...]]:
        from kmed.data.dicom.images import images_of

        return images_of(self._headers)

    def _of_file(self, path: Path, where: str) -> list:
        kind = kind_of(path) or dicom_by_content(path)
        if kind in ("picture", "nifti"):
            return [path]
        if kind == "dicom":
            from kmed.data.dicom.slices import image_headers

            return [(header,) for header in image_headers(path)]
        raise DataError(f"{where}: {path} is no picture, NIfTI or DICOM file")

    @cached_property
    def _by_folder(self) -> dict[Path, list[tuple[SliceHeader, ...]]]:
        below: dict[Path, list] = defaultdict(list)
        for group in self._groups:
            for folder in group[0].path.resolve().parents:
                below[folder].append(group)
        return below

    @cached_property
    def _by_identifier(self) -> dict[tuple[str, str], list[tuple[SliceHeader, ...]]]:
        """Attribute and value -> the images that have it, in order."""
        named: dict[tuple[str, str], list] = {}
        for group in self._groups:
            for header in group:
                named.setdefault(("instance_uid", header.instance_uid), [(header,)])
            for attribute in ("series_uid", "study_uid", "patient"):
                named.setdefault((attribute, getattr(group[0], attribute)), []).append(group)
        return named

    def _in_folder(self, folder: Path, where: str) -> list:
        folder = folder.resolve()
        if self.has_dicom and folder in self._by_folder:
            return self._by_folder[folder]
        inside = [p for p in files_below(folder, SUFFIXES) if kind_of(p) in ("picture", "nifti")]
        if len(inside) != 1:
            raise DataError(f"{where}: the folder {folder} holds {len(inside)} images; name one")
        return inside

    def _by_attribute(self, key: str, where: str, attributes: tuple[str, ...]) -> list:
        for attribute in attributes:
            if (attribute, key) in self._by_identifier:
                return self._by_identifier[attribute, key]
        what = " or ".join(name for name, value in ATTRIBUTES.items() if value in attributes)
        raise DataError(f"{where}: no image below {self.root} has {what} {key!r}")
