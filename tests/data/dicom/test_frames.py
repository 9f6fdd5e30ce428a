"""Frames of hand-made files, and of a multi-frame file against its single-frame originals."""

from __future__ import annotations

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from kmed.data.dicom.errors import Damaged, TooLarge
from kmed.data.dicom.frames import MOST_FRAMES, frames_of

AXIAL = [1, 0, 0, 0, 1, 0]


def items(**attributes) -> list[Dataset]:
    ds = Dataset()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return [ds]


def classic(**attributes) -> Dataset:
    plane = {
        "ImagePositionPatient": [-10, -20, 30],
        "ImageOrientationPatient": AXIAL,
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 3,
    }
    return items(**plane, **attributes)[0]


def dimension(pointer: str | int, group: str | int) -> Dataset:
    return items(DimensionIndexPointer=Tag(pointer), FunctionalGroupPointer=Tag(group))[0]


def enhanced(times: int = 2, slices: int = 3) -> Dataset:
    """Slices 2.5 mm apart at several times and echo times, each with a slope of its own."""
    shared, ds = Dataset(), Dataset()
    shared.PlaneOrientationSequence = items(ImageOrientationPatient=AXIAL)
    shared.PixelMeasuresSequence = items(PixelSpacing=[2, 2], SliceThickness=2)
    shared.PixelValueTransformationSequence = items(RescaleSlope=9, RescaleIntercept=9)
    own = []
    for time in range(times):
        for place in range(slices):
            frame = Dataset()
            frame.PlanePositionSequence = items(ImagePositionPatient=[1, 2, 2.5 * place])
            frame.FrameContentSequence = items(
                StackID="1",
                InStackPositionNumber=place + 1,
                TemporalPositionIndex=time + 1,
                DimensionIndexValues=[1, place + 1, time + 1, 7, time + 1],
            )
            frame.PixelValueTransformationSequence = items(
                RescaleSlope=time + 1, RescaleIntercept=-place
            )
            frame.MREchoSequence = items(EffectiveEchoTime=5.0 * (time + 1))
            diffusion = items(DiffusionBValue=1000.0, DiffusionDirectionality="DIRECTIONAL")
            diffusion[0].DiffusionGradientDirectionSequence = items(
                DiffusionGradientOrientation=[0.0, 1.0, 0.0]
            )
            frame.MRDiffusionSequence = diffusion
            own.append(frame)
    ds.NumberOfFrames = len(own)
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = own
    ds.DimensionIndexSequence = [
        dimension("StackID", "FrameContentSequence"),
        dimension("InStackPositionNumber", "FrameContentSequence"),
        dimension("TemporalPositionIndex", "FrameContentSequence"),
        dimension(0x2005106E, 0x2005140F),
        dimension("EffectiveEchoTime", "MREchoSequence"),
    ]
    return ds


def test_a_classic_file_is_one_frame():
    ds = classic(RescaleSlope=2, RescaleIntercept=-1024, EchoTime=4.6, AcquisitionNumber=3)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    (frame,) = frames_of(ds)
    assert (frame.index, frame.tile, frame.problem) == (0, None, None)
    assert frame.position_mm == (-10, -20, 30) and frame.orientation == tuple(AXIAL)
    assert frame.spacing_mm == (0.5, 0.75) and frame.thickness_mm == 3
    assert (frame.slope, frame.intercept) == (2, -1024)
    assert frame.keys == (("ImageType", "M\\ND"), ("EchoTime", 4.6), ("AcquisitionNumber", 3))


def test_without_a_rescale_none_is_invented():
    (frame,) = frames_of(classic())
    assert frame.slope is None and frame.intercept is None and frame.keys == ()


def test_own_groups_come_before_shared_ones():
    frames = frames_of(enhanced())
    assert [frame.index for frame in frames] == list(range(6))
    assert [frame.position_mm[2] for frame in frames] == [0, 2.5, 5] * 2
    assert [(f.slope, f.intercept) for f in frames] == [(1, 0), (1, -1), (1, -2)] + [
        (2, 0),
        (2, -1),
        (2, -2),
    ]
    assert {f.spacing_mm for f in frames} == {(2, 2)} and {f.thickness_mm for f in frames} == {2}
    assert not any(frame.problem for frame in frames)


def test_dimension_indices_become_the_values_they_stand_for():
    keys = [dict(frame.keys) for frame in frames_of(enhanced())]
    assert [k["TemporalPositionIndex"] for k in keys] == [1, 1, 1, 2, 2, 2]
    assert [k["EffectiveEchoTime"] for k in keys] == [5, 5, 5, 10, 10, 10]
    assert {k["StackID"] for k in keys} == {"1"} and {k["(2005,106E)"] for k in keys} == {7}
    assert {k["DiffusionBValue"] for k in keys} == {1000}
    assert {k["DiffusionGradientOrientation"] for k in keys} == {(0, 1, 0)}
    # Where a frame lies is its position; it must not split a volume into its slices.
    assert not any("InStackPositionNumber" in k or "ImagePositionPatient" in k for k in keys)


def test_shared_groups_alone_place_one_frame_but_not_several():
    ds = Dataset()
    shared = enhanced().SharedFunctionalGroupsSequence[0]
    shared.PlanePositionSequence = items(ImagePositionPatient=[1, 2, 3])
    ds.SharedFunctionalGroupsSequence = [shared]
    assert frames_of(ds)[0].position_mm == (1, 2, 3)
    ds.NumberOfFrames = 4
    frames = frames_of(ds)
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert all("one position" in frame.problem for frame in frames)


