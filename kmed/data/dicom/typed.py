"""Errors of pydicom's conversions as errors of kmed's own types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kmed.data.dicom.errors import Damaged
from kmed.data.sample import DataError


@contextmanager
def typed_errors(name: str, what: str) -> Iterator[None]:
    """Turns what a damaged value raises when it is asked for into `Damaged`.

    pydicom converts values late, and what a wrong one raises depends on its VR; its words may
    repeat the value, which may be a patient's name, so they are not repeated.

    Args:
        name: of the file, for the message.
        what: can't be done, for instance "its pixels can't be read".

    Raises:
        Damaged: for any error but kmed's own and those of a wrong argument.

    Example:
        >>> with typed_errors("a.dcm", "its pixels can't be read"):
        ...     int("Jane Roe")
        Traceback (most recent call last):
            ...
        kmed.data.dicom.errors.Damaged: a.dcm: its pixels can't be read (ValueError: damaged)
    """
    try:
        yield
    except (DataError, MemoryError, OSError):
        raise
    except Exception as error:
        raise Damaged(f"{name}: {what} ({type(error).__name__}: damaged)", files=[name]) from error
