"""The headers of DICOM files: which images there are, which series they form, where they lie."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.uid import UID

from kmed.data.sample import DataError

# Files that lie beside DICOM by custom; whatever else is no DICOM file is refused, for it may be
# a slice that was cut off. DICOM files need no suffix, so there is no list of what is one.
_BESIDE = (
    *(".nii", ".nii.gz", ".json", ".jsonl", ".txt", ".md", ".csv", ".tsv", ".xml", ".html", ".pdf"),
    *(".png", ".jpg", ".jpeg", ".log", ".ini", ".db"),
)
_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
    *("FrameOfReferenceUID", "PatientID", "Modality", "ImageType", "Rows", "Columns"),
    *("NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PixelSpacing"),
    *("ImageOrientationPatient", "ImagePositionPatient", "SliceThickness"),
    *("SharedFunctionalGroupsSequence",),
]


@dataclass(frozen=True, kw_only=True)
class SliceHeader:
    """What the geometry of a series needs of one file.

    Attributes:
        path: the file.
        instance_uid: SOP Instance UID.
        series_uid: Series Instance UID.
        study_uid: Study Instance UID.
        frame_of_reference_uid: "" where absent.
        patient: Patient ID, "" where absent.
        modality: "CT", "MR" ...
        shape: (rows, columns).
        spacing_mm: (between rows, between columns).
        orientation: direction of a row, then of a column, in LPS.
        position_mm: centre of the first pixel in LPS.
        thickness_mm: Slice Thickness, or None.
        refusal: why the slice can't be part of a volume, or None.
    """

    path: Path
    instance_uid: str
    series_uid: str
    study_uid: str
    frame_of_reference_uid: str
    patient: str
    modality: str
    shape: tuple[int, int]
    spacing_mm: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    position_mm: tuple[float, ...] = ()
    thickness_mm: float | None = None
    refusal: str | None = None


def image_headers(source: str | os.PathLike | Iterable[str | os.PathLike]) -> list[SliceHeader]:
    """Reads the headers of all images in a folder and its subfolders, or of a list of files.

    Hidden files, DICOMDIR and files with the suffix of another format are passed over, and so are
    DICOM objects that are no images: reports, segmentations, structure sets.

    Args:
        source: a folder, a file, or files.

    Returns:
        One header an image, in the order of the paths.

    Raises:
        DataError: no image, or a file that is not DICOM or cut off.
    """
    named = isinstance(source, (str, os.PathLike))
    paths = _files(Path(source)) if named else [Path(path) for path in source]
    headers = [header for header in map(_read, paths) if header is not None]
    if not headers:
        where = source if named else f"the {len(paths)} files given"
        raise DataError(f"{where}: no DICOM images found; give the folder of a series")
    return headers


def by_series(headers: list[SliceHeader]) -> dict[str, list[SliceHeader]]:
    """Groups headers by Series Instance UID, in order of appearance."""
    groups: dict[str, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(header.series_uid, []).append(header)
    return groups


@contextmanager
def decoding(path: str | os.PathLike) -> Iterator[pydicom.Dataset]:
    """Opens a file whose pixels are to be decoded; says what is wrong where pydicom can't.

    Args:
        path: of one DICOM file.

    Yields:
        The data set, to be read and decoded within the block.

    Raises:
        DataError: the block's own, or for any error of pydicom.
    """
    syntax = "unknown"
    try:
        ds = pydicom.dcmread(path)
        syntax = getattr(ds.file_meta.get("TransferSyntaxUID"), "name", syntax)
        yield ds
    except DataError:
        raise
    except Exception as error:
        # What pydicom raises differs from codec to codec, and no class of its own covers it.
        raise DataError(
            f"{path}: pixels can't be decoded (transfer syntax {syntax}; {type(error).__name__}: "
            f"{error}); a compressed file may need `pip install python-gdcm` or pylibjpeg, a "
            "damaged one a new copy"
        ) from error


def _files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    if not root.is_dir():
        raise DataError(f"{root}: no such file or folder")
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        found += [
            Path(folder, name)
            for name in sorted(names)
            if not name.startswith(".")
            and name.upper() != "DICOMDIR"
            and not name.lower().endswith(_BESIDE)
        ]
    return found


def _read(path: Path) -> SliceHeader | None:
    if not path.is_file():
        raise DataError(f"{path}: no such file, or not a regular one")
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        return _parsed(ds, path)
    except DataError:
        raise
    except pydicom.errors.InvalidDicomError as error:
        raise DataError(
            f"{path}: not a DICOM file (no DICM prefix); move it out of the folder"
        ) from error
    except Exception as error:
        # A damaged file surfaces as EOFError, struct.error, ValueError, RecursionError, ...
        raise DataError(
            f"{path}: damaged DICOM header ({type(error).__name__}: {error}); copy it again"
        ) from error


def _parsed(ds: pydicom.Dataset, path: Path) -> SliceHeader | None:
    needed = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    missing = [keyword for keyword in needed if not ds.get(keyword)]
    if missing:
        raise DataError(f"{path}: damaged or cut off, it lacks {', '.join(missing)}")
    kind = UID(ds.SOPClassUID).name
    known = kind != ds.SOPClassUID
    if (known and "Image Storage" not in kind) or ds.get("Modality") == "SEG":
        return None
    if not ds.get("Rows") or not ds.get("Columns"):
        raise DataError(f"{path}: damaged or cut off, an image ({kind}) without rows or columns")
    common = {
        "path": path,
        "instance_uid": str(ds.SOPInstanceUID),
        "series_uid": str(ds.SeriesInstanceUID),
        "study_uid": str(ds.StudyInstanceUID),
        "frame_of_reference_uid": str(ds.get("FrameOfReferenceUID") or ""),
        "patient": str(ds.get("PatientID") or "").strip(),
        "modality": str(ds.get("Modality") or ""),
        "shape": (int(ds.Rows), int(ds.Columns)),
    }
    refusal = _refusal(ds)
    if refusal:
        return SliceHeader(**common, refusal=refusal)
    thickness = ds.get("SliceThickness")
    return SliceHeader(
        **common,
        spacing_mm=tuple(float(v) for v in ds.PixelSpacing),
        orientation=tuple(float(v) for v in ds.ImageOrientationPatient),
        position_mm=tuple(float(v) for v in ds.ImagePositionPatient),
        thickness_mm=None if thickness is None else float(thickness),
    )


def _refusal(ds: pydicom.Dataset) -> str | None:
    """Says why this image is not one plain slice of a volume."""
    if int(ds.get("NumberOfFrames") or 1) > 1 or "SharedFunctionalGroupsSequence" in ds:
        return "multi-frame images are not supported; convert them to one file per slice"
    samples, photometric = ds.get("SamplesPerPixel"), ds.get("PhotometricInterpretation")
    if samples != 1 or photometric != "MONOCHROME2":
        return (
            "only MONOCHROME2 with one sample per pixel is supported; "
            f"received {str(photometric)[:20]!r} with {samples}"
        )
    image_type = ds.get("ImageType") or ()
    if "MOSAIC" in image_type:
        return "a mosaic of many slices in one picture is not supported; convert it to slices"
    if "LOCALIZER" in image_type:
        return "a localizer (scout) is no slice of a volume; leave it out"
    counts = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "ImagePositionPatient": 3}
    for keyword, count in counts.items():
        value = ds.get(keyword)
        if value is None or isinstance(value, (str, float)) or len(value) != count:
            return f"a slice of a volume needs {keyword} with {count} numbers; received {value!r}"
        if not all(math.isfinite(float(v)) for v in value):
            return f"{keyword} must be finite; received {list(value)}"
    if min(float(v) for v in ds.PixelSpacing) <= 0:
        return f"PixelSpacing must be above 0; received {list(ds.PixelSpacing)}"
    return None
