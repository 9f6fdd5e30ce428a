from pathlib import Path

import pytest

from kmed.data.file_kinds import dicom_by_content, kind_of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[("a.PNG", "picture"), ("a.jpeg", "picture"), ("a.nii", "nifti"), ("a.nii.gz", "nifti")],
        *[("a.npz", "npz"), ("a.DCM", "dicom"), ("a.gz", None), ("IM1", None)],
    ],
)
def test_by_suffix(name, kind):
    assert kind_of(Path(name)) == kind


def test_by_content(tmp_path):
    for name, content in (("IM1", b"\0" * 128 + b"DICM"), ("text", b"a"), ("DICOMDIR", b"")):
        (tmp_path / name).write_bytes(content or b"\0" * 128 + b"DICM")
    assert dicom_by_content(tmp_path / "IM1") == "dicom"
    assert dicom_by_content(tmp_path / "text") is None
    assert dicom_by_content(tmp_path / "DICOMDIR") is None
