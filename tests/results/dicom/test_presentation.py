import shutil
import subprocess
import warnings

import highdicom
import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.uid import generate_uid

from kmed.data.dicom.errors import UnsupportedPixels
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.results.dicom.boxes import ImageBox, VolumeBox
from kmed.results.dicom.capture import write_capture
from kmed.results.dicom.presentation import write_presentation

AFFINE = np.array([[0, 0, 0.75, -20], [0, 1.5, 0, 7.5], [3.0, 0, 0, 100], [0, 0, 0, 1]])


def source(folder, modality="CT", **attributes):
    header = StudyHeader(
        patient_id="p1", patient_name="Lonely", entropy=("pr",), date="20250101",
        attributes=attributes,
    )  # fmt: skip
    array = np.random.default_rng(3).integers(0, 300, (4, 12, 16)).astype(np.int16)
    return [
        str(file)
        for file in write_series(
            folder / "s", array, AFFINE, header, modality=modality, name="s", number=1
        )
    ]


def enhanced(folder):
    datasets = [pydicom.dcmread(file) for file in source(folder)]
    for number, ds in enumerate(datasets):
        ds.FrameType, ds.PatientName = ds.ImageType, "Lonely^"
        ds.WindowCenter = 40 + number
    made = LegacyConvertedEnhancedCTImage(datasets, generate_uid(), 2, generate_uid(), 1)
    made.save_as(folder / "enhanced.dcm")
    return str(folder / "enhanced.dcm")


def changed(file, **attributes):
    ds = pydicom.dcmread(file)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.save_as(file)
    return file


def colour(folder):
    file = write_capture(folder / "rgb.dcm", np.zeros((12, 16, 3), np.uint8), source(folder)[0])
    return str(file)


def box(file, **settings):
    found = {"box_xyxy": (2, 3.5, 9, 40), "label": "lesion", "score": 0.5} | settings
    return ImageBox(file=file, **found)


def errors(file):
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")]


def valid(file):
    return not shutil.which("dciodvfy") or errors(file) == []


