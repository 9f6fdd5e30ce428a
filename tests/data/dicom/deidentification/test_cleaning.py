"""The walk: every attribute of the profile's table, planted at the root and in a sequence."""

import csv
import datetime
import io
import warnings
from importlib.resources import files

import pytest
from pydicom import dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from kmed.data.dicom.deidentification.burned_in import BurnedInText
from kmed.data.dicom.deidentification.cleaning import Deidentifier
from kmed.data.dicom.deidentification.confidentiality import Options, type_of
from kmed.data.dicom.deidentification.pseudonyms import Key
from kmed.data.dicom.errors import Damaged

KEY = Key(bytes(range(32)))
NESTED = 0x52009230  # Per-frame Functional Groups: a sequence that the table leaves alone
TEXT = (
    files("kmed.data.dicom.deidentification")
    .joinpath("confidentiality_profile.csv")
    .read_text("utf-8")
)
TABLE = {row["tag"]: row for row in csv.DictReader(TEXT.splitlines())}
REPEATED = {"50XXXXXX": (0x50000010, "US"), "60XX3000": (0x60003000, "OB")} | {
    "60XX4000": (0x60024000, "LT")
}
# Not in a data set: commands and the file meta information.
WALKED = {digits: row for digits, row in TABLE.items() if digits[:4] not in ("0000", "0002")}


def tag_of(digits):
    return REPEATED[digits][0] if digits in REPEATED else int(digits, 16)


def vr_of(digits):
    if digits in REPEATED:
        return REPEATED[digits][1]
    tag = int(digits, 16)
    return dictionary_VR(tag).split(" or ")[0] if dictionary_has_tag(tag) else "LO"


def planted(vr, number):
    """A value of the VR that occurs nowhere else, and its bytes to search for."""
    word = f"PLANT{number:04d}Q"
    day = (datetime.date(1800, 1, 1) + datetime.timedelta(days=number)).strftime("%Y%m%d")
    if vr == "SQ":
        item = Dataset()
        item.PatientName = item.PatientComments = word
        item.ReferencedSOPInstanceUID = f"1.2.826.99.{number}.5"
        return [item], word.encode()
    if vr in ("OB", "OW", "UN"):
        return word.encode() + b"\0" * (len(word) % 2), word.encode()
    known = {
        "UI": f"1.2.826.99.{number}.7",
        "DA": day,
        "DT": f"{day}101112.{number:06d}",
        "TM": f"101112.7{number:05d}",
        "AS": "047Y",
        "DS": f"9.8{number:04d}7",
        "IS": f"98{number:04d}7",
        "US": 60000 + number,
        "FD": float(number) + 1e200 / 3,
        "UR": f"http://{word}",
    }
    value = known.get(vr, word)
    return value, value.encode() if isinstance(value, str) and vr != "AS" else None


def filled(numbers_from):
    ds, traces = Dataset(), {}
    for number, digits in enumerate(WALKED, start=numbers_from):
        vr = vr_of(digits)
        value, trace = planted(vr, number)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds.add(DataElement(tag_of(digits), vr, value))
        traces[digits] = trace
    return ds, traces


@pytest.fixture(scope="module")
def original():
    ds, traces = filled(0)
    ds.add(DataElement(NESTED, "SQ", [filled(1000)[0]]))
    ds.SOPClassUID, ds.Modality = CTImageStorage, "CT"
    ds.BurnedInAnnotation = "NO"
    block = ds.private_block(0x0029, "MAKER PLANTED", create=True)
    block.add_new(0x10, "LO", "PLANT9990Q")
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.SourceApplicationEntityTitle = "PLANT9991Q"
    ds.file_meta.MediaStorageSOPInstanceUID = str(ds.SOPInstanceUID)
    return ds, traces, filled(1000)[1]


def written(ds):
    file = io.BytesIO()
    ds.save_as(file, enforce_file_format=True)
    return file.getvalue()


