"""The list of an index's segments: what is written there counts, and nothing else."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from kmed.data.atomic import replacing
from kmed.index.errors import VectorIndexError
from kmed.index.segments import Segment, paths, to_disk

NAME = "index.json"
_FORMAT = 1  # raise it when the files change their meaning


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an index is and which segments it has, in order.

    Attributes:
        dimension: length of a vector.
        kind: "exact", "hnsw" or "ivf_pq".
        options: of the kind.
        facts: whatever the maker wanted to be known, such as bundle and tower; JSON values.
        generation: raised when vectors change their positions.
        serial: number of the next segment; never used twice.
        segments: records as `kmed.index.segments.write_segment` gives them.
    """

    dimension: int
    kind: str
    options: dict
    facts: dict
    generation: int = 0
    serial: int = 0
    segments: tuple[dict, ...] = field(default=())

    @property
    def count(self) -> int:
        """Vectors in all segments."""
        return sum(entry["count"] for entry in self.segments)

    def save(self, folder: Path) -> None:
        """Write the manifest: from here on its segments count, even if the power is cut."""
        _sync_folder(folder)  # the segments' names, before anything mentions them
        text = json.dumps({"format": _FORMAT, **asdict(self)}, indent=1, allow_nan=False)
        with replacing(folder / NAME) as unfinished, open(unfinished, "wb") as file:
            file.write(text.encode())
            to_disk(file)
        _sync_folder(folder)

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read the manifest of a folder.

        Raises:
            VectorIndexError: if there is none or it can't be understood.
        """
        path = folder / NAME
        try:
            values = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise VectorIndexError(
                f"an index is a folder with {NAME}; received {folder}, which has none: "
                "`VectorIndex.create` makes one"
            ) from None
        except ValueError:
            values = None
        try:
            version = values.pop("format")
            if version != _FORMAT:
                raise VectorIndexError(
                    f"{path} has format {version}, and this kmed reads format {_FORMAT}: use the "
                    "kmed that wrote it, or make the index anew"
                )
            manifest = replace(cls(**values), segments=tuple(values["segments"]))
            _ = manifest.count
        except (TypeError, KeyError, AttributeError):
            raise VectorIndexError(
                f"{path} can't be understood, it is damaged: restore it from a copy, or make the "
                "index anew from the images; nothing was changed"
            ) from None
        return manifest

    def open_segments(self, folder: Path, opened: tuple[Segment, ...] = ()) -> tuple[Segment, ...]:
        """Map all segments' files, or take those of them that are open already.

        Raises:
            FileNotFoundError: if a file is gone.
            VectorIndexError: if a file is damaged.
        """
        known = {segment.name: segment for segment in opened}
        return tuple(
            known.get(entry["name"]) or Segment(folder, entry, self.dimension)
            for entry in self.segments
        )

    def sweep(self, folder: Path) -> None:
        """Delete what killed writers left behind and what newer segments took the place of.

        Only for the holder of the lock: another's unfinished files look the same.
        """
        valid = {path for entry in self.segments for path in paths(folder, entry["name"])}
        for path in folder.iterdir():
            part_of_segment = path.name.startswith("segment-") and path not in valid
            if part_of_segment or (path.name.startswith(".") and ".part." in path.name):
                path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
