import shutil
import subprocess
import warnings

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.uid import generate_uid

from kmed.data.dicom.errors import DicomError, NoGeometry
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.boxes import ImageBox, VolumeBox
from kmed.results.dicom.seg import write_seg
from kmed.results.dicom.sr import write_sr
from kmed.results.findings import quantities

NAMES = ["background", "liver", "left kidney", "lesion"]
AFFINE = np.array([[0, 0, 0.75, -20], [0, 1.5, 0, 7.5], [3.0, 0, 0, 100], [0, 0, 0, 1]])


def source(folder, kind="classic", modality="CT", study=""):
    header = StudyHeader(
        patient_id="p1", patient_name="Lonely", entropy=("sr", study), date="20250101"
    )
    array = np.random.default_rng(3).integers(0, 300, (6, 12, 16)).astype(np.int16)
    write_series(folder / "classic", array, AFFINE, header, modality=modality, name="s", number=1)
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
            ds.FrameType, ds.PatientName = ds.ImageType, "Lonely^"
        enhanced = LegacyConvertedEnhancedCTImage(datasets, generate_uid(), 2, generate_uid(), 1)
        enhanced.save_as(folder / "enhanced.dcm")
        return read_series(folder / "enhanced.dcm")
    return read_series(folder / "classic")


def labels_of(series):
    labels = np.zeros(series.array.shape, np.uint8)
    labels[1:3, 4:8, 5:9], labels[4, 2:4, 2:4] = 1, 2
    return labels


def errors(file):
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def numbers(group):
    return {
        m.name.meaning: (m.value, m.unit.value, m.derivation.meaning if m.derivation else None)
        for m in group.get_measurements()
    }


@pytest.mark.parametrize("kind", ["classic", "enhanced", "tilted"])
def test_measures_of_segments_come_back(tmp_path, kind):
    series = source(tmp_path, kind)
    labels = labels_of(series)
    measures = quantities(labels, series.array[..., None], series.spacing_mm, NAMES)
    measures["liver"]["score"] = 0.875
    seg = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none that repeats the patient's name
        file = write_sr(tmp_path / "sr.dcm", series, measures=measures, seg=seg)
    report = highdicom.sr.srread(file)
    assert report.PatientName == "Lonely" or kind == "enhanced"
    assert report.StudyInstanceUID == series.study_uid
    liver, kidney = report.content.get_volumetric_roi_measurement_groups()
    (lesion,) = report.content.get_image_measurement_groups()
    assert [g.tracking_identifier for g in (liver, kidney, lesion)] == NAMES[1:]
    assert liver.finding_type.value == "10200004"
    assert kidney.finding_sites[0].laterality.meaning == "Left"
    reference = liver.referenced_segment[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == pydicom.dcmread(seg).SOPInstanceUID
    assert reference.ReferencedSegmentNumber == 1
    expected = measures["liver"]
    assert numbers(liver) == {
        "Volume": (expected["volume_ml"], "ml", None),
        "Maximum 3D Diameter of a Mesh": (expected["longest_extent_mm"], "mm", None),
        "Attenuation Coefficient": (expected["mean_intensity"], "[hnsf'U]", "Mean"),
        "Certainty of Finding": (87.5, "%", None),
    }
    # 32 voxels of 3 * 1.5 * 0.75 mm
    assert expected["volume_ml"] == pytest.approx(0.108)
    assert numbers(lesion) == {"Volume": (0, "ml", None)}
    assert not shutil.which("dciodvfy") or errors(file) == []


@pytest.mark.parametrize("kind", ["classic", "enhanced", "tilted"])
def test_boxes_come_back(tmp_path, kind):
    series = source(tmp_path, kind)
    frames = series.frames or (0,) * 6
    boxes = [
        ImageBox(
            file=series.files[3],
            frame=frames[3],
            box_xyxy=(2, 3.5, 9, 40),
            label="lesion",
            score=0.5,
        ),
        VolumeBox(box=(1, 3, 4, 4, 7, 9), label="Nodule"),
        VolumeBox(box=(2, 3, 4, 2.5, 7, 9), label="Nodule", score=1),
    ]
    file = write_sr(tmp_path / "sr.dcm", series, boxes=boxes)
    content = highdicom.sr.srread(file).content
    flat, thin = content.get_planar_roi_measurement_groups()
    (solid,) = content.get_volumetric_roi_measurement_groups()
    # Cut off at row 12, the image's last edge.
    np.testing.assert_array_equal(flat.roi.value, [[2, 3.5], [9, 3.5], [9, 12], [2, 12], [2, 3.5]])
    image = pydicom.dcmread(series.files[3])
    reference = flat.roi.ContentSequence[0].ReferencedSOPSequence[0]
    assert reference.ReferencedSOPInstanceUID == image.SOPInstanceUID
    if kind == "enhanced":
        assert reference.ReferencedFrameNumber == frames[3] + 1
    assert numbers(flat) == {"Certainty of Finding": (50, "%", None)}
    outlines = solid.roi.graphic_data
    assert len(outlines) == 3  # slices 1, 2 and 3
    # Voxel (1, 3, 4) has its centre at (-20 + 4 * 0.75, 7.5 + 3 * 1.5, 103); its corner lies
    # half a voxel before.
    first = series.affine @ (1, 2.5, 3.5, 1)
    np.testing.assert_allclose(outlines[0][0], first[:3], atol=1e-4)
    if kind != "tilted":
        np.testing.assert_allclose(first[:3], (-17.375, 11.25, 103))
    assert solid.roi.frame_of_reference_uid == series.frame_of_reference_uid
    assert thin.roi.value.shape == (5, 3) and thin.roi.value[0, 2] == pytest.approx(106)
    assert not shutil.which("dciodvfy") or errors(file) == []


def test_a_segmentation_of_one_segment(tmp_path):
    series = source(tmp_path)
    labels = np.minimum(labels_of(series), 1)
    labels[4] = 0
    seg = write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES[:2])
    measures = {"liver": {"index": 1, "volume_ml": 0.108, "voxels": 32}}
    file = write_sr(tmp_path / "sr.dcm", series, measures=measures, seg=seg)
    (group,) = highdicom.sr.srread(file).content.get_volumetric_roi_measurement_groups()
    _, *images = group.referenced_segment
    uids = {image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for image in images}
    assert uids == {pydicom.dcmread(series.files[k]).SOPInstanceUID for k in (1, 2)}
    with pytest.raises(ValueError, match="speak of segment 2, in which"):
        write_sr(file, series, measures={"liver": {"index": 2, "volume_ml": 1.0}}, seg=seg)


