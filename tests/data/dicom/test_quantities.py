"""What slices of one volume share: differences that are rounding, and those that are not."""

import time

import pytest

from kmed.data.dicom.frames import Frame
from kmed.data.dicom.quantities import differing


def frames(name, values):
    return [Frame(index=0, keys=() if v is None else ((name, v),)) for v in values]


@pytest.mark.parametrize(
    ("name", "values", "differs"),
    [
        ("EchoTime", [4.6, 9.2, 4.6], True),
        ("EchoTime", [9.968, 9.972], False),
        ("EchoTime", [4.6, None, 4.6], False),
        ("DiffusionBValue", [0.0, 1000.0], True),
        ("DiffusionBValue", [0.0, 0.0], False),
        ("DiffusionGradientOrientation", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)], True),
        ("DiffusionGradientOrientation", [(0.7071, 0.7071, 0.0), (0.7072, 0.707, 0.0)], False),
        ("TemporalPositionIndex", [1, 2], True),
        ("ComplexImageComponent", ["MAGNITUDE", "PHASE"], True),
        ("ImageType", ["M\\ND", "P\\ND"], True),
        ("ImageType", ["AXIAL", "AXIAL\\JP2K"], False),
        ("FrameType", ["T1\\FIELD_MAP", "T1\\M"], False),  # one word against none
        ("AcquisitionNumber", [1, 2], False),
        ("TriggerTime", [1.0, 900.0], False),
        ("EchoTime", [(4.6, 9.2), (4.6,)], True),
        ("EchoTime", [float("nan"), 4.6], True),
    ],
)
def test_differing(name, values, differs):
    found = differing(frames(name, values))
    assert list(found) == ([name] if differs else [])
    if differs:
        assert len(found[name]) == len(values)


def test_each_frame_has_its_value():
    mixed = frames("EchoTime", [None, 4.6, None, 9.2, None])
    assert differing(mixed) == {"EchoTime": [None, 4.6, None, 9.2, None]}
    assert differing([]) == {}


def test_thousands_of_values_take_no_time():
    start = time.process_time()
    differing(frames("EchoTime", [float(n) for n in range(20_000)]))
    assert time.process_time() - start < 1
