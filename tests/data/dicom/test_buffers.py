"""Deflated data sets, bombs among them, are inflated as far as asked for and no further."""

import io
import struct
import time
import tracemalloc
import zlib

import pytest

from kmed.data.dicom.errors import Damaged, TooLarge
from kmed.data.dicom.parsing import parsed

ROWS = struct.pack("<HH2sHH", 0x28, 0x10, b"US", 2, 2)


def long_element(group, number, value, length=None):
    length = len(value) if length is None else length
    return struct.pack("<HH2sHL", group, number, b"OB", 0, length) + value


def file(body):
    meta = struct.pack("<HH2sH", 2, 0x10, b"UI", 22) + b"1.2.840.10008.1.2.1.99"
    return bytes(128) + b"DICM" + meta + body


def read(raw, pixels=False, max_bytes=None):
    return parsed(io.BytesIO(raw), len(raw), "x.dcm", pixels=pixels, max_bytes=max_bytes)


def deflated(body):
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return file(deflater.compress(body) + deflater.flush())


def test_deflated_bombs():
    zeros = bytes(2**26)
    bombs = [
        deflated(ROWS + long_element(0x0009, 0x1001, zeros)),
        deflated(ROWS + long_element(0x0009, 0x1001, zeros, 2**32 - 2)),
        deflated(ROWS + long_element(0x7FE0, 0x0010, zeros)),
        deflated(zeros),
    ]
    for raw in bombs:
        assert len(raw) < 10**5
        started = time.monotonic()
        tracemalloc.start()
        try:
            with pytest.raises((TooLarge, Damaged)):
                read(raw, pixels=True, max_bytes=2**20)
            assert tracemalloc.get_traced_memory()[1] < 2**24
        finally:
            tracemalloc.stop()
        assert time.monotonic() - started < 2
    # Before the pixel data no more is inflated than asked for.
    assert read(bombs[2], max_bytes=2**20).dataset.Rows == 2


def test_deflated_and_damaged():
    raw = deflated(ROWS + long_element(0x7FE0, 0x0010, bytes(8)))
    with pytest.raises(Damaged, match="cut off"):
        read(raw[:-8])
    with pytest.raises(Damaged, match="deflated data set is damaged"):
        read(file(b"\xff" * 50))