def test_single_images_and_their_areas(tmp_path):
    series = source(tmp_path, modality="MR")
    measures = {"lesion": {"index": 1, "area_mm2": 12.5, "longest_extent_mm": 5.0, "voxels": 9}}
    measures["lesion"]["mean_intensity"] = [1.0, 2.0, 3.0]  # of three channels: left out
    file = write_sr(tmp_path / "sr.dcm", series.files[0], measures=measures)
    (group,) = highdicom.sr.srread(file).content.get_image_measurement_groups()
    assert numbers(group) == {"Area": (12.5, "mm2", None), "Long axis": (5, "mm", None)}
    (image,) = group.source_images
    assert image.referenced_sop_instance_uid == pydicom.dcmread(series.files[0]).SOPInstanceUID
    assert not shutil.which("dciodvfy") or errors(file) == []


def test_refusals(tmp_path):
    series = source(tmp_path)
    other = source(tmp_path / "other", study="2")
    path = tmp_path / "sr.dcm"
    box = ImageBox(file=series.files[0], box_xyxy=(1, 1, 5, 5), label="lesion")
    with pytest.raises(ValueError, match="no code is known for the label 'gizmo'"):
        write_sr(path, series, measures={"gizmo": {"volume_ml": 1.0}})
    with pytest.raises(DicomError, match="another study"):
        write_sr(path, other, boxes=[box])
    with pytest.raises(DicomError, match="is no DICOM Segmentation"):
        write_sr(path, series, measures={"liver": {"index": 1}}, seg=series.files[0])
    with pytest.raises(NoGeometry, match="needs a series"):
        write_sr(path, series.files, boxes=[VolumeBox(box=(0, 0, 0, 1, 1, 1), label="liver")])
    with pytest.raises(ValueError, match="lies outside of the volume"):
        write_sr(path, series, boxes=[VolumeBox(box=(9, 0, 0, 10, 1, 1), label="liver")])
    with pytest.raises(ValueError, match="must lie from 0 to 1"):
        write_sr(path, series, measures={"liver": {"score": 2}})
    assert not path.exists()
