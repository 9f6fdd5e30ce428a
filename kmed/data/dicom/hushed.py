"""pydicom without its warnings, which repeat the values that they are about."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_users = 0
_before = ExitStack()


@contextmanager
def hushed() -> Iterator[None]:
    """Keeps what pydicom says of invalid values out of warnings and logs.

    Such a value may be a patient's name. What matters is raised as an error, by whoever reads.
    Filters of warnings belong to the process, so of several threads the first one sets them and
    the last one restores them.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> with hushed():
        ...     Dataset().StudyDate = "Jane Roe"
    """
    global _users
    with _lock:
        if not _users:
            _silence()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                _before.close()


def _silence() -> None:
    _before.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    logger = logging.getLogger("pydicom")
    _before.callback(setattr, logger, "disabled", logger.disabled)
    logger.disabled = True