def test_ultrasound_frames_have_no_place():
    ds = items(NumberOfFrames=30, PixelSpacing=[0.1, 0.1])[0]
    frames = frames_of(ds)
    assert len(frames) == 30 and frames[29].index == 29 and frames[29].spacing_mm == (0.1, 0.1)
    assert all(f.position_mm is None and "30 frames without" in f.problem for f in frames)


def test_a_radiograph_has_no_place():
    (frame,) = frames_of(items(Rows=4, Columns=4)[0])
    assert "needs ImagePositionPatient with 3 finite numbers; received none" in frame.problem


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("ImagePositionPatient", [1, 2], "ImagePositionPatient with 3 finite"),
        ("ImageOrientationPatient", None, "ImageOrientationPatient with 6 finite"),
        ("ImageOrientationPatient", [2, 0, 0, 0, 2, 0], "unit length"),
        ("ImageOrientationPatient", [0] * 6, "unit length"),
        ("ImageOrientationPatient", [1, 0, 0, 0.6, 0.8, 0], "perpendicular"),
        ("PixelSpacing", [0, 1], "above 0"),
        ("PixelSpacing", [-1, 1], "above 0"),
        ("PixelSpacing", "", "PixelSpacing with 2 finite"),
    ],
)
def test_geometry_that_is_none_is_a_problem(keyword, value, words):
    ds = classic()
    setattr(ds, keyword, value)
    assert words in frames_of(ds)[0].problem


def set_raw(ds: Dataset, keyword: str, vr: str, raw: bytes) -> None:
    """As a file holds it: pydicom refuses to set such values itself."""
    tag = Tag(keyword)
    ds._dict[tag] = RawDataElement(tag, vr, len(raw), raw, 0, False, True)


@pytest.mark.parametrize("raw", [b"1A", b"1.5", b"3\\4"])
def test_a_number_of_frames_that_is_none(raw):
    ds = classic()
    set_raw(ds, "NumberOfFrames", "IS", raw)
    with pytest.raises(Damaged, match="NumberOfFrames is no whole number"):
        frames_of(ds)


@pytest.mark.parametrize("raw", [b"abc", b"1e999", b"nan", b"1\\2"])
def test_a_rescale_that_is_no_number_is_a_problem_and_no_other_scale(raw):
    ds = classic(RescaleIntercept=0)
    set_raw(ds, "RescaleSlope", "DS", raw)
    (frame,) = frames_of(ds)
    assert frame.problem == "RescaleSlope must be a finite number" and frame.slope is None


def test_number_of_frames_must_be_that_of_the_groups():
    ds = enhanced()
    ds.NumberOfFrames = 5
    with pytest.raises(Damaged, match="NumberOfFrames is 5, but .* describes 6"):
        frames_of(ds)


def test_a_million_frames_are_refused_before_they_are_made():
    ds = items(NumberOfFrames=2**31 - 1)[0]
    with pytest.raises(TooLarge, match=f"at most {MOST_FRAMES}") as caught:
        frames_of(ds)
    assert caught.value.figures["frames"] == 2**31 - 1


@pytest.mark.parametrize(
    ("offsets", "orientation", "expected"),
    [
        ([0, 3, 7], AXIAL, [(-10, -20, 30), (-10, -20, 33), (-10, -20, 37)]),
        ([30, 33, 37], AXIAL, [(-10, -20, 30), (-10, -20, 33), (-10, -20, 37)]),
        ([0, 3, 7], [0, 1, 0, 0, 0, -1], [(-10, -20, 30), (-13, -20, 30), (-17, -20, 30)]),
    ],
)
def test_dose_planes_lie_at_their_offsets(offsets, orientation, expected):
    ds = classic(NumberOfFrames=3, GridFrameOffsetVector=offsets)
    ds.ImageOrientationPatient = orientation
    assert [frame.position_mm for frame in frames_of(ds)] == expected


def test_dose_offsets_that_begin_elsewhere_are_a_problem():
    for offsets in ([5, 6, 7], [0, 1]):
        ds = classic(NumberOfFrames=3, GridFrameOffsetVector=offsets)
        frames = frames_of(ds)
        assert len(frames) == 3
        assert all("GridFrameOffsetVector" in f.problem and not f.position_mm for f in frames)


def test_private_b_values_of_siemens_and_ge():
    siemens = classic()
    block = siemens.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "800")
    block.add_new(0x0E, "FD", [0.0, 0.6, 0.8])
    assert dict(frames_of(siemens)[0].keys) == {
        "DiffusionBValue": 800,
        "DiffusionGradientOrientation": (0, 0.6, 0.8),
    }
    ge = classic()
    ge.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [1000000600, 8, 0, 0])
    assert dict(frames_of(ge)[0].keys) == {"DiffusionBValue": 600}


def test_a_converted_multi_frame_file_has_the_places_of_its_originals(shared_data):
    folder = shared_data / "data" / "dicom" / "dcmqi" / "segmentations" / "23x38x3"
    frames = frames_of(pydicom.dcmread(folder / "multiframe" / "mf.dcm", stop_before_pixels=True))
    originals = [
        frames_of(pydicom.dcmread(path, stop_before_pixels=True))[0]
        for path in sorted((folder / "image").glob("*.dcm"))
    ]
    assert len(frames) == len(originals) == 3

    def place(frame):
        return frame.position_mm, frame.orientation, frame.spacing_mm, frame.slope, frame.intercept

    assert sorted(map(place, frames)) == sorted(map(place, originals))
