"""The first bytes of a DICOM file, read or inflated only as far as its structure asks for."""

from __future__ import annotations

import io
import sys
import zlib
from typing import BinaryIO

from kmed.data.dicom.errors import Damaged, TooLarge

FIRST_READ = 2**16  # most headers without pixel data
_INFLATED_AT_ONCE = 2**24


class More(Exception):
    """The walk needs bytes that have not been read yet."""


class Buffer:
    """The first bytes of a file, read as far as needed."""

    def __init__(self, stream: BinaryIO, size: int, name: str, limit: int):
        self.stream, self.size, self.name, self.limit = stream, size, name, limit
        self.data = b""

    def grow(self, needed: int) -> None:
        """Reads on until `needed` bytes are there, or the file ends."""
        if needed > self.limit:
            raise TooLarge(
                f"{self.name}: more than {self.limit} bytes have to be read; if that is right, "
                "allow more with max_bytes=",
                files=[self.name],
                figures={"bytes": needed, "max_bytes": self.limit},
            )
        wanted = min(max(needed, 2 * len(self.data)), self.size, self.limit)
        read = self.stream.read(wanted - len(self.data))
        self.data = self.data + read if self.data else read
        if len(self.data) < min(needed, self.size):
            raise Damaged(
                f"{self.name}: ends after {len(self.data)} of {self.size} bytes; copy it again",
                files=[self.name],
                figures={"bytes": len(self.data), "declared": self.size},
            )


class Inflated(Buffer):
    """The data set of a deflated file, inflated as far as needed and never beyond the limit.

    Reference: DICOM PS3.5, A.5; RFC 1951.
    """

    def __init__(self, file: Buffer, start: int, limit: int):
        if len(file.data) < file.size:
            file.grow(file.size)
        # Where it ends is unknown until the stream has ended.
        super().__init__(io.BytesIO(), sys.maxsize, file.name, limit)
        self.inflater, self.rest = zlib.decompressobj(-zlib.MAX_WBITS), file.data[start:]
        self.grow(min(limit, FIRST_READ))

    def grow(self, needed: int) -> None:
        """Inflates until `needed` bytes are there, or the stream ends."""
        if needed > self.limit:
            super().grow(needed)
        wanted = min(max(needed, 2 * len(self.data)), self.limit)
        parts, have = [self.data], len(self.data)
        while have < wanted and not self.inflater.eof:
            try:
                part = self.inflater.decompress(self.rest, min(wanted - have, _INFLATED_AT_ONCE))
            except zlib.error as error:
                raise Damaged(
                    f"{self.name}: its deflated data set is damaged", files=[self.name]
                ) from error
            self.rest = self.inflater.unconsumed_tail
            if not part and not self.inflater.eof:
                raise Damaged(f"{self.name}: its deflated data set is cut off", files=[self.name])
            parts.append(part)
            have += len(part)
        self.data = b"".join(parts)
        if self.inflater.eof:
            self.size = len(self.data)
