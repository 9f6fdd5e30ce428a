"""Folders of DICOM files without what identifies patients."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.uid import UID

from kmed.data.atomic import replacing, write_bytes
from kmed.data.dicom.deidentification.burned_in import BurnedInText, NotCleanable, require_cleanable
from kmed.data.dicom.deidentification.cleaning import Deidentifier
from kmed.data.dicom.deidentification.confidentiality import EDITION, Options
from kmed.data.dicom.deidentification.pseudonyms import Key, read_key
from kmed.data.dicom.errors import Damaged, DicomError
from kmed.data.dicom.files import Source, dicom_files
from kmed.data.dicom.header import read_dataset
from kmed.data.dicom.hushed import hushed
from kmed.data.sample import DataError

__all__ = [
    "BurnedInText",
    "Deidentifier",
    "Key",
    "NotCleanable",
    "Options",
    "Refused",
    "Report",
    "deidentify",
    "read_key",
]
SETTINGS_FILE = "deidentification.json"


@dataclass(frozen=True)
class Refused:
    """A file that was not written, and why.

    Attributes:
        name: of the file as it was found: it may itself name a patient.
        error: its type says which rule, its message what to do.
    """

    name: str
    error: Exception


@dataclass(frozen=True)
class Report:
    """What became of each file.

    Attributes:
        written: files in the destination.
        kept: files that an earlier run had written.
        refused: files of the source that were left out.
    """

    written: tuple[Path, ...]
    kept: tuple[Path, ...]
    refused: tuple[Refused, ...]


def deidentify(
    source: str | os.PathLike | Iterable[str | os.PathLike],
    destination: str | os.PathLike,
    *,
    key_file: str | os.PathLike,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes de-identified copies of DICOM files.

    The copies lie in `destination/STUDY/SERIES/INSTANCE.dcm`, named by their new UIDs. Stopped,
    the same call goes on. A file that can't be read or must not be written is reported, the others
    are written.

    Reference: DICOM PS3.15, Annex E (Basic Application Level Confidentiality Profile).

    Args:
        source: a folder, a file, a zip archive, a DICOMDIR, or several of them.
        destination: folder to write to, outside the source.
        key_file: the secret that pseudonyms and shifts of dates come from; made if absent. It
            belongs with the originals: keep it to give later files of a patient the same
            pseudonym, and out of the destination.
        options: what is kept although the Basic Profile alone would remove it.
        progress: called with the number of files done and of all.

    Returns:
        What became of each file.

    Raises:
        DataError: a key that others may read, or inside the destination; a destination within
            the source, or with files written with other options or another key.
    """
    options = options or Options()
    destination, key_file = Path(destination), Path(key_file)
    sources = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    _require_apart(sources, destination, key_file)
    found = dicom_files(sources[0] if len(sources) == 1 else sources)
    key = read_key(key_file)
    _settle(destination, options, key)
    cleaner = Deidentifier(key, options)
    # What the list of files leaves out because it is no DICOM at all is not reported twice.
    refused = [Refused(out.name, DicomError(f"{out.name}: {out.reason}")) for out in found.left_out]
    written, kept = [], []
    before: dict[Path, str] = {}
    for number, one in enumerate(found.files, start=1):
        try:
            with hushed():
                target = _target(cleaner, one, destination)
                if target in before:
                    raise DicomError(
                        f"{one.name}: has the SOP Instance UID of {before[target]}; leave one out",
                        files=(one.name, before[target]),
                    )
                before[target] = one.name
                if target.exists():
                    kept.append(target)
                else:
                    _write(cleaner, one, target)
                    written.append(target)
        except (DataError, OSError) as error:
            refused.append(Refused(one.name, error))
        if progress is not None:
            progress(number, len(found.files))
    return Report(tuple(written), tuple(kept), tuple(refused))


def _target(cleaner: Deidentifier, source: Source, destination: Path) -> Path:
    header = read_dataset(source)
    require_cleanable(header, allow_burned_in=cleaner.options.allow_burned_in, name=source.name)
    missing = [
        word
        for word in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        if not str(header.get(word) or "")
    ]
    if missing:
        raise Damaged(f"{source.name}: lacks {', '.join(missing)}", files=(source.name,))
    names = cleaner.instance_names(header)
    if not all(set(name) <= set("0123456789.") and name.strip(".") for name in names):
        raise Damaged(
            f"{source.name}: a UID with other characters than digits and dots; it can't name a "
            "file, retain_uids=False replaces it",
            files=(source.name,),
        )
    study, series, instance = names
    return destination / study / series / f"{instance}.dcm"


def _write(cleaner: Deidentifier, source: Source, target: Path) -> None:
    clean: Dataset = cleaner.dataset(read_dataset(source, pixels=True), name=source.name)
    syntax = UID(clean.file_meta.get("TransferSyntaxUID") or "")
    if syntax.is_private or syntax.type != "Transfer Syntax":
        raise NotCleanable(
            f"{source.name}: its transfer syntax, {str(syntax)[:64] or 'none'}, is not of those "
            "that can be written; convert it to another first",
            files=(source.name,),
        )
    try:
        with replacing(target) as unfinished:
            clean.save_as(unfinished, enforce_file_format=True)
    except OSError:
        raise
    except Exception as error:
        # pydicom's message would repeat the value that it can't write.
        raise Damaged(
            f"{source.name}: holds a value that can't be written ({type(error).__name__})",
            files=(source.name,),
        ) from None


def _require_apart(sources: list, destination: Path, key_file: Path) -> None:
    there = destination.resolve()
    if key_file.resolve().is_relative_to(there):
        raise DataError(
            f"{key_file}: the key undoes the pseudonyms and must not lie in {destination}; keep it "
            "with the originals"
        )
    for source in sources:
        if there.is_relative_to(Path(source).resolve()):
            raise DataError(
                f"{destination}: lies in {source}; the next run would take its own results; name a "
                "folder outside"
            )


def _settle(destination: Path, options: Options, key: Key) -> None:
    """Writes what a folder's files were made with, or compares it with what was written."""
    chosen = asdict(options)
    # Whether burned-in text is allowed decides which files there are, not what is in them.
    chosen.pop("allow_burned_in")
    chosen["vocabulary"] = sorted(options.vocabulary)
    settings = {"profile": EDITION, "options": chosen, "key_fingerprint": key.fingerprint}
    path = destination / SETTINGS_FILE
    if path.exists():
        try:
            there = json.loads(path.read_text("utf-8"))
        except ValueError:
            there = None
        if there != settings:
            raise DataError(
                f"{destination}: has files made with other options or another key; name a new "
                "folder, or repeat the options of its " + SETTINGS_FILE
            )
        return
    if destination.exists() and any(destination.iterdir()):
        raise DataError(f"{destination}: is not empty; name a new folder")
    write_bytes(path, (json.dumps(settings, indent=1) + "\n").encode())
