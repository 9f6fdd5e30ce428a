"""Siemens mosaics: hand-made CSA headers, nibabel's parser, and headers cut and altered."""

from __future__ import annotations

import struct
import time
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom.frames import frames_of
from kmed.data.dicom.mosaic import csa_header, is_mosaic

TAGS = {"NumberOfImagesInMosaic": ["5"], "SliceNormalVector": ["0.0", "0.0", "1.0"], "Empty": []}


def csa(tags: dict[str, list[str]], version: int = 2) -> bytes:
    """A CSA header; version 1 writes each length plus the first tag's number of items."""
    first = max(len(next(iter(tags.values()))), 1)
    data = b"SV10\4\3\2\1" if version == 2 else b""
    data += struct.pack("<II", len(tags), 77)
    for name, values in tags.items():
        items = values + [""] * (max(first, len(values)) - len(values) if version == 1 else 0)
        data += struct.pack("<64si4siii", name.encode(), len(values), b"DS", 3, len(items), 77)
        for value in items:
            content = value.encode() + b"\0" if value else b""
            length = len(content)
            if version == 2:
                data += struct.pack("<4i", length, length, 77, length)
            else:
                data += struct.pack("<4i", length + first, 0, 77, 0)
            data += content.ljust(-(-length // 4) * 4, b"\0")
    return data


def mosaic(header: bytes | None, **attributes) -> Dataset:
    """5 slices of 4 x 6 pixels in 3 x 3 tiles, 10 mm apart."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    ds.Rows, ds.Columns, ds.PixelSpacing = 12, 18, [2, 3]
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [-100, -50, 7], [1, 0, 0, 0, 1, 0]
    ds.SpacingBetweenSlices, ds.SliceThickness = 10, 8
    if header is not None:
        block = ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", header)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


@pytest.mark.parametrize("version", [1, 2])
def test_tiles_are_slices_with_places_worked_by_hand(version):
    frames = frames_of(mosaic(csa(TAGS, version)))
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.tile for frame in frames] == [
        (0, 0, 4, 6),
        (0, 6, 4, 6),
        (0, 12, 4, 6),
        (4, 0, 4, 6),
        (4, 6, 4, 6),
    ]
    # The stated corner is that of 12 x 18 pixels around the tile's centre: 6 columns of 3 mm and
    # 4 rows of 2 mm further out than the tile's own.
    expected = [(-100 + 6 * 3, -50 + 4 * 2, 7 + 10 * i) for i in range(5)]
    assert [frame.position_mm for frame in frames] == expected
    assert {(frame.spacing_mm, frame.thickness_mm) for frame in frames} == {((2, 3), 8)}
    assert not any(frame.problem for frame in frames)


def test_slices_run_against_the_normal_where_the_header_says_so():
    header = csa(TAGS | {"SliceNormalVector": ["0.0", "0.0", "-1.0"]})
    assert [frame.position_mm[2] for frame in frames_of(mosaic(header))] == [7, -3, -13, -23, -33]


def test_the_count_stands_in_another_attribute_too():
    header = {k: v for k, v in TAGS.items() if k != "NumberOfImagesInMosaic"}
    ds = mosaic(csa(header))
    ds.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 7)
    assert len(frames_of(ds)) == 7


@pytest.mark.parametrize(
    ("header", "attributes", "words"),
    [
        (None, {}, "without NumberOfImagesInMosaic"),
        (b"", {}, "without NumberOfImagesInMosaic"),
        (csa({"NumberOfImagesInMosaic": ["5"]}), {}, "without SliceNormalVector"),
        (csa(TAGS | {"NumberOfImagesInMosaic": ["0"]}), {}, "NumberOfImagesInMosaic is 0"),
        (csa(TAGS | {"NumberOfImagesInMosaic": ["1e300"]}), {}, "NumberOfImagesInMosaic is"),
        (csa(TAGS | {"NumberOfImagesInMosaic": ["17"]}), {}, "5 x 5 tiles, which do not fill"),
        (csa(TAGS | {"SliceNormalVector": ["1", "0", "0"]}), {}, "not perpendicular"),
        (csa(TAGS), {"SpacingBetweenSlices": None}, "needs SpacingBetweenSlices"),
        (csa(TAGS), {"SpacingBetweenSlices": -3}, "needs SpacingBetweenSlices"),
        (csa(TAGS), {"ImagePositionPatient": None}, "needs ImagePositionPatient"),
    ],
)
def test_what_is_missing_is_named_and_nothing_guessed(header, attributes, words):
    (frame,) = frames_of(mosaic(header, **attributes))
    assert words in frame.problem and frame.tile is None


def test_only_image_type_makes_a_mosaic():
    assert is_mosaic(mosaic(None))
    for image_type in (None, "MOSAIC", ["ORIGINAL", "PRIMARY", "M"]):
        ds = mosaic(csa(TAGS))
        ds.ImageType = image_type
        assert not is_mosaic(ds)


@pytest.mark.parametrize("place", ["ImageType", "FrameType", "private"])
def test_enhanced_mosaics_are_no_slices(place):
    ds, frame, item = mosaic(csa(TAGS)), Dataset(), Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC" if place == "ImageType" else "NONE"]
    if place == "FrameType":
        item.FrameType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
        frame.MRImageFrameTypeSequence = [item]
    elif place == "private":
        block = item.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
        block.add_new(0x75, "CS", ["ORIGINAL", "PRIMARY", "M", "MOSAIC"])
        frame.private_block(0x0021, "SIEMENS MR SDI 02", create=True).add_new(0xFE, "SQ", [item])
    ds.PerFrameFunctionalGroupsSequence = [frame]
    (only,) = frames_of(ds)
    assert "mosaic in a multi-frame" in only.problem


def test_both_versions_hold_the_same():
    assert csa_header(csa(TAGS, 1)) == csa_header(csa(TAGS, 2))
    assert csa_header(csa(TAGS))["SliceNormalVector"] == ("0.0", "0.0", "1.0")


def test_the_parser_agrees_with_nibabel_on_scanners_headers(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nibabel.nicom import csareader
    root = shared_data / "data" / "dicom"
    files = [
        next(iter(sorted((root / "dcm_qa_nih" / "In" / "20180918Si" / "mr_0003").glob("*.dcm")))),
        next(iter(sorted((root / "dcm_qa_siemens_mosaic").rglob("MR.*")))),
    ]
    for path in files:
        ds = pydicom.dcmread(path, stop_before_pixels=True)
        for element in (0x10, 0x20):
            data = ds.private_block(0x0029, "SIEMENS CSA HEADER")[element].value
            theirs, ours = csareader.read(data)["tags"], csa_header(data)
            assert set(theirs) == set(ours) and len(ours) > 20
            for name in (
                "NumberOfImagesInMosaic",
                "SliceNormalVector",
                "BandwidthPerPixelPhaseEncode",
            ):
                if name in theirs:
                    assert list(map(float, ours[name])) == list(map(float, theirs[name]["items"]))


def test_cut_and_altered_headers_neither_raise_nor_take_long():
    data, random = csa(TAGS | {f"Tag{i}": ["1", "2"] for i in range(40)}), np.random.default_rng(0)
    start = time.perf_counter()
    for length in range(0, len(data), 16):
        assert isinstance(csa_header(data[:length]), dict)
    for _ in range(300):
        altered = np.frombuffer(data, np.uint8).copy()
        places = random.integers(0, altered.size, 8)
        altered[places] = random.integers(0, 256, 8)
        assert len(frames_of(mosaic(altered.tobytes()))) <= 144
    # Counts as large as the format can state, with nothing behind them.
    for huge in (2**31 - 1, 2**32 - 1):
        assert csa_header(b"SV10\4\3\2\1" + struct.pack("<II", huge, 77) + bytes(10**6)) == {}
    loop = struct.pack("<64si4siii", b"a", 1, b"DS", 0, 2**31 - 1, 77)
    loop += struct.pack("<4i", 0, -16, 77, 0) * 1000
    assert csa_header(b"SV10\4\3\2\1" + struct.pack("<II", 1, 77) + loop) == {}
    assert time.perf_counter() - start < 5
