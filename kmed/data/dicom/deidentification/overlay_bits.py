"""Overlays that older devices put into the unused bits of the pixels: taken out."""

from __future__ import annotations

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from kmed.data.dicom.deidentification.burned_in import BurnedInText


def without_overlay_bits(ds: Dataset, element: DataElement, name: str = "") -> DataElement:
    """Clears the bits of pixels that hold an overlay.

    Overlays hold text and marks. Stored in bits of the pixels (retired), they would outlive the
    removal of the overlay's attributes.

    Reference: DICOM PS3.3-2004, C.9.2 (Overlay Plane, Overlay Bit Position); PS3.5, 8.1.2.

    Args:
        ds: the header.
        element: Pixel Data.
        name: of the file, for the message.

    Returns:
        The element itself where there is no such overlay.

    Raises:
        BurnedInText: such an overlay in compressed pixels.
    """
    embedded = any(
        ds.get((group, 0x0102)) is not None
        and int(ds[group, 0x0102].value or 0) > 0
        and (group, 0x3000) not in ds
        for group in range(0x6000, 0x6020, 2)
    )
    if not embedded:
        return element
    syntax = ds.file_meta.TransferSyntaxUID
    allocated, stored = int(ds.BitsAllocated), int(ds.BitsStored)
    if syntax.is_compressed or allocated not in (8, 16, 32):
        raise BurnedInText(
            f"{name or 'the data set'}: an overlay in the unused bits of compressed pixels; "
            "uncompress it first, or leave it out",
            files=(name,) if name else (),
        )
    high = int(ds.get("HighBit", stored - 1))
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    values = np.frombuffer(element.value, f"{order}u{allocated // 8}")
    mask = ((1 << stored) - 1) << (high + 1 - stored)
    cleared = (values & mask).astype(values.dtype)  # the operation gives the machine's byte order
    return DataElement(element.tag, element.VR, cleared.tobytes())
