"""Files that appear whole or not at all, so that a killed run never leaves half a result behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path to write to, which becomes the file when the block has ended well.

    Args:
        path: the file; missing folders above it are made.

    Yields:
        A path in the same folder, with the same suffixes, which the block has to write.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "scan.nii.gz"
        >>> with replacing(file) as unfinished:
        ...     _ = unfinished.write_bytes(b"whole")
        >>> file.read_bytes(), unfinished.exists()
        (b'whole', False)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, as a rename is atomic only within one file system; with the same suffixes,
    # as writers choose their format by them; with a dot in front, so that nothing lists it.
    temporary = path.with_name(f".{os.getpid()}.part.{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> Path:
    """Writes a file through a temporary neighbour that replaces it in one step.

    Args:
        path: the file; missing folders above it are made.
        content: all of its bytes.

    Returns:
        The path.

    Example:
        >>> import tempfile
        >>> write_bytes(Path(tempfile.mkdtemp()) / "new" / "a.txt", b"whole").read_text()
        'whole'
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)
