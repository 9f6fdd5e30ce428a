"""What a file holds, by its suffix or by its first bytes."""

from __future__ import annotations

from pathlib import Path

from kmed.data import nifti, pictures


def kind_of(path: Path) -> str | None:
    """Tells the kind of a file by its suffix.

    Args:
        path: the file, which is not opened.

    Returns:
        "picture", "nifti", "npz", "dicom", or None for any other suffix.

    Example:
        >>> kind_of(Path("scan.nii.gz")), kind_of(Path("IM0001"))
        ('nifti', None)
    """
    name = path.name.lower()
    if name.endswith(pictures.SUFFIXES):
        return "picture"
    if name.endswith(nifti.SUFFIXES):
        return "nifti"
    return {".npz": "npz", ".dcm": "dicom", ".dicom": "dicom"}.get(path.suffix.lower())


def dicom_by_content(path: Path) -> str | None:
    """Tells whether a file is DICOM by its first bytes, for files without a telling suffix.

    Reference: DICOM PS3.10, 7.1: 128 bytes of preamble, then "DICM".

    Args:
        path: the file.

    Returns:
        "dicom" or None; None for a DICOMDIR, which holds no image.
    """
    with open(path, "rb") as file:
        return "dicom" if file.read(132)[128:] == b"DICM" and path.name != "DICOMDIR" else None
