"""Which objects rules of attributes can't make anonymous: text in pixels, documents, raw data."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from kmed.data.dicom.errors import DicomError

_STORAGE = "1.2.840.10008.5.1.4.1.1."
# What people wrote or drew in free form, or data of which only the maker knows what they hold.
_DOCUMENTS = {
    "11": "a presentation state, with text and graphics that people drew",
    "66": "raw data of an unknown layout",
    "88": "a structured report, whose text people wrote",
    "104": "an encapsulated document",
}
_RAW = _STORAGE + "66"  # below it are registrations, segmentations and surfaces: these are fine
_SECONDARY_CAPTURE = _STORAGE + "7"
# Devices that draw names into their pictures, photographs with labels, screens.
_MODALITIES = frozenset(
    "US IVUS BDUS EC ES XC GM SM OT SC RF DOC DG TG HC LS BI ECG EPS HD AU OPT OP".split()
)
_LABELS = frozenset(("SCREEN SAVE", "SCREENSAVE", "SCREEN", "LABEL", "OVERVIEW", "DOSE_INFO"))


class BurnedInText(DicomError):
    """Pixels that show, or may show, text about the patient or a face."""


class NotCleanable(DicomError):
    """An object that can identify the patient by more than its attributes' table covers."""


def require_cleanable(ds: Dataset, *, allow_burned_in: bool = False, name: str = "") -> None:
    """Refuses what the profile's table can't make anonymous.

    An image without any of these signs may still show text: the header can only tell what its
    maker wrote into it.

    Reference: DICOM PS3.15, E.1.1, E.3.1 and E.3.2; PS3.3, C.7.6.1.1.2 (Image Type), C.8.6.1.

    Args:
        ds: the header; pixels aren't looked at.
        allow_burned_in: take images that may show text.
        name: of the file, for the messages.

    Raises:
        NotCleanable: documents, reports, presentation states, raw data, private SOP classes.
        BurnedInText: images that may show text.
    """
    uid = str(ds.get("SOPClassUID") or "")
    files, before = ((name,), f"{name}: ") if name else ((), "")
    kind = _document(uid)
    if kind is not None:
        raise NotCleanable(
            f"{before}{kind}, can't be cleaned by a table of attributes; leave it out",
            files=files,
        )
    sign = None if allow_burned_in else _sign(ds, uid)
    if sign is not None:
        raise BurnedInText(
            f"{before}{sign}: its pixels may show the patient's name or face, and are not changed; "
            "look at it, then leave it out or give allow_burned_in=True",
            files=files,
        )


def _document(uid: str) -> str | None:
    if not uid:
        return "an object without SOP class"
    if not uid.startswith("1.2.840.10008.") or UID(uid).name == uid:
        return "an object of a SOP class that the standard does not define"
    if not uid.startswith(_STORAGE):
        return f"a {UID(uid).name} object"
    first = uid.removeprefix(_STORAGE).partition(".")[0]
    if first in _DOCUMENTS and (first != "66" or uid == _RAW):
        return _DOCUMENTS[first]
    return None


def _sign(ds: Dataset, uid: str) -> str | None:
    """What says that pixels may show text, of the things that a header has."""
    burned = _word(ds.get("BurnedInAnnotation"))
    if burned == "YES":
        return "BurnedInAnnotation is YES"
    if _word(ds.get("RecognizableVisualFeatures")) == "YES":
        return "RecognizableVisualFeatures is YES"
    if not any(word in ds for word in ("Rows", "PixelData")):
        return None
    values = ds.get("ImageType") or ()
    kinds = {_word(value) for value in ([values] if isinstance(values, str) else values)}
    labels = sorted(kinds & _LABELS)
    if labels:
        return f"ImageType has {labels[0]}"
    if uid == _SECONDARY_CAPTURE or uid.startswith(_SECONDARY_CAPTURE + "."):
        return "a secondary capture"
    if burned == "NO":
        return None
    if "SECONDARY" in kinds:
        return "ImageType has SECONDARY and BurnedInAnnotation is not NO"
    modality = _word(ds.get("Modality"))
    if modality in _MODALITIES:
        return f"modality {modality} and BurnedInAnnotation is not NO"
    return None


def _word(value: object) -> str:
    return str(value or "").strip().upper()
