import shutil
import subprocess

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage, LegacyConvertedEnhancedMRImage
from pydicom.uid import generate_uid

from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.derived import write_derived
from kmed.results.dicom.study import save

STUDY = StudyHeader(
    patient_id="p1",
    patient_name="Müller^Jörg",
    entropy=("derived",),
    date="20250101",
    attributes={"InstitutionName": "Somewhere", "PatientAge": "045Y", "ProtocolName": "Abdomen"},
)


def affine(oblique=False):
    """Array index (d, h, w) to LPS mm; oblique: sagittal slices turned by 20 degrees."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.diag([3.0, 1.5, 0.75])[::-1]  # d to z, h to y, w to x
    if oblique:
        angle = np.deg2rad(20)
        turn = np.array(
            [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
        )
        matrix[:3, :3] = turn @ [[3.0, 0, 0], [0, 0, 0.75], [0, -1.5, 0]]
    matrix[:3, 3] = -20.25, 7.5, 100
    return matrix


def source(folder, kind, modality="CT"):
    """A series: classic, oblique, enhanced or tilted."""
    array = np.random.default_rng(3).integers(0, 3000, (5, 12, 16)).astype(np.int16)
    array -= 1000 if modality == "CT" else 0
    write_series(
        folder / "classic", array, affine(kind == "oblique"), STUDY,
        modality=modality, name="s", number=1,
        attributes={"BurnedInAnnotation": "NO", "LossyImageCompression": "00"},
    )  # fmt: skip
    files = sorted((folder / "classic").glob("*.dcm"))
    datasets = [pydicom.dcmread(file) for file in files]
    if kind == "tilted":
        for number, ds in enumerate(datasets):
            x, y, z = ds.ImagePositionPatient
            ds.ImagePositionPatient = [x, y + 1.0 * number, z]
            ds.save_as(files[number])
        return read_series(folder / "classic", tilt="resample")
    if kind == "enhanced":
        for ds in datasets:
            ds.FrameType = ds.ImageType
        writer = {"CT": LegacyConvertedEnhancedCTImage, "MR": LegacyConvertedEnhancedMRImage}
        enhanced = writer[modality](datasets, generate_uid(), 2, generate_uid(), 1)
        enhanced.save_as(folder / "enhanced.dcm")
        return read_series(folder / "enhanced.dcm")
    return read_series(folder / "classic")


def errors(file):
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


needs_validator = pytest.mark.skipif(
    not shutil.which("dciodvfy"), reason="needs dciodvfy of dicom3tools"
)


@pytest.mark.parametrize(
    ("kind", "modality"),
    [
        *(("classic", "CT"), ("classic", "MR"), ("oblique", "MR"), ("tilted", "CT")),
        *(("enhanced", "CT"), ("enhanced", "MR")),
    ],
)
def test_comes_back_equal(tmp_path, kind, modality):
    series = source(tmp_path, kind, modality)
    assert series.resampled == (kind == "tilted")
    whole = np.rint(series.array).astype(np.int16)
    files = write_derived(tmp_path / "new", whole, series, description="Denoised")
    read = read_series(tmp_path / "new")
    np.testing.assert_array_equal(read.array, whole)
    np.testing.assert_allclose(read.affine, series.affine, atol=1e-9)
    assert read.frame_of_reference_uid == series.frame_of_reference_uid
    assert read.study_uid == series.study_uid and read.series_uid != series.series_uid
    assert read.modality == modality
    headers = [pydicom.dcmread(file) for file in files]
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers) == 5
    known = {ds.SOPInstanceUID for ds in map(pydicom.dcmread, series.files)}
    for ds in headers:
        assert ds.SOPClassUID.name == f"{modality} Image Storage"
        assert list(ds.ImageType[:2]) == ["DERIVED", "SECONDARY"] and len(ds.ImageType) == 3
        assert {item.ReferencedSOPInstanceUID for item in ds.SourceImageSequence} <= known
    if kind == "enhanced":
        frames = [ds.SourceImageSequence[0].ReferencedFrameNumber for ds in headers]
        assert sorted(frames) == [1, 2, 3, 4, 5]
    if kind == "tilted":
        preserved = {ds.SourceImageSequence[0].SpatialLocationsPreserved for ds in headers}
        assert preserved == {"NO"} and headers[0].DerivationCodeSequence[1].CodeValue == "113085"


@needs_validator
@pytest.mark.parametrize(
    ("kind", "modality"),
    [
        ("classic", "CT"),
        ("oblique", "MR"),
        ("enhanced", "CT"),
        ("enhanced", "MR"),
        ("tilted", "CT"),
    ],
)
def test_the_validator_finds_no_error(tmp_path, kind, modality):
    series = source(tmp_path, kind, modality)
    halves = series.array + np.float32(0.25)
    for name, array, settings in (
        ("whole", np.rint(series.array), {}),
        ("halves", halves, {"technique": True}),
        ("other", halves, {"modality": "CT" if modality == "MR" else "MR"}),
        ("capture", halves, {"modality": "NM"}),
    ):
        files = write_derived(tmp_path / name, array, series, description="New", **settings)
        assert [found for file in files[:2] for found in errors(file)] == []


def test_halves_come_back_to_half_a_step(tmp_path):
    series = source(tmp_path, "classic")
    real = (series.array * np.float64(1.0003) + 0.1).astype(np.float32)
    files = write_derived(tmp_path / "new", real, series, description="New")
    slope = float(pydicom.dcmread(files[0]).RescaleSlope)
    assert slope <= 2 * np.ptp(real) / 65534
    assert np.abs(read_series(tmp_path / "new").array - real).max() <= slope / 2 * (1 + 1e-3)


def test_other_modalities_become_secondary_capture_with_geometry(tmp_path):
    series = source(tmp_path, "oblique", "MR")
    array = series.array - 50
    (file,) = write_derived(tmp_path / "new", array, series, description="New", modality="NM")
    ds = pydicom.dcmread(file)
    assert ds.SOPClassUID.name.startswith("Multi-frame Grayscale Word Secondary Capture")
    read = read_series(file)
    np.testing.assert_array_equal(read.array, array)
    np.testing.assert_allclose(read.affine, series.affine, atol=1e-9)


def test_says_of_patient_and_study_what_the_source_says_and_nothing_stale(tmp_path):
    series = source(tmp_path, "classic")
    for file in series.files:
        ds = pydicom.dcmread(file)
        ds.private_block(0x0009, "SOMEBODY", create=True).add_new(1, "LO", "secret")
        ds.ExposureTime, ds.CTDIvol, ds.AcquisitionTime = 500, 3.5, "120000"
        ds.ReferencedStudySequence = []
        ds.LossyImageCompression, ds.LossyImageCompressionRatio = "01", 12.5
        ds.LossyImageCompressionMethod = "ISO_15444_1"
        ds.save_as(file)
    files = write_derived(
        tmp_path / "new", series.array, series, description="Denoised",
        algorithm="unet", algorithm_version="3",
    )  # fmt: skip
    ds = pydicom.dcmread(files[0])
    assert ds.PatientName == "Müller^Jörg" and ds.PatientAge == "045Y" and ds.StudyID == "1"
    assert ds.SpecificCharacterSet == "ISO_IR 192" and ds.ProtocolName == "Abdomen"
    assert ds.DerivationDescription == "Denoised (unet 3)"
    assert ds.DerivationCodeSequence[0].CodeMeaning == "Artificial Intelligence"
    assert (ds.Manufacturer, ds.LossyImageCompression) == ("kmed", "01")
    assert ds.LossyImageCompressionRatio == 12.5 and ds.BurnedInAnnotation == "NO"
    assert ds.KVP is None and ds.BodyPartExamined == "ABDOMEN"
    for keyword in (
        "ExposureTime", "CTDIvol", "AcquisitionTime", "InstitutionName", "ReferencedStudySequence"
    ):  # fmt: skip
        assert keyword not in ds
    assert not any(element.tag.is_private for element in ds.iterall())
    assert b"secret" not in files[0].read_bytes()
    assert all(b"Somewhere" not in file.read_bytes() for file in files)


def test_the_technique_only_where_it_is_said(tmp_path):
    series = source(tmp_path, "classic", "MR")
    for file in series.files:
        ds = pydicom.dcmread(file)
        ds.EchoTime, ds.InversionTime = 12, 100  # the second not true of spin echo
        ds.save_as(file)
    settings = {"description": "New"}
    for name, technique in (("new", False), ("same", True)):
        write_derived(tmp_path / name, series.array, series, technique=technique, **settings)
    new, same = (pydicom.dcmread(tmp_path / name / "slice-0001.dcm") for name in ("new", "same"))
    assert (new.ScanningSequence, new.EchoTime) == ("RM", None)
    assert (same.ScanningSequence, same.EchoTime) == ("SE", 12) and "InversionTime" not in same
    with pytest.raises(ValueError, match="is that of MR; images of CT"):
        write_derived(
            tmp_path / "x", series.array, series, modality="CT", technique=True, **settings
        )


def test_refusals(tmp_path):
    series = source(tmp_path, "classic")
    holes = series.array.astype(np.float32)
    holes[0, 0, 0] = np.nan
    for array, message in ((series.array[:2], "on the array of `series`"), (holes, "finite")):
        with pytest.raises(ValueError, match=message):
            write_derived(tmp_path / "new", array, series, description="New")
    with pytest.raises(ValueError, match="1 to 64 characters"):
        write_derived(tmp_path / "new", series.array, series, description="")
    with pytest.raises(DicomError, match="is not empty"):
        write_derived(tmp_path / "classic", series.array, series, description="New")
    assert not (tmp_path / "new").exists()


def test_nothing_is_left_of_a_run_that_fails(tmp_path, monkeypatch):
    series = source(tmp_path, "classic")
    calls = []

    def fail_third(ds, path):
        calls.append(path)
        if len(calls) == 3:
            raise OSError("disk full")
        return save(ds, path)

    monkeypatch.setattr("kmed.results.dicom.derived.save", fail_third)
    with pytest.raises(OSError, match="disk full"):
        write_derived(tmp_path / "new", series.array, series, description="New")
    assert [path.name for path in tmp_path.iterdir()] == ["classic"]


def test_highdicom_reads_the_volume(tmp_path):
    series = source(tmp_path, "oblique", "MR")
    files = write_derived(tmp_path / "new", series.array, series, description="New")
    volume = highdicom.get_volume_from_series([pydicom.dcmread(file) for file in files])
    found = {}
    for index in np.ndindex(volume.array.shape):
        place = tuple(np.round(volume.affine @ (*index, 1), 4)[:3])
        found[place] = volume.array[index]
    for index in [(0, 0, 0), (3, 2, 1), tuple(np.array(series.array.shape) - 1)]:
        assert found[tuple(np.round(series.affine @ (*index, 1), 4)[:3])] == series.array[index]
