import copy
from dataclasses import replace

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from kmed.data.dicom.errors import Damaged, DicomError, NoGeometry, NotDicom, SlicesDuplicated
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.seg import write_seg
from kmed.results.dicom.seg_reading import read_seg

SHAPE = (5, 6, 7)
AFFINE = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])
NAMES = ("background", "liver", "spleen", "kidney")


@pytest.fixture
def series(tmp_path):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("x",), date="20250101")
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    write_series(tmp_path / "ct", array, AFFINE, study, modality="CT", name="s", number=1)
    return read_series(tmp_path / "ct")


@pytest.fixture
def labels():
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 1:3, :4], labels[3, 1:4, 2:5], labels[3, 5, 5:] = 1, 1, 2
    return labels


@pytest.fixture
def file(tmp_path, series, labels):
    return write_seg(tmp_path / "seg.dcm", labels, series, label_names=NAMES)


def masks_by_highdicom(path, read):
    """Masks `(K, ...)` on kmed's axes, of the planes from the first to the last frame."""
    volume = highdicom.seg.segread(path).get_volume(combine_segments=False)
    volume = volume.to_patient_orientation(("H", "P", "L"))
    np.testing.assert_allclose(volume.affine, read.affine, atol=1e-4)
    return np.moveaxis(volume.array, -1, 0)


CORPUS = {
    "dcmqi/segmentations/liver.dcm": "dcmqi/segmentations/ct-3slice",
    "dcmqi/segmentations/partial_overlaps.dcm": "dcmqi/segmentations/ct-3slice",
    "dcmqi/segmentations/23x38x3/seg/label.seg": "dcmqi/segmentations/23x38x3/image",
    "dcmqi/segmentations/24x38x3/seg/label.seg": "dcmqi/segmentations/24x38x3/image",
    "dcmqi/sr-example/seg.dcm": None,
    "highdicom/seg_image_ct_binary.dcm": None,
    "highdicom/seg_image_ct_binary_overlap.dcm": None,
    "highdicom/seg_image_ct_binary_fractional.dcm": None,
    "highdicom/seg_image_ct_true_fractional.dcm": None,
    "highdicom/seg_image_ct_binary_single_frame.dcm": None,
}


@pytest.mark.parametrize("name", CORPUS)
def test_equals_highdicom(shared_data, name):
    folder = shared_data / "data" / "dicom"
    read = read_seg(folder / name)
    theirs = masks_by_highdicom(folder / name, read)
    for segment, mask in zip(read.segments, theirs, strict=True):
        np.testing.assert_allclose(read.mask(segment.number), mask, atol=1e-6)
    if CORPUS[name]:
        source = read_series(folder / CORPUS[name])
        on_series = read_seg(folder / name, source)
        assert on_series.shape == source.array.shape
        np.testing.assert_array_equal(on_series.affine, source.affine)
        start = np.linalg.solve(source.affine, read.affine[:, 3])[:3].round().astype(int)
        part = tuple(slice(a, a + n) for a, n in zip(start, read.shape, strict=True))
        for segment, mask in zip(read.segments, theirs, strict=True):
            whole = on_series.mask(segment.number)
            np.testing.assert_array_equal(whole[part], mask)
            assert whole.sum() == mask.sum()


def test_overlapping_segments(shared_data):
    read = read_seg(shared_data / "data/dicom/dcmqi/segmentations/partial_overlaps.dcm")
    assert [segment.label for segment in read.segments][:2] == ["GREEN", "ORANGE"]
    assert (read.mask(1) & read.mask(2)).any()
    with pytest.raises(DicomError, match=r"segments 1 and 2 overlap.*mask\(number\)") as caught:
        read.labels()
    assert caught.value.figures["segments"] == (1, 2)


def test_only_the_frames_there_are(file, labels):
    read = read_seg(file)
    assert read.kind == "binary" and read.shape == (3, 6, 7)
    np.testing.assert_array_equal(read.labels(), labels[1:4])
    np.testing.assert_allclose(read.affine @ (0, 0, 0, 1), AFFINE @ (1, 0, 0, 1), atol=1e-6)
    assert read.spacing_mm == pytest.approx((2.5, 0.7, 0.8))
    assert not read.mask(3).any()
    with pytest.raises(ValueError, match=r"no segment 4; there are \[1, 2, 3\]"):
        read.mask(4)


def test_label_map(tmp_path, series, labels):
    images = [pydicom.dcmread(name) for name in series.files]
    first = pydicom.dcmread(write_seg(tmp_path / "a.dcm", labels, series, label_names=NAMES))
    seg = highdicom.seg.Segmentation(
        images,
        labels,
        "LABELMAP",
        [highdicom.seg.SegmentDescription.from_dataset(item) for item in first.SegmentSequence],
        series_instance_uid="1.2.3",
        series_number=3,
        sop_instance_uid="1.2.3.4",
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        transfer_syntax_uid=RLELossless,
    )
    seg.save_as(tmp_path / "b.dcm")
    read = read_seg(tmp_path / "b.dcm", series)
    assert read.kind == "labelmap"
    np.testing.assert_array_equal(read.labels(), labels)
    np.testing.assert_array_equal(read.mask(2), labels == 2)


