"""One writer at a time: a lock that ends with its process, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kmed.index.errors import IndexBusyError


@contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Hold the right to write to a folder for the length of the block.

    Reference:
        flock(2): the kernel gives the lock back when the process ends, so that a killed writer
        leaves a file behind and no lock.

    Args:
        folder: an existing folder; the file `lock` in it is made and stays.

    Raises:
        IndexBusyError: if another process, or another index of this one, holds it.

    Example:
        >>> import tempfile
        >>> with writing(tempfile.mkdtemp()):
        ...     print("the only one")
        the only one
    """
    path = Path(folder) / "lock"
    with open(path, "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise IndexBusyError(
                f"only one may write to an index at a time, and process {holder} is writing to "
                f"{folder}: wait until it has ended, then do this again"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
