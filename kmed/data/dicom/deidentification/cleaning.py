"""One data set without what identifies the patient, by the table of the Basic Profile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID

from kmed.data.dicom.deidentification.burned_in import require_cleanable
from kmed.data.dicom.deidentification.codestream_comments import without_comments
from kmed.data.dicom.deidentification.confidentiality import (
    EDITION,
    Options,
    resolved,
    rule_of,
    safe_private,
    type_of,
)
from kmed.data.dicom.deidentification.dummies import dummy, values_of, well_formed
from kmed.data.dicom.deidentification.overlay_bits import without_overlay_bits
from kmed.data.dicom.deidentification.pseudonyms import Key, shifted
from kmed.data.dicom.errors import Damaged, DicomError
from kmed.data.dicom.hushed import hushed

_TEXTS = frozenset(("LO", "SH", "ST", "LT", "UT", "UC"))
_TIMES = frozenset(("DA", "DT", "TM"))
# UIDs of things that many patients share; those of the standard begin with its root.
_SHARED_UIDS = frozenset(
    (0x0008010C, 0x00080117, 0x00080118, 0x0008011A, 0x0040A110, 0x00081196, 0x00020012)
)
_STANDARD = "1.2.840.10008."
_PATIENT_NAME, _PATIENT_ID, _ENCRYPTED, _PIXELS = 0x00100010, 0x00100020, 0x04000500, 0x7FE00010


@dataclass(frozen=True)
class _Patient:
    """What is the same in all objects of one patient."""

    pseudonym: str
    days: int


class Deidentifier:
    """Applies the Basic Application Level Confidentiality Profile to data sets.

    With one key, equal UIDs and Patient IDs become equal ones in all data sets, of this run and of
    later ones; dates move by one number of days per patient.

    The profile's table says what is removed, emptied, replaced or kept. Beyond it go: private
    attributes, attributes that the dictionary does not know, overlays and curves as a whole, names
    of persons and dates outside the table, encrypted originals. Pixels stay, but for overlays in
    their unused bits.

    Reference: DICOM PS3.15, Annex E.

    Args:
        key: from `read_key`.
        options: what is kept although the Basic Profile alone would remove it.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> ds = Dataset()
        >>> ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
        >>> ds.PatientName, ds.PatientID, ds.InstitutionName = "Roe^Jane", "7", "City Hospital"
        >>> clean = Deidentifier(Key(bytes(32))).dataset(ds)
        >>> clean.PatientName == "Roe^Jane", "InstitutionName" in clean
        (False, False)
        >>> clean.PatientIdentityRemoved
        'YES'
    """

    def __init__(self, key: Key, options: Options | None = None):
        self.key = key
        self.options = options or Options()

    def dataset(self, ds: Dataset, *, name: str = "") -> Dataset:
        """Gives a new data set that does not identify the patient.

        Args:
            ds: read whole; it stays as it is.
            name: of its file, for the messages.

        Returns:
            The data set with its file meta information, ready to be written.

        Raises:
            NotCleanable, BurnedInText: as `require_cleanable`.
            Damaged: an element that can't be parsed.
        """
        require_cleanable(ds, allow_burned_in=self.options.allow_burned_in, name=name)
        who = str(ds.get("PatientID") or "").strip()
        # Without an ID nothing but the study is known to be one patient's.
        who = f"id {who}" if who else f"study {ds.get('StudyInstanceUID') or ''}"
        patient = _Patient(self.key.patient(who), self.key.days(who))
        with hushed():
            clean = _Pass(self.key, self.options, patient, str(ds.SOPClassUID), name).clean(ds)
        self._state(clean)
        clean.file_meta = self._meta(ds, clean)
        return clean

    def instance_names(self, ds: Dataset) -> tuple[str, str, str]:
        """Gives the UIDs of study, series and instance that `dataset` would give."""
        words = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        uids = [str(ds.get(word) or "") for word in words]
        return tuple(uids if self.options.retain_uids else map(self.key.uid, uids))

    def _state(self, clean: Dataset) -> None:
        """Says in the data set what was done to it (PS3.15, E.1.1)."""
        clean.PatientIdentityRemoved = "YES"
        clean.DeidentificationMethod = f"kmed: {EDITION}"
        clean.DeidentificationMethodCodeSequence = []
        for code, meaning in self.options.methods():
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
            clean.DeidentificationMethodCodeSequence.append(item)
        states = {"remove": "REMOVED", "shift": "MODIFIED", "keep": "UNMODIFIED"}
        clean.LongitudinalTemporalInformationModified = states[self.options.dates]

    def _meta(self, ds: Dataset, clean: Dataset) -> FileMetaDataset:
        """Makes the file meta information anew: the old one names applications and titles."""
        old, meta = getattr(ds, "file_meta", None), FileMetaDataset()
        meta.MediaStorageSOPClassUID = clean.SOPClassUID
        meta.MediaStorageSOPInstanceUID = clean.get("SOPInstanceUID", "")
        if old is not None and "TransferSyntaxUID" in old:
            meta.TransferSyntaxUID = old.TransferSyntaxUID
        meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
        meta.ImplementationVersionName = "KMED"
        return meta


@dataclass(frozen=True)
class _Pass:
    """The walk through one data set."""

    key: Key
    options: Options
    patient: _Patient
    sop_class: str
    name: str

    def clean(self, ds: Dataset, *, nested: bool = False, scrub: bool = False) -> Dataset:
        new = Dataset()
        for tag in sorted(ds.keys()):
            try:
                element = self._element(ds, tag, nested, scrub)
            except DicomError:
                raise
            except Exception as error:
                # pydicom parses values late and raises whatever the value leads to. Its message
                # would repeat the value.
                raise Damaged(
                    f"{self.name or 'the data set'}: element {tag} can't be parsed "
                    f"({type(error).__name__}); copy the file again, or leave it out",
                    files=(self.name,) if self.name else (),
                ) from None
            if element is not None:
                new.add(element)
        for element in self._private(ds) if self.options.retain_safe_private else ():
            new.add(element)
        return new

    def _element(self, ds: Dataset, tag: BaseTag, nested: bool, scrub: bool) -> DataElement | None:
        """Gives what becomes of one element, None for nothing."""
        if tag.is_private or tag.group in (0, 2) or tag.element == 0 or tag == _ENCRYPTED:
            return None
        # Of overlays and curves nothing is valid without their data, which goes.
        if tag.group >> 8 in (0x50, 0x60):
            return None
        rule = rule_of(tag)
        if rule is None and not dictionary_has_tag(tag):
            return None
        element = ds[tag]
        if element.VR == "UN" and rule is None:
            return None
        if not nested and tag == _PIXELS:
            return self._pixels(ds, element)
        if not nested and tag in (_PATIENT_NAME, _PATIENT_ID):
            return DataElement(tag, element.VR, self.patient.pseudonym)
        action = rule.action(self.options) if rule is not None else self._unlisted(element)
        if action == "shift":
            moved = self._shifted(element)
            if moved is not None:
                return moved
            action = "X/Z/D" if rule is None else rule.basic
        elif action == "words":
            worded = self._worded(element)
            if worded is not None:
                return worded
            action = rule.basic
        type_ = type_of(self.sop_class, int(tag), nested=nested)
        whole = action == "X" and element.VR == "SQ"  # no dummy of it would say anything
        action = "X" if whole and type_ not in ("2", "2C") else resolved(action, type_)
        if action == "K" and element.VR == "UN":
            return None
        if action == "K" and not well_formed(element):
            # Whatever it is, it may be a name.
            if element.VR in ("DS", "IS"):
                raise ValueError("no number")
            action = resolved("X/Z/D", type_)
        if scrub and action == "K" and element.VR != "SQ":
            action = "D"
        return self._acted(element, action, scrub)

    def _acted(self, element: DataElement, action: str, scrub: bool) -> DataElement | None:
        if action == "X":
            return None
        if element.VR == "SQ" and action in ("K", "U", "D", "C"):
            items = list(element.value)[:1] if action == "D" else element.value
            scrub = scrub or action == "D"
            items = [self.clean(item, nested=True, scrub=scrub) for item in items]
            return DataElement(element.tag, "SQ", Sequence(items))
        if action == "K":
            return element
        if action == "Z" or element.is_empty:
            return DataElement(element.tag, element.VR, [] if element.VR == "SQ" else None)
        if element.VR == "UI" or action == "U":
            return self._mapped(element)
        value = dummy(element.VR)
        # As many values as there were: some attributes need two or more.
        many = element.VM > 1 and element.VR not in _TEXTS
        return DataElement(element.tag, element.VR, [value] * element.VM if many else value)

    def _pixels(self, ds: Dataset, element: DataElement) -> DataElement:
        value = element.value
        if not isinstance(value, bytes) or not value.startswith(b"\xfe\xff\x00\xe0"):
            return without_overlay_bits(ds, element, self.name)
        without_overlay_bits(ds, element, self.name)  # refuses what it can't clear
        clean = without_comments(value)
        if clean is value:
            return element
        new = DataElement(element.tag, element.VR, clean)
        new.is_undefined_length = True
        return new

    def _unlisted(self, element: DataElement) -> str:
        """Chooses the action for what the table does not name; the table's spirit, not its word."""
        if element.VR == "PN":
            return "Z"
        if element.VR in _TIMES:
            return {"remove": "X/Z/D", "shift": "shift", "keep": "K"}[self.options.dates]
        if element.VR == "UI" and int(element.tag) not in _SHARED_UIDS:
            return "K" if self.options.retain_uids else "U"
        return "K"

    def _mapped(self, element: DataElement) -> DataElement:
        value = element.value
        many = isinstance(value, MultiValue | list | tuple)
        new = [self._uid(str(uid)) for uid in (value if many else [value])]
        return DataElement(element.tag, "UI", new if many else new[0])

    def _uid(self, uid: str) -> str:
        # Those of the standard name no instance.
        return uid if not uid or uid.startswith(_STANDARD) else self.key.uid(uid)

    def _shifted(self, element: DataElement) -> DataElement | None:
        """Gives dates moved; None for what holds something else."""
        if element.VR == "TM":
            return element if well_formed(element) else None
        if element.VR not in ("DA", "DT"):
            return None
        values = list(values_of(element))
        moved = [shifted(value, self.patient.days) if value else "" for value in values]
        if any(value is None for value in moved):
            return None
        if not values:
            return element
        return DataElement(element.tag, element.VR, moved if len(moved) > 1 else moved[0])

    def _worded(self, element: DataElement) -> DataElement | None:
        """Gives a text of the words that may stay; None where nothing is left."""
        if element.VR not in _TEXTS:
            return None
        words = [w for v in values_of(element) for w in re.findall(r"[^\W_]+", v)]
        text = " ".join(word for word in words if word.casefold() in self.options.vocabulary)
        if not text or (element.VR == "SH" and len(text) > 16) or len(text) > 64:
            return None
        return DataElement(element.tag, element.VR, text)

    def _private(self, ds: Dataset) -> Iterator[DataElement]:
        """Gives the private elements that are known to be safe, each with its creator."""
        for tag in sorted(ds.keys()):
            if not tag.is_private or tag.element <= 0xFF:
                continue
            creator_tag = BaseTag((tag.group << 16) | (tag.element >> 8))
            creator = str(ds[creator_tag].value).strip() if creator_tag in ds else ""
            if (tag.group, creator, tag.element & 0xFF) not in safe_private():
                continue
            element = ds[tag]
            if element.VR in ("UN", "SQ"):
                continue
            yield DataElement(creator_tag, "LO", creator)
            yield element
