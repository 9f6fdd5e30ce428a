"""pydicom without its warnings, which repeat the values that they are about."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hushed() -> Iterator[None]:
    """Keeps what pydicom says of invalid values out of warnings and logs.

    Such a value may be a patient's name. What matters is raised as an error, by whoever reads.

    Example:
        >>> from pydicom.dataset import Dataset
        >>> with hushed():
        ...     Dataset().StudyDate = "Jane Roe"
    """
    logger = logging.getLogger("pydicom")
    before = logger.disabled
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        logger.disabled = True
        try:
            yield
        finally:
            logger.disabled = before
