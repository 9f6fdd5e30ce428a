"""What a segmentation found, as DICOM: a Segmentation, and a report of its quantities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kmed.data.dicom.errors import NotDicom
from kmed.data.dicom.series import Series
from kmed.results.dicom.seg import write_seg
from kmed.results.dicom.sr import write_sr

DICOM = ("seg", "sr")


def write_dicom_findings(
    folder: Path,
    name: str,
    labels: np.ndarray,
    series: Series | None,
    *,
    measures: Mapping[str, Mapping[str, Any]],
    label_names: Sequence[str],
    label_codes: Mapping[str, Sequence[str]] | None,
    algorithm: tuple[str, str],
    report: bool,
) -> list[Path]:
    """Writes NAME_seg.dcm and, if wanted, NAME_sr.dcm, which refers to its segments.

    Args:
        folder: is made if missing; files of these names are replaced.
        name: of the files, without folder and suffix.
        labels: `(D, H, W)` class indices on the array of `series`.
        series: the volume that was segmented.
        measures: from `kmed.results.quantities`.
        label_names: of the classes, the background first.
        label_codes: see `kmed.results.dicom.codes.label_code`.
        algorithm: name and version of what segmented.
        report: whether the report is written.

    Returns:
        The paths written.

    Raises:
        NotDicom: no series.
        DicomError: a series that these objects can't refer to.
        ValueError: a class without a code.
    """
    if series is None:
        raise NotDicom(
            f"{name}: a DICOM Segmentation refers to a DICOM series of slices, which this image is "
            "not; --to nifti or --to png write its labels"
        )
    said = {
        "label_codes": label_codes,
        "algorithm": algorithm[0],
        "algorithm_version": algorithm[1],
    }
    written = [
        write_seg(folder / f"{name}_seg.dcm", labels, series, label_names=label_names, **said)
    ]
    if report:
        path = folder / f"{name}_sr.dcm"
        written.append(write_sr(path, series, measures=measures, seg=written[0], **said))
    return written
