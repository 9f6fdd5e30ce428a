"""Volumes read from DICOM against what dcm2niix makes of the same files, voxel by voxel.

    python tests/benchmarks/dicom_dcm2niix.py FOLDER [PROGRAM]

FOLDER holds `dcm_qa_nih`, `dcm_qa_enh` and `dcm_qa_siemens_mosaic`, validation sets of dcm2niix
with its NIfTI files. With PROGRAM, a dcm2niix to run, the series for which no file is stored are
compared too: those of these three sets, and of `dcm_qa_agfa` and `mr_series_siemens_t1post`.

Which series a file is of is told by Series Number, manufacturer and echo time in the JSON beside
it, or, of what is converted here, by the Series Instance UID in its name. Both sides are turned to
kmed's orientation, without interpolation. A row gives the shape of the reference, how many DICOM
frames took part of how many that the series holds, how many voxels differ (by more than
float32 can hold, where values are scaled), and the largest difference of the affines' elements.

Philips' files hold two scales: that of DICOM (0028,1052-1053), which kmed applies, and a private
one, (2005,100E), which dcm2niix applies instead unless called with `-p n`. The references that
FOLDER holds were made with it: their voxels are turned back to stored values by the scale in their
own header, and to DICOM's by the slope and intercept of the frames.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np

from kmed.data.dicom.series import read_volume
from kmed.data.dicom.volumes import SeriesInfo, Volume, volumes_of
from kmed.data.nifti import read_nifti

SETS = ("dcm_qa_nih", "dcm_qa_enh", "dcm_qa_siemens_mosaic")
OTHERS = ("dcm_qa_agfa", "mr_series_siemens_t1post")


class Row(NamedTuple):
    """One reference compared."""

    reference: str
    shape: tuple[int, ...]
    frames: int
    frames_in_series: int
    differing: int
    affine: float

    @property
    def equal(self) -> bool:
        """Whether the volumes are the same and no frame of the series was lost."""
        return (
            self.differing == 0 and self.affine < 1e-4 and self.frames == math.prod(self.shape[2:])
        )


def sidecar(reference: Path) -> dict:
    """What dcm2niix says of a file; of one without JSON what its name says."""
    path = reference.with_suffix(".json")
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    return {"SeriesNumber": int(reference.name.split("_")[0])}


def series_of(reference: Path, series: Iterable[SeriesInfo]) -> SeriesInfo:
    """The one series that a reference was made of."""
    about, series = sidecar(reference), list(series)
    named = [one for one in series if reference.name.startswith(one.series_uid)]
    if not named:
        maker = {"GE": "1.2.840.113619", "Siemens": "1.3.12.2.1107.5", "Philips": "1.3.46.670589"}
        root = maker[about.get("Manufacturer", "Siemens")]
        named = [
            one
            for one in series
            if one.volumes[0].headers[0].series_number == about["SeriesNumber"]
            and one.volumes[0].headers[0].instance_uid.startswith(root)
        ]
    if len(named) != 1:
        raise LookupError(f"{reference.name}: {len(named)} series fit")
    return named[0]


def volumes_at(reference: Path, series: SeriesInfo) -> list[Volume]:
    """The volumes of a series that a reference holds: those of one echo."""
    about = sidecar(reference)
    if "Manufacturer" not in about:
        return list(series.volumes)
    echo = about.get("EchoTime", 0.0) * 1000

    def fits(volume: Volume) -> bool:
        keys = dict(volume.frames[0].keys)
        return math.isclose(keys.get("EchoTime", keys.get("EffectiveEchoTime")), echo, abs_tol=1e-3)

    return [volume for volume in series.volumes if fits(volume)]


def compared(reference: Path, volumes: list[Volume], series: SeriesInfo, *, precise: bool) -> Row:
    """Read the volumes and compare each with its time point of the reference.

    Args:
        reference: NIfTI file.
        volumes: in the order of time.
        series: that they are of.
        precise: whether the reference has Philips' private scale.
    """
    expected, _, expected_affine = read_nifti(reference)
    expected = expected if expected.ndim == 4 else expected[..., np.newaxis]
    about = sidecar(reference)
    if precise and "PhilipsScaleSlope" in about:
        scale, frame = nib.load(reference).dataobj, volumes[0].frames[0]
        stored = np.rint((expected.astype(np.float64) - scale.inter) / scale.slope)
        expected = stored * frame.slope + frame.intercept
    differing, affine = 0, 0.0
    for time, volume in enumerate(volumes):
        read = read_volume(volume)
        wanted = expected[..., time]
        if read.array.shape != wanted.shape:
            raise ValueError(f"{reference.name}: {read.array.shape}, expected {wanted.shape}")
        if np.issubdtype(expected.dtype, np.integer):
            differing += int(np.count_nonzero(read.array != wanted))
        else:
            close = np.isclose(read.array, wanted, rtol=1e-5, atol=1e-3)
            differing += int(np.count_nonzero(~close))
        affine = max(affine, float(np.abs(read.affine - expected_affine).max()))
    return Row(
        reference.name,
        nib.load(reference).shape,
        sum(len(volume.frames) for volume in volumes),
        sum(len(volume.frames) for volume in series.volumes),
        differing,
        affine,
    )


def all_series(source) -> list[SeriesInfo]:
    """All series of a folder or of files."""
    return [series for study in volumes_of(source).studies for series in study.series]


def rows_of(source, references: Iterable[Path], *, precise: bool) -> list[Row]:
    """Compare references with the DICOM files that they were made of."""
    found = all_series(source)
    rows = []
    for reference in references:
        series = series_of(reference, found)
        volumes = volumes_at(reference, series)
        rows.append(compared(reference, volumes, series, precise=precise))
    return rows


def main(folder: Path, program: str | None) -> int:
    """Print the table; the number of rows that differ."""
    rows = []
    for name in SETS:
        root = folder / name
        rows += rows_of(root / "In", sorted(root.rglob("*.nii")), precise=True)
    if program is not None:
        for name in (*SETS, *OTHERS):
            source = folder / name / "In" if name in SETS else folder / name
            with tempfile.TemporaryDirectory() as out:
                command = [program, "-p", "n", "-i", "n", "-f", "%j", "-o", out, str(source)]
                subprocess.run(command, check=True, capture_output=True)
                rows += rows_of(source, sorted(Path(out).glob("*.nii")), precise=False)
    width = max(len(row.reference[-40:]) for row in rows)
    print(f"{'reference':{width}}  {'shape':16}  frames of series  differing  affine    equal")
    for row in rows:
        shape = " x ".join(map(str, row.shape))
        print(
            f"{row.reference[-40:]:{width}}  {shape:16}  {row.frames:6} {row.frames_in_series:9}  "
            f"{row.differing:9}  {row.affine:.1e}  {'yes' if row.equal else 'NO'}"
        )
    return sum(not row.equal for row in rows)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) == 3 else None))
