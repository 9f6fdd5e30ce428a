"""What an archive holds, in words and numbers that JSON can hold."""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

from kmed.data.dicom.volumes import Archive, SeriesInfo, Volume


def described(archive: Archive, *, identifiers: bool = False) -> dict[str, Any]:
    """Describes patients, studies, series and volumes, and what was left out and why.

    Args:
        archive: from `volumes_of`.
        identifiers: give Patient IDs; otherwise patients are numbered in the order of their IDs.

    Returns:
        `{"patients": [{"patient", "studies": [{"study_uid", "series": [...]}]}], "left_out":
        [{"file", "reason"}]}`. A series has `series_uid`, `modality`, `folder`, `left_out` and
        `volumes`; a volume `shape` (slices, rows, columns), `spacing_mm` in the same order or
        None, `split_by`, `problems` and, where it can't be read as it is, `error`: `type`,
        `message` and `figures`.
    """
    patients = sorted({series.patient for series in archive.series})
    return {
        "patients": [
            {
                "patient": patient if identifiers else f"patient {number}",
                "studies": [
                    {
                        "study_uid": study.study_uid,
                        "series": [_series(one) for one in study.series if one.patient == patient],
                    }
                    for study in archive.studies
                    if any(one.patient == patient for one in study.series)
                ],
            }
            for number, patient in enumerate(patients, 1)
        ],
        "left_out": _left_out(archive.left_out),
    }


def _series(series: SeriesInfo) -> dict[str, Any]:
    folders = {
        str(PurePath(header.source.name).parent)
        for volume in series.volumes
        for header in volume.headers
    }
    return {
        "series_uid": series.series_uid,
        "modality": series.modality,
        "folder": sorted(folders)[0] if folders else "",
        "volumes": [_volume(volume) for volume in series.volumes],
        "left_out": _left_out(series.left_out),
    }


def _volume(volume: Volume) -> dict[str, Any]:
    content: dict[str, Any] = {
        "shape": [int(length) for length in volume.shape],
        "spacing_mm": None
        if volume.spacing_mm is None
        else [round(float(length), 4) for length in volume.spacing_mm],
        "split_by": {name: _plain(value) for name, value in volume.split_by.items()},
        "problems": list(volume.problems),
    }
    if volume.problem is not None:
        content["error"] = {
            "type": type(volume.problem).__name__,
            "message": str(volume.problem),
            "figures": {name: _plain(value) for name, value in volume.problem.figures.items()},
        }
    return content


def _left_out(left_out) -> list[dict[str, str]]:
    return [{"file": one.name, "reason": one.reason} for one in left_out]


def _plain(value: Any) -> Any:
    """A value that JSON knows: NumPy's numbers and tuples it does not."""
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (int, str, bool, type(None))) else str(value)
