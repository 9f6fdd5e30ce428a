"""Which series of an archive, and which volume of a series, is meant; refused if it isn't said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath

from kmed.data.dicom.errors import DicomError, OrientationMixed, SizeMixed, SlicesDuplicated
from kmed.data.dicom.volumes import SeriesInfo, Volume


def refuse_shared(series: Iterable[SeriesInfo]) -> None:
    """Refuses series of which two have one UID: which of them is meant can't be said by it.

    Args:
        series: of all studies.

    Raises:
        DicomError: two studies hold a series of the same Series Instance UID.
    """
    seen: dict[str, SeriesInfo] = {}
    for one in series:
        other = seen.setdefault(one.series_uid, one)
        if other is not one:
            files = [_first_file(other), _first_file(one)]
            raise DicomError(
                f"{files[0]} and {files[1]}: two studies hold a series of the same Series Instance "
                "UID; give the folder or the files of one of them",
                files=files,
                figures={"study_uids": (other.study_uid, one.study_uid)},
            )


def _first_file(series: SeriesInfo) -> str:
    if series.volumes:
        return series.volumes[0].headers[0].source.name
    return series.left_out[0].name


def one_volume(series: SeriesInfo, number: int | None = None) -> Volume:
    """Chooses a volume of a series.

    Args:
        series: from `volumes_of`.
        number: from 0; None: the only one.

    Returns:
        The volume.

    Raises:
        DicomError: several volumes and none chosen, or none of this number.
    """
    volumes = series.volumes
    if number is not None:
        if not 0 <= number < len(volumes):
            raise DicomError(
                f"{series.series_uid}: `volume` must be from 0 to {len(volumes) - 1}; received "
                f"{number}"
            )
        return volumes[number]
    if len(volumes) == 1:
        return volumes[0]
    for volume in volumes:
        if volume.placeless:
            raise volume.problem
    return _refuse_several(volumes)


def _refuse_several(volumes: tuple[Volume, ...]) -> Volume:
    """Names a slice of the smaller volumes, which is the odd one where there is one."""
    usual = max(volumes, key=lambda one: len(one.frames))
    odd = min((one for one in volumes if one is not usual), key=lambda one: len(one.frames))
    name, other = odd.headers[0].source.name, usual.headers[0].source.name
    rules = {
        "patient": (DicomError, "patient (here numbered)"),
        "Modality": (DicomError, "Modality"),
        "size": (SizeMixed, "size (rows, columns)"),
        "PixelSpacing": (SizeMixed, "PixelSpacing"),
        "ImageOrientationPatient": (OrientationMixed, "ImageOrientationPatient"),
        "FrameOfReferenceUID": (OrientationMixed, "frame of reference"),
    }
    figures = {"volumes": len(volumes), "slices": [len(one.frames) for one in volumes]}
    choose = f"choose one of the {len(volumes)} volumes with volume=0 to {len(volumes) - 1}"
    for key, (kind, what) in rules.items():
        if key in odd.split_by and odd.split_by[key] != usual.split_by[key]:
            raise kind(
                f"{name}: all slices of a volume must have one {what}; this one has "
                f"{odd.split_by[key]}, {other} has {usual.split_by[key]}; {choose}",
                files=[name, other],
                figures=figures,
            )
    told = ", ".join(odd.split_by)
    raise SlicesDuplicated(
        f"{name} and {other}: two slices at one position; the series holds {len(volumes)} volumes, "
        f"told apart by {told or 'nothing'}; {choose}",
        files=[name, other],
        figures=figures,
    )


def listed(series: Mapping[str, SeriesInfo]) -> str:
    """One line a series, to choose from."""
    lines = []
    for uid, one in series.items():
        count = sum(len(volume.frames) for volume in one.volumes) + len(one.left_out)
        header = next((volume.headers[0] for volume in one.volumes), None)
        folder = "" if header is None else f", {PurePath(header.source.name).parent}"
        lines.append(f"  {uid}: {one.modality}, {count} slices{folder}")
    return "\n".join(lines)
