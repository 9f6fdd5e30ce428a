import io
import zlib

import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data.dicom import codecs
from kmed.data.dicom.codecs import DEFLATED_FRAMES, decode_frame, plugin_for
from kmed.data.dicom.errors import Damaged, DicomError, MissingCodec
from kmed.data.dicom.pixel_layout import PixelLayout
from kmed.data.dicom.pixels import stored_values

JPEG, JPEG_LS = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80"
ROWS, COLUMNS = np.mgrid[0:64, 0:64]
RGB = np.stack([ROWS * 3, COLUMNS * 3, 255 - ROWS * 2], axis=-1).astype(np.uint8)


def layout(**changes):
    return PixelLayout(
        **{
            **{"name": "a.dcm", "element": "PixelData", "frames": 1, "rows": 64, "columns": 64},
            **{"samples": 3, "allocated": 8, "stored": 8, "high": 7, "signed": False},
            **{"photometric": "YBR_FULL", "planar": False},
            **changes,
        }
    )


def jpeg(adobe=None, jfif=False):
    """A JPEG in YCbCr, with an Adobe marker that says which transform."""
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "JPEG", quality=95, subsampling=0)
    data = out.getvalue()
    length = int.from_bytes(data[4:6], "big")
    marks = data[2 : 4 + length] if jfif else b""
    if adobe is not None:
        marks += b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00" + bytes([adobe])
    return data[:2] + marks + data[4 + length :]


@pytest.mark.parametrize("photometric", ["YBR_FULL", "YBR_FULL_422", "RGB"])
@pytest.mark.parametrize(("adobe", "jfif"), [(None, True), (1, False), (1, True), (None, False)])
def test_colour_of_jpeg_is_not_transformed_twice(photometric, adobe, jfif):
    ybr = np.asarray(Image.fromarray(RGB).convert("YCbCr")).astype(int)
    values, now = decode_frame(jpeg(adobe, jfif), JPEG, layout(photometric=photometric))
    assert np.abs(values - ybr).max() < 8
    # Without any mark in the stream the file's word is taken.
    assert now.startswith("YBR") == (photometric != "RGB" or adobe is not None or jfif)


def test_a_stream_that_says_rgb():
    out = io.BytesIO()
    Image.fromarray(RGB).save(out, "JPEG", quality=95, subsampling=0, keep_rgb=True)
    values, now = decode_frame(out.getvalue(), JPEG, layout())
    assert now == "RGB"
    assert np.abs(values.astype(int) - RGB).max() < 8


def test_what_to_install(monkeypatch):
    class Nothing:
        available_plugins = ()

    monkeypatch.setattr(codecs, "get_decoder", lambda uid: Nothing)
    for syntax, package in (
        (JPEG, "python-gdcm"),
        (JPEG_LS, "pyjpegls"),
        ("1.2.840.10008.1.2.4.91", "pylibjpeg pylibjpeg-openjpeg"),
        ("1.2.840.10008.1.2.4.201", "pylibjpeg pylibjpeg-openjpeg"),
    ):
        with pytest.raises(MissingCodec, match=f"a.dcm: .*`pip install {package}`"):
            plugin_for(syntax, "a.dcm")


@pytest.mark.parametrize(
    ("syntax", "said"),
    [
        ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile"),
        ("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2 Multi-component"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_what_nothing_decodes(syntax, said):
    with pytest.raises(MissingCodec, match=f"a.dcm: nothing here decodes .*{said}"):
        plugin_for(syntax, "a.dcm")


def test_a_codec_of_the_gpl_is_never_asked_for():
    named = " ".join(codecs._INSTALL.values())
    assert "libjpeg" not in named.replace("pylibjpeg-openjpeg", "").replace("pylibjpeg", "")
    pylibjpeg = [uid for uid, plugins in codecs._PLUGINS.items() if "pylibjpeg" in plugins]
    assert not {*codecs._JPEG, *codecs._JPEG_LS} & set(pylibjpeg)


def deflated(data):
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


def test_deflated_frames():
    values, now = decode_frame(deflated(RGB.tobytes()), DEFLATED_FRAMES, layout(photometric="RGB"))
    np.testing.assert_array_equal(values, RGB)
    assert now == "RGB"
    planes = np.moveaxis(RGB, -1, 0).tobytes()
    values, _ = decode_frame(deflated(planes), DEFLATED_FRAMES, layout(planar=True))
    np.testing.assert_array_equal(values, RGB)
    grey = layout(samples=1, photometric="MONOCHROME2", allocated=1, stored=1, high=0)
    bits = np.packbits(ROWS > COLUMNS, bitorder="little").tobytes()
    values, _ = decode_frame(deflated(bits), DEFLATED_FRAMES, grey)
    np.testing.assert_array_equal(values, ROWS > COLUMNS)


@pytest.mark.parametrize(
    ("frame", "message"),
    [(b"\xff" * 20, "a deflated frame is broken"), (deflated(b"abc"), "holds 3 bytes of 12,288")],
)
def test_broken_deflated_frames(frame, message):
    with pytest.raises(Damaged, match=message):
        decode_frame(frame, DEFLATED_FRAMES, layout())


def test_a_decoder_that_fails_is_named():
    frame = jpeg(jfif=True)
    at = frame.index(b"\xff\xc4")
    broken = frame[: at + 5] + b"\xff" * 16 + frame[at + 21 :]
    with pytest.raises(Damaged, match="a.dcm: gdcm can't decode a frame of JPEG Baseline"):
        decode_frame(broken, JPEG, layout())


def test_mutated_frames_neither_crash_nor_raise_anything_else(shared_data):
    root = shared_data / "data" / "dicom" / "pydicom"
    rng = np.random.default_rng(7)
    for name in (
        "MR_small_RLE",
        "MR_small_jp2klossless",
        "MR_small_jpeg_ls_lossless",
        "SC_rgb_jpeg_gdcm",
    ):
        ds = pydicom.dcmread(root / f"{name}.dcm")
        good = np.frombuffer(ds.PixelData, np.uint8)
        for _ in range(40):
            data = good.copy()
            data[rng.integers(0, min(len(data), 600), 3)] = rng.integers(0, 256, 3)
            ds.PixelData = data.tobytes()[: rng.integers(len(data) // 2, len(data) * 2)]
            try:
                assert stored_values(ds).shape[1:3] == (ds.Rows, ds.Columns)
            except DicomError:
                pass