def test_boxes_on_the_slices_of_a_series(tmp_path):
    files = source(tmp_path)
    boxes = [box(files[0]), box(files[2], label="nodule", score=None, box_xyxy=(0, 0, 1, 1))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # none that repeats the patient's name
        written = write_presentation(
            tmp_path / "new" / "pr.dcm", boxes, labels=["nodule", "lesion"]
        )
    (file,) = written
    state = pydicom.dcmread(file)
    assert state.SOPClassUID.name == "Grayscale Softcopy Presentation State Storage"
    assert (state.PatientName, state.StudyDate) == ("Lonely", "20250101")
    images = [pydicom.dcmread(name) for name in files]
    assert state.StudyInstanceUID == images[0].StudyInstanceUID
    referenced = state.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == images[0].SeriesInstanceUID
    uids = [item.ReferencedSOPInstanceUID for item in referenced.ReferencedImageSequence]
    assert uids == [images[0].SOPInstanceUID, images[2].SOPInstanceUID]
    first, second = state.GraphicAnnotationSequence
    assert first.ReferencedImageSequence[0].ReferencedSOPInstanceUID == uids[0]
    drawn = first.GraphicObjectSequence[0]
    assert (drawn.GraphicType, drawn.GraphicAnnotationUnits) == ("POLYLINE", "PIXEL")
    # Cut off at row 12, the image's last edge.
    assert drawn.GraphicData == [2, 3.5, 9, 3.5, 9, 12, 2, 12, 2, 3.5]
    assert first.TextObjectSequence[0].UnformattedTextValue == "lesion 50%"
    assert second.TextObjectSequence[0].UnformattedTextValue == "nodule"
    # The second class of `labels` has the second layer and colour.
    assert first.GraphicLayer == "CLASS2" and len(state.GraphicLayerSequence) == 2
    assert (state.RescaleSlope, state.RescaleIntercept, state.RescaleType) == (1, -1024, "HU")
    (window,) = state.SoftcopyVOILUTSequence
    assert (window.WindowCenter, window.WindowWidth) == (50, 400)
    assert state.PresentationLUTShape == "IDENTITY"
    area = state.DisplayedAreaSelectionSequence[0]
    assert area.PresentationPixelSpacing == [1.5, 0.75]
    assert area.DisplayedAreaBottomRightHandCorner == [16, 12] and valid(file)


def test_frames_of_an_enhanced_image(tmp_path):
    file = enhanced(tmp_path)
    series = read_series(file)
    boxes = [box(file, frame=frame) for frame in (series.frames[0], series.frames[3])]
    (state,) = write_presentation(tmp_path / "pr.dcm", boxes)
    assert valid(state)
    state = pydicom.dcmread(state)
    frames = [
        item.ReferencedImageSequence[0].ReferencedFrameNumber
        for item in state.GraphicAnnotationSequence
    ]
    assert frames == [one.frame + 1 for one in boxes]
    assert state.RescaleIntercept == -1024
    windows = {
        item.ReferencedImageSequence[0].ReferencedFrameNumber: item.WindowCenter
        for item in state.SoftcopyVOILUTSequence
    }
    assert sorted(windows) == sorted(frames) and len(set(windows.values())) == 2


def test_images_that_differ_go_to_several_states(tmp_path):
    files = source(tmp_path)
    changed(files[1], RescaleIntercept=-1000)
    states = write_presentation(tmp_path / "pr.dcm", [box(file) for file in files[:3]])
    assert [path.name for path in states] == ["pr.dcm", "pr-2.dcm"]
    one, two = map(pydicom.dcmread, states)
    assert one.SeriesInstanceUID == two.SeriesInstanceUID
    assert (one.RescaleIntercept, two.RescaleIntercept) == (-1024, -1000)
    assert len(one.GraphicAnnotationSequence) == 2 and all(map(valid, states))


def test_polarity_and_window_of_images_without_one(tmp_path):
    files = source(tmp_path, "MR")
    changed(files[0], PhotometricInterpretation="MONOCHROME1")
    (file,) = write_presentation(tmp_path / "pr.dcm", [box(files[0])])
    state = pydicom.dcmread(file)
    assert state.PresentationLUTShape == "INVERSE" and "RescaleSlope" not in state
    pixels = pydicom.dcmread(files[0]).pixel_array
    (window,) = state.SoftcopyVOILUTSequence
    low, high = (window.WindowCenter + sign * window.WindowWidth / 2 for sign in (-1, 1))
    assert (low, high) == (pixels.min(), pixels.max())
    (file,) = write_presentation(tmp_path / "pr.dcm", [box(files[0])], window=(40, 80))
    assert pydicom.dcmread(file).SoftcopyVOILUTSequence[0].WindowWidth == 80 and valid(file)


def test_colour_images(tmp_path):
    file = colour(tmp_path)
    (written,) = write_presentation(tmp_path / "pr.dcm", [box(file)])
    state = pydicom.dcmread(written)
    assert state.SOPClassUID.name == "Color Softcopy Presentation State Storage"
    assert state.ICCProfile[12:16] == b"scnr" and valid(written)
    assert highdicom.color.CIELabColor.from_rgb(230, 159, 0).value == tuple(
        state.GraphicLayerSequence[0].GraphicLayerRecommendedDisplayCIELabValue
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "is PALETTE COLOR"),
        ({"BitsAllocated": 32}, "neither 8 nor 16 bits"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6"}, "retired or private"),
    ],
)
def test_what_no_state_can_show_is_sent_to_secondary_capture(tmp_path, attributes, message):
    file = changed(source(tmp_path)[0], **attributes)
    with pytest.raises(UnsupportedPixels, match=f"{message}.*write_capture"):
        write_presentation(tmp_path / "pr.dcm", [box(file)])


def test_boxes_that_are_none(tmp_path):
    file, path = source(tmp_path)[0], tmp_path / "pr.dcm"
    for boxes, message in (
        ([], "one ImageBox or more"),
        ([VolumeBox(box=(0, 0, 0, 1, 1, 1), label="a")], "one ImageBox or more"),
        ([box(file, box_xyxy=(20, 1, 30, 2))], "lies outside of its 16 x 12"),
        ([box(file, frame=1)], "has 1 frames"),
        ([box(file, score=1.5)], "score must lie from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            write_presentation(path, boxes)
    assert not path.exists()