def outcome(before, after, tag):
    """What became of an attribute: X, Z, K, U or D."""
    if tag not in after:
        return "X"
    old, new = before[tag], after[tag]
    if new.is_empty:
        return "Z"
    if new.VR == "UI":
        return "K" if new.value == old.value else "U"
    if new.VR != "SQ":
        return "K" if new.value == old.value else "D"
    words = {element.value for item in new.value for element in item.iterall()}
    uid = old.value[0].ReferencedSOPInstanceUID
    if "REMOVED" in words:
        return "D"
    return "K" if uid in words else "U"


# Options, and the columns of the table that they follow.
ASKED = {
    "basic": (Options(), ()),
    "uids": (Options(retain_uids=True), ("retain_uids",)),
    "device": (Options(retain_device=True), ("retain_device",)),
    "institution": (Options(retain_institution=True), ("retain_institution",)),
    "patient": (Options(retain_patient=True), ("retain_patient",)),
    "full": (Options(dates="keep"), ("full_dates",)),
    "shift": (Options(dates="shift"), ("modified_dates",)),
}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("place", ["root", "sequence"])
def test_walk(original, asked, place):
    options, columns = ASKED[asked]
    before, *traces = original
    clean = Deidentifier(KEY, options).dataset(before)
    bytes_ = written(clean)
    traces = traces[place == "sequence"]
    after = clean if place == "root" else clean[NESTED].value[0]
    before = before if place == "root" else before[NESTED].value[0]
    days = KEY.days("id " + str(original[0].PatientID))
    for digits, row in WALKED.items():
        tag, said = tag_of(digits), f"{digits} {row['name']} {row['basic']}"
        if place == "root" and digits in ("00100010", "00100020"):
            assert after[tag].value == KEY.patient("id " + str(before.PatientID)), said
            continue
        if digits == "00080016" or tag in (0x00120063, 0x00120064):
            continue  # written anew, checked below
        found = outcome(before, after, tag)
        kept = any(row[column] == "K" for column in columns)
        if kept and digits not in REPEATED:
            # Sequences are kept and cleaned: of UIDs, unless these are what is kept.
            cleaned = vr_of(digits) == "SQ" and asked != "uids"
            assert found == ("U" if cleaned else "K"), said
            if vr_of(digits) != "SQ":
                continue
        elif asked == "shift" and row["modified_dates"] == "C" and vr_of(digits) != "OB":
            if vr_of(digits) == "TM":
                assert found == "K", said
                continue
            if vr_of(digits) in ("DA", "DT"):
                old, new = (
                    datetime.datetime.strptime(str(ds[tag].value)[:8], "%Y%m%d")
                    for ds in (before, after)
                )
                assert (new - old).days == days, said
                assert str(before[tag].value)[8:] == str(after[tag].value)[8:], said
        else:
            wanted = set(row["basic"].replace("*", "").split("/"))
            if found == "U" and vr_of(digits) in ("SQ", "UI") and "D" in wanted:
                found = "D"  # a new UID, or an item that has nothing but new UIDs
            if found not in wanted:
                # More than the row says only where PS3.3 wants the attribute there.
                type_ = type_of(CTImageStorage, tag, nested=place == "sequence")
                assert (found, type_) in {("Z", "2"), ("Z", "2C"), ("D", "1"), ("D", "1C")}, said
        if traces[digits] is not None:
            assert traces[digits] not in bytes_, said


def test_beyond_the_table(original):
    clean = Deidentifier(KEY).dataset(original[0])
    bytes_ = written(clean)
    assert b"PLANT999" not in bytes_ and b"MAKER" not in bytes_
    assert bytes_[:128] == bytes(128)
    again = dcmread(io.BytesIO(bytes_))
    assert again.file_meta.MediaStorageSOPInstanceUID == again.SOPInstanceUID
    assert not any(element.tag.is_private for element in again.iterall())
    assert not any(tag.group >> 8 in (0x50, 0x60) for tag in again.keys())


def test_what_was_done_is_said(original):
    clean = Deidentifier(KEY, Options(dates="shift", retain_patient=True)).dataset(original[0])
    assert clean.PatientIdentityRemoved == "YES"
    assert clean.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in clean.DeidentificationMethodCodeSequence]
    assert sorted(codes) == ["113100", "113107", "113108"]


