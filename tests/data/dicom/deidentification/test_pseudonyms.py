"""Keys and what is derived from them."""

import hashlib
import hmac
import os
import stat

import pytest
from pydicom.uid import UID

from kmed.data.dicom.deidentification.pseudonyms import Key, read_key, shifted
from kmed.data.sample import DataError


def test_uids_are_valid_stable_and_of_the_key():
    one, other = Key(b"\1" * 32), Key(b"\2" * 32)
    uid = one.uid("1.2.840.1")
    assert UID(uid).is_valid and uid.startswith("2.25.") and len(uid) <= 64
    assert uid == Key(b"\1" * 32).uid("1.2.840.1")
    assert len({uid, other.uid("1.2.840.1"), one.uid("1.2.840.2"), one.patient("1.2.840.1")}) == 4


def test_a_uid_is_the_hmac_of_rfc_2104():
    digest = hmac.new(b"\1" * 32, b"kmed\0uid\x001.2.3", hashlib.sha256).digest()
    number = int(Key(b"\1" * 32).uid("1.2.3").removeprefix("2.25."))
    free = ~((0xF << 76) | (0x3 << 62))  # all bits but version and variant of the UUID
    assert number & free == int.from_bytes(digest[:16], "big") & free


def test_days_are_before_today_and_spread():
    days = {Key(b"\1" * 32).days(str(patient)) for patient in range(200)}
    assert len(days) > 180 and min(days) >= -3650 and max(days) <= -1


def test_a_key_file_is_made_once_and_for_its_owner(tmp_path):
    key = read_key(tmp_path / "new" / "key")
    assert stat.S_IMODE((tmp_path / "new" / "key").stat().st_mode) == 0o600
    assert read_key(tmp_path / "new" / "key").fingerprint == key.fingerprint
    text = (tmp_path / "new" / "key").read_text().strip()
    assert text not in repr(key) and text[:16] != key.fingerprint


def test_bad_keys_are_refused(tmp_path):
    with pytest.raises(DataError, match="no key file"):
        read_key(tmp_path / "absent", create=False)
    path = tmp_path / "key"
    path.write_text("secret words")
    os.chmod(path, 0o600)
    with pytest.raises(DataError, match="64 hexadecimal digits") as refused:
        read_key(path)
    assert "secret words" not in str(refused.value)
    path.write_text("ab" * 32)
    os.chmod(path, 0o644)
    with pytest.raises(DataError, match="chmod 600"):
        read_key(path)
    with pytest.raises(ValueError, match="32 bytes"):
        Key(b"short")


@pytest.mark.parametrize(
    "value, days, moved",
    [
        ("20240301", -1, "20240229"),
        ("2024.03.01", -366, "20230301"),
        ("202403", -31, "202401"),  # a month is its first day
        ("20240101235959.123456-0500", -1, "20231231235959.123456-0500"),
        ("20240230", -1, None),
        ("Smith", -1, None),
        ("00010101", -1, None),
    ],
)
def test_dates_move(value, days, moved):
    assert shifted(value, days) == moved