def test_frames_in_any_order_and_direction(tmp_path, file, series, labels):
    """Rows turned to columns and frames shuffled, as other programs write them."""
    ds = pydicom.dcmread(file)
    shared = ds.SharedFunctionalGroupsSequence[0]
    frames = ds.pixel_array.transpose(0, 2, 1)[:, ::-1]
    row, column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3))
    down, along = shared.PixelMeasuresSequence[0].PixelSpacing
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [*column, *(-row)]
    shared.PixelMeasuresSequence[0].PixelSpacing = [along, down]
    items = [copy.deepcopy(item) for item in ds.PerFrameFunctionalGroupsSequence]
    for item in items:
        position = item.PlanePositionSequence[0]
        moved = np.array(position.ImagePositionPatient) + (ds.Columns - 1) * along * row
        position.ImagePositionPatient = [round(float(v), 6) for v in moved]
    order = [2, 0, 1]
    ds.PerFrameFunctionalGroupsSequence = [items[i] for i in order]
    ds.Rows, ds.Columns = ds.Columns, ds.Rows
    bits = np.packbits(frames[order].ravel(), bitorder="little").tobytes()
    ds.PixelData = bits + b"\0" * (len(bits) % 2)
    ds.save_as(tmp_path / "turned.dcm")
    read = read_seg(tmp_path / "turned.dcm", series)
    np.testing.assert_array_equal(read.labels(), labels)
    np.testing.assert_array_equal(read_seg(tmp_path / "turned.dcm").labels(), labels[1:4])


def edited(file, edit):
    ds = pydicom.dcmread(file)
    edit(ds)
    path = file.with_name("edited.dcm")
    ds.save_as(path)
    return path


def _frame(ds, index):
    return ds.PerFrameFunctionalGroupsSequence[index]


def _move(ds, mm):
    position = _frame(ds, 0).PlanePositionSequence[0].ImagePositionPatient
    position[2] = float(position[2]) + mm


def _segment(ds, number):
    _frame(ds, 0).SegmentIdentificationSequence[0].ReferencedSegmentNumber = number


def _spacing(ds):
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0.7, 0.9]


def _twice(ds):
    _frame(ds, 1).PlanePositionSequence = _frame(ds, 0).PlanePositionSequence


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda ds: _move(ds, 1), DicomError, r"frame 1 lies 0\.40 voxels off"),
        (lambda ds: _move(ds, -25), DicomError, "outside of its array"),
        (_spacing, DicomError, "other axes or pixel spacing"),
        (_twice, SlicesDuplicated, "frames 1 and 2 are of one segment"),
        (lambda ds: _segment(ds, 9), Damaged, r"segments \[9\]"),
        (lambda ds: _segment(ds, None), Damaged, "can't be read"),
        (lambda ds: setattr(ds, "SegmentationType", "NONE"), Damaged, "'none' is unknown"),
        (lambda ds: delattr(ds, "SegmentSequence"), Damaged, "can't be read"),
        (lambda ds: setattr(ds, "FrameOfReferenceUID", "1.2"), DicomError, "frame of reference"),
        (lambda ds: delattr(_frame(ds, 0), "PlanePositionSequence"), NoGeometry, "frame 1"),
    ],
)
def test_refused(file, series, edit, error, message):
    with pytest.raises(error, match=message):
        read_seg(edited(file, edit), series)


def test_other_files(shared_data, series, file, labels):
    with pytest.raises(NotDicom, match="no DICOM Segmentation but CT"):
        read_seg(series.files[0])
    with pytest.raises(NoGeometry):
        read_seg(shared_data / "data/dicom/highdicom/seg_image_sm_control.dcm")

    def first(count):
        parts = {"files": series.files[:count], "frames": series.frames[:count]}
        return replace(series, array=series.array[:count], **parts)

    with pytest.raises(DicomError, match="cropped"):
        read_seg(file, first(3))
    np.testing.assert_array_equal(read_seg(file, first(4)).labels(), labels[:4])


def test_fraction_above_the_maximum(tmp_path, series):
    chances = np.full((*SHAPE, 2), 0.5, np.float32)
    path = write_seg(
        tmp_path / "a.dcm",
        None,
        series,
        label_names=NAMES[:2],
        kind="fractional",
        probabilities=chances,
    )
    wrong = edited(path, lambda ds: setattr(ds, "MaximumFractionalValue", 100))
    with pytest.raises(Damaged, match="has the value 128, its Maximum Fractional Value is 100"):
        read_seg(wrong, series).mask(1)