def ct(**attributes):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = CTImageStorage, "1.2.3.4", "1.2.3"
    ds.PatientID, ds.PatientName = "4711", "Roe^Jane"
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def test_references_stay_consistent():
    first = Deidentifier(KEY).dataset(ct())
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, "1.2.3.4"
    second = Deidentifier(Key(bytes(range(32)))).dataset(
        ct(SOPInstanceUID="1.2.3.5", SourceImageSequence=[item])
    )
    assert second.SourceImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert second.SourceImageSequence[0].ReferencedSOPClassUID == CTImageStorage
    assert second.PatientID == first.PatientID and second.StudyInstanceUID == first.StudyInstanceUID
    other = Deidentifier(Key(b"\1" * 32)).dataset(ct())
    assert other.PatientID != first.PatientID and other.SOPInstanceUID != first.SOPInstanceUID


def test_days_between_studies_stay():
    shift = Deidentifier(KEY, Options(dates="shift"))
    one, two = (shift.dataset(ct(StudyDate=date)) for date in ("20200227", "20200301"))
    gap = datetime.date.fromisoformat(two.StudyDate) - datetime.date.fromisoformat(one.StudyDate)
    assert gap.days == 3
    elsewhere = shift.dataset(ct(StudyDate="20200227", PatientID="4712"))
    assert elsewhere.StudyDate != one.StudyDate != "20200227"


def test_a_date_that_is_none_does_not_stay():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = ct(StudyDate="Roe 1970", AcquisitionDate="1 May")
    clean = Deidentifier(KEY, Options(dates="shift")).dataset(ds)
    assert not clean.StudyDate and "AcquisitionDate" not in clean


def test_words_of_a_vocabulary_stay():
    options = Options(vocabulary={"Axial", "T2", "knee"})
    clean = Deidentifier(KEY, options).dataset(
        ct(SeriesDescription="T2 AXIAL knee Roe 1970-05-01", StudyDescription="Roe, Jane")
    )
    assert clean.SeriesDescription == "T2 AXIAL knee" and "StudyDescription" not in clean
    assert "SeriesDescription" not in Deidentifier(KEY).dataset(ct(SeriesDescription="knee"))


def test_safe_private_attributes_stay_when_asked():
    ds = ct()
    block = ds.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", "1000")
    block.add_new(0x08, "CS", "ROE")
    ds.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"ROE ")
    clean = Deidentifier(KEY, Options(retain_safe_private=True)).dataset(ds)
    private = [element for element in clean if element.tag.is_private]
    assert [str(element.value) for element in private] == ["SIEMENS MR HEADER", "1000"]
    assert not any(element.tag.is_private for element in Deidentifier(KEY).dataset(ds))


def test_refused_and_damaged_name_no_patient():
    with pytest.raises(BurnedInText) as refused:
        Deidentifier(KEY).dataset(ct(Modality="US", Rows=8), name="scan.dcm")
    assert "Roe" not in str(refused.value) and "4711" not in str(refused.value)
    ds = ct(PixelSpacing=[1.25, 1.25])
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = written(ds).replace(b"1.25\\1.25 ", b"JaneRoe\\12")
    with pytest.raises(Damaged, match=r"\(0028,0030\) can't be parsed") as refused:
        Deidentifier(KEY).dataset(dcmread(io.BytesIO(buffer)))
    assert "JaneRoe" not in str(refused.value)


def test_everything_that_dicognito_changes_is_changed():
    """Another project's list of what identifies: MIT, https://pypi.org/project/dicognito."""
    dicognito = pytest.importorskip("dicognito.anonymizer")
    planted, _ = filled(0)
    del planted[0x00041511]
    planted.SOPClassUID, planted.Modality = CTImageStorage, "CT"
    planted.file_meta = FileMetaDataset()
    planted.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before, theirs = (dcmread(io.BytesIO(written(planted))) for _ in range(2))
        dicognito.Anonymizer(id_prefix="x", seed="1").anonymize(theirs)
        ours = Deidentifier(KEY).dataset(before)
        changed = [
            element
            for element in before
            if not element.is_empty
            and (element.tag not in theirs or theirs[element.tag] != element)
        ]
        assert len(changed) > 100
        for element in changed:
            assert element.tag not in ours or ours[element.tag] != element, element.tag
