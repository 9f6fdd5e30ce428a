"""Files that appear whole or not at all, so that a killed run never leaves half a result behind."""

from __future__ import annotations

import os
from pathlib import Path


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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The temporary file lies in the same folder: a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
