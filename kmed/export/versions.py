"""Numbered folders of one artefact, written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def latest_version(folder: str | Path) -> int | None:
    """Largest version below an artefact's folder.

    Args:
        folder: root/NAME.

    Returns:
        The number, or None where there is none.
    """
    folders = version_folders(folder)
    return int(folders[0].name) if folders else None


def version_folders(folder: str | Path) -> list[Path]:
    """List the versions below an artefact's folder.

    Args:
        folder: root/NAME.

    Returns:
        root/NAME/VERSION, the newest first; none if there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name), reverse=True)


@contextmanager
def new_version(folder: str | Path, version: int | None = None) -> Iterator[tuple[Path, int]]:
    """Write a version into a temporary folder, which takes its number when all is written.

    A process killed on the way leaves a folder ".writing-...", which TensorFlow Serving (it looks
    for numbers) and `latest_version` pass over.

    Args:
        folder: root/NAME.
        version: a number that does not exist yet, at least 1; by default the next one.

    Yields:
        The temporary folder to write to, and the number that it will get.

    Raises:
        FileExistsError: if the version exists, also when another process took it meanwhile.
        ValueError: if the version is below 1.
    """
    folder = Path(folder)
    if version is None:
        version = (latest_version(folder) or 0) + 1
    if version < 1:
        raise ValueError(f"`version` must be at least 1; received {version}")
    final = folder / str(version)
    if final.exists():
        raise FileExistsError(f"{final} exists: versions are never overwritten, give another")
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    try:
        yield temporary, version
        temporary.chmod(0o755)  # mkdtemp's 0700 would keep a server of another user out
        try:
            os.rename(temporary, final)
        except OSError as error:
            if not final.exists():
                raise
            raise FileExistsError(
                f"{final} was written by another process meanwhile: save again"
            ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def bundle_folder(path: str | Path) -> Path:
    """Find a bundle's folder.

    Args:
        path: root/NAME/VERSION, or root/NAME for its latest version.

    Returns:
        root/NAME/VERSION.

    Raises:
        FileNotFoundError: if the folder is no bundle.
    """
    folder = Path(path)
    if not (folder / "bundle.json").is_file():
        latest = latest_version(folder)
        if latest is None or not (folder / str(latest) / "bundle.json").is_file():
            raise FileNotFoundError(
                f"{folder} is no bundle: it must hold bundle.json and model.keras, or numbered "
                "folders that do (as `Bundle.save` writes them)"
            )
        folder /= str(latest)
    return folder
