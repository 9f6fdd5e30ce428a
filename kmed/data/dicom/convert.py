"""Series of DICOM files as NIfTI files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath

from kmed.data.atomic import replacing
from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.files import Source
from kmed.data.dicom.series import read_volume
from kmed.data.dicom.volumes import SeriesInfo, volumes_of
from kmed.data.nifti import write_nifti


def to_nifti_files(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    folder: str | os.PathLike,
    *,
    series_uid: str | None = None,
    say: Callable[[str], None] = print,
    **options,
) -> tuple[list[Path], list[tuple[str, str]]]:
    """Writes each volume of a source as a NIfTI file, one volume in memory at a time.

    A file is called after the folder of its series, below what all files have in common, with the
    number of the volume where a series holds several.

    Args:
        source: as of `volumes_of`.
        folder: to write to; files of these names are replaced, each whole or not at all.
        series_uid: only this series; None: all of them.
        say: told of each file, and of what was decided about it.
        **options: of `read_volume`.

    Returns:
        The files, and pairs of what was left out and the reason.

    Raises:
        DicomError: nothing to convert.
        ValueError: an unknown word for an option.
    """
    archive = volumes_of(source, tolerate_mm=options.get("tolerate_mm"))
    chosen = [one for one in archive.series if series_uid in (None, one.series_uid)]
    chosen = [one for one in chosen if one.volumes]
    if not chosen:
        found = ", ".join(one.series_uid for one in archive.series)
        raise DicomError(
            f"no DICOM images{f' of series {series_uid}' if series_uid else ''}; "
            f"there are {found or 'none'}"
        )
    failed = [tuple(one) for one in archive.left_out] if series_uid is None else []
    written = []
    for name, series in _names(chosen).items():
        for one in series.left_out:
            say(f"left out: {one.name}: {one.reason}")
        for number, volume in enumerate(series.volumes, 1):
            stem = name if len(series.volumes) == 1 else f"{name}-{number}"
            try:
                read = read_volume(volume, **options)
            except DicomError as error:
                failed.append((stem, str(error)))
                continue
            written.append(Path(folder) / f"{stem}.nii.gz")
            with replacing(written[-1]) as unfinished:
                write_nifti(unfinished, read.array, read.affine)
            split = "".join(f", {key} {value}" for key, value in volume.split_by.items())
            shape = " x ".join(map(str, read.array.shape))
            say("; ".join([f"{stem}.nii.gz: {series.modality} {shape}{split}", *read.problems]))
    return written, failed


def _names(series: list[SeriesInfo]) -> dict[str, SeriesInfo]:
    """File names without suffix: folders, then numbers where several series share one."""
    parents = [_parent(one.volumes[0].headers[0].source) for one in series]
    shared = PurePath(os.path.commonpath(parents))
    names: dict[str, SeriesInfo] = {}
    for parent, one in zip(parents, series, strict=True):
        stem = "_".join(parent.relative_to(shared).parts) or shared.name or "series"
        number, name = 2, stem
        while name in names:
            name, number = f"{stem}-series{number}", number + 1
        names[name] = one
    return names


def _parent(source: Source) -> PurePath:
    """The folder of a file; of a member of a zip archive that within the archive's own."""
    path = PurePath(os.path.abspath(source.path))
    if source.member is None:
        return path.parent
    return path.parent / path.stem / PurePath(source.member).parent
