"""What is said of volumes that are read all the same."""

import time

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.remarks import remarks
from kmed.data.dicom.series import read_series
from kmed.data.dicom.splitting import Part
from kmed.data.dicom.volumes import volumes_of
from kmed.data.dicom.writer import StudyHeader, write_series


def part(places, keys=(), **split_by):
    """Slices at places along z; `keys` of each."""
    keys = keys or [{}] * len(places)
    frames = [
        Frame(
            index=0,
            position_mm=(0.0, 0.0, float(z)),
            orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            spacing_mm=(1.0, 1.0),
            keys=tuple(each.items()),
        )
        for z, each in zip(places, keys, strict=True)
    ]
    return Part(tuple((None, frame) for frame in frames), split_by)


@pytest.mark.parametrize(
    ("name", "values", "said"),
    [
        ("EchoTime", (4.6, 9.2), ("its slices differ in EchoTime: 4.6, 9.2",)),
        ("EchoTime", (9.968, 9.972), ()),  # rounded
        ("ImageType", ("M\\ND", "P\\ND"), ("its slices differ in ImageType: M, P",)),
        ("ImageType", ("AXIAL", "AXIAL\\JP2K"), ()),  # no other quantity
        ("ConvolutionKernel", ("B30f", "B70f"), None),
        ("DiffusionBValue", (0.0, 1000.0), None),
        ("AcquisitionNumber", (1, 2), ()),
        ("TriggerTime", (3.0, 700.0), ()),
        ("KVP", (120.0, 140.0), ()),  # of one head scan: the base is scanned with more
        ("TemporalPositionIndex", (1, 2), ("its slices differ in TemporalPositionIndex: 1, 2",)),
    ],
)
def test_slices_of_one_volume_that_differ(name, values, said):
    one = part(range(4), [{name: values[z // 2]} for z in range(4)])
    (found,) = remarks([one])
    if said is None:
        assert len(found) == 1 and name in found[0]
    else:
        assert found == said


def test_long_values_are_cut():
    (found,) = remarks([part([0, 1], [{"ConvolutionKernel": c * 999} for c in "ab"])])
    assert len(found[0]) < 150
    (found,) = remarks([part(range(9), [{"EchoTime": 2.0**z} for z in range(9)])])
    assert found == ("its slices differ in EchoTime: 1.0, 2.0, 4.0, 8.0 and 5 more",)


@pytest.mark.parametrize(
    ("places", "split_by", "fewer"),
    [
        (range(3), {"TemporalPositionIndex": 2}, True),
        ((3, 4, 5), {"TemporalPositionIndex": 2}, True),
        (range(8), {"TemporalPositionIndex": 2}, False),
        (range(20, 23), {"StackID": "2"}, False),  # another place
        (range(3), {"ImageOrientationPatient": (0.0, 1, 0, 0, 0, -1)}, False),
    ],
)
def test_a_volume_that_lacks_slices_of_another(places, split_by, fewer):
    said = remarks([part(range(8)), part(places, **split_by)])
    assert said[0] == ()
    expected = (f"{len(places)} slices where another volume of the series has 8",)
    assert said[1] == (expected if fewer else ())


def test_thousands_of_volumes_take_no_time():
    parts = [part(range(3), TemporalPositionIndex=t) for t in range(3000)]
    start = time.process_time()
    assert not any(remarks(parts)) and time.process_time() - start < 2


def test_a_scan_that_broke_off(tmp_path):
    """Three time points of ten slices, of which the last has three."""
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1.0]])
    image = np.arange(10 * 4 * 5).reshape(10, 4, 5)
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    for point in (1, 2, 3):
        files = write_series(
            tmp_path / str(point), image + point, affine, study, modality="MR", name="t", number=1
        )
        for number, file in enumerate(files):
            ds = pydicom.dcmread(file)
            ds.SOPInstanceUID, ds.TemporalPositionIndex = pydicom.uid.generate_uid(), point
            ds.save_as(file)
            if point == 3 and number >= 3:
                file.unlink()
    (series,) = volumes_of(tmp_path).series
    assert [len(volume.frames) for volume in series.volumes] == [10, 10, 3]
    for number in (0, 1):
        read = read_series(tmp_path, volume=number)
        np.testing.assert_array_equal(read.array, image + number + 1)
        assert read.problems == ()
    read = read_series(tmp_path, volume=2)
    np.testing.assert_array_equal(read.array, image[:3] + 3)
    assert read.problems == ("3 slices where another volume of the series has 10",)
