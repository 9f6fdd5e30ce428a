"""A segmentation's labels and quantities as DICOM objects."""

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.errors import NotDicom
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results import write_findings
from kmed.results.dicom.seg_reading import read_seg

AFFINE = np.array([[0, 0, 0.8, -30], [0, 0.7, 0, 12], [2.5, 0, 0, 100], [0, 0, 0, 1.0]])
NAMES = ["background", "liver", "nidus"]
CODES = {"nidus": ("52988006", "SCT", "Lesion")}


@pytest.fixture
def series(tmp_path):
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    array = np.arange(4 * 8 * 9).reshape(4, 8, 9)
    write_series(tmp_path / "ct", array, AFFINE, study, modality="CT", name="ct", number=1)
    return read_series(tmp_path / "ct")


def found(folder, series, labels, to):
    image = np.zeros((*labels.shape, 1), np.float32) if series is None else series.arrays.image
    return write_findings(
        folder, "a", labels, image=image, spacing_mm=(2.5, 0.7, 0.8), label_names=NAMES,
        to=to, series=series, label_codes=CODES, algorithm=("net", "3"),
    )  # fmt: skip


def test_segments_and_the_report_that_measures_them(tmp_path, series):
    labels = np.zeros((4, 8, 9), np.uint8)
    labels[1:3, 2:6, 3:8] = 1
    written = found(tmp_path / "out", series, labels, "sr")
    assert [path.name for path in written] == [
        *("a_seg.dcm", "a_sr.dcm", "a_overlay.png", "a.json")
    ]
    np.testing.assert_array_equal(read_seg(written[0], series).labels(), labels)
    seg, report = pydicom.dcmread(written[0]), pydicom.dcmread(written[1])
    assert seg.SegmentSequence[0].SegmentAlgorithmName == "net"
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    named = {
        item.ReferencedSOPInstanceUID
        for one in evidence.ReferencedSeriesSequence
        for item in one.ReferencedSOPSequence
    }
    assert seg.SOPInstanceUID in named
    volume_ml = 2 * 4 * 5 * 2.5 * 0.7 * 0.8 / 1000
    assert f"{volume_ml:g}" in str(report)
    (first, *_) = found(tmp_path / "seg", series, labels, "seg")
    assert first.name == "a_seg.dcm" and not (tmp_path / "seg" / "a_sr.dcm").exists()


def test_what_is_no_series_is_refused(tmp_path):
    with pytest.raises(NotDicom, match="a: a DICOM Segmentation refers to a DICOM series"):
        found(tmp_path, None, np.zeros((4, 8, 9), np.uint8), "seg")
