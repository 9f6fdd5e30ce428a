"""Pseudonyms from a secret key: the same for the same, and not to be undone without the key."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import os
import re
import secrets
import stat
import uuid
from pathlib import Path

from kmed.data.sample import DataError

_BYTES = 32
_MOST_DAYS = 3650
_DATE = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)")
_DATETIME = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d*(?:\.\d+)?(?:[+-]\d{4})?)")


class Key:
    """A secret from which UIDs, patients and shifts of dates are derived.

    Reference: HMAC with SHA-256, RFC 2104.

    Args:
        secret: 32 bytes or more.

    Example:
        >>> key = Key(bytes(32))
        >>> key.uid("1.2.3") == key.uid("1.2.3"), key.uid("1.2.3")[:5]
        (True, '2.25.')
    """

    def __init__(self, secret: bytes):
        if len(secret) < _BYTES:
            raise ValueError(f"`secret` must have {_BYTES} bytes or more; received {len(secret)}")
        self._secret = bytes(secret)

    def __repr__(self) -> str:
        return f"Key({self.fingerprint})"  # never the secret

    @property
    def fingerprint(self) -> str:
        """What tells keys apart and gives nothing of them away."""
        return self._digest("fingerprint", "").hex()[:16]

    def uid(self, uid: str) -> str:
        """Gives the UID that stands for another.

        Reference: DICOM PS3.5, B.2 (UUID derived UID).
        """
        return f"2.25.{uuid.UUID(bytes=self._digest('uid', uid)[:16], version=4).int}"

    def patient(self, patient: str) -> str:
        """Gives the Patient ID that stands for another."""
        return "P" + base64.b32encode(self._digest("patient", patient)[:10]).decode()

    def days(self, patient: str) -> int:
        """Gives the days that are added to a patient's dates: -1 to -3650."""
        return -1 - int.from_bytes(self._digest("days", patient)[:8], "big") % _MOST_DAYS

    def _digest(self, purpose: str, text: str) -> bytes:
        return hmac.digest(self._secret, f"kmed\0{purpose}\0{text}".encode(), hashlib.sha256)


def read_key(path: str | os.PathLike, *, create: bool = True) -> Key:
    """Reads a key file, and makes one where there is none.

    Who has the file can link the pseudonyms with the patients; it belongs with the originals.

    Args:
        path: of 64 hexadecimal digits, readable by its owner alone.
        create: make the file if it is absent, with mode 0600.

    Returns:
        The key.

    Raises:
        DataError: absent and not to be made; not a key; readable by others.
    """
    path = Path(path)
    if create:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "w") as file:
                file.write(secrets.token_hex(_BYTES) + "\n")
    try:
        text = path.read_text("ascii").strip()
        mode = stat.S_IMODE(path.stat().st_mode)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no key file ({type(error).__name__})") from error
    if os.name == "posix" and mode & 0o077:
        raise DataError(
            f"{path}: a key must be readable by its owner alone, its mode is {mode:04o}; "
            f"chmod 600 {path}"
        )
    if not re.fullmatch(rf"[0-9a-fA-F]{{{2 * _BYTES},}}", text) or len(text) % 2:
        raise DataError(
            f"{path}: a key file has {2 * _BYTES} hexadecimal digits; name a new file to make one"
        )
    return Key(bytes.fromhex(text))


def shifted(value: str, days: int) -> str | None:
    """Moves a date (VR DA) or date and time (VR DT) by whole days.

    Args:
        value: as stored; a year alone or a month alone keeps its precision.
        days: to add.

    Returns:
        The date moved, or None for what is no date.

    Example:
        >>> shifted("20240301", -1), shifted("20240301120000.5+0100", -1), shifted("2024", -1)
        ('20240229', '20240229120000.5+0100', '2023')
        >>> shifted("SMITH", -1)
    """
    value = value.strip()
    match = _DATE.fullmatch(value) or _DATETIME.fullmatch(value)
    if match is None:
        return None
    year, month, day, *rest = match.groups()
    try:
        date = datetime.date(int(year), int(month or 1), int(day or 1))
        date += datetime.timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    digits = 4 + 2 * (month is not None) + 2 * (day is not None)
    return f"{date.year:04d}{date.month:02d}{date.day:02d}"[:digits] + "".join(rest)
