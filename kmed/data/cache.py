"""Decoded and prepared cases on disk, so that no epoch but the first opens a DICOM or a JPEG."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kmed.data.digest import pixel_digest
from kmed.data.sample import Sample

_FORMAT = 2  # raise it when the files below change their meaning
_FOREGROUND_VOXELS = 4096  # per class and case: enough to start a patch anywhere


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prepared sample on disk; arrays are memory-mapped when they are read.

    Attributes:
        folder: holds image.npy `(H, W, C)` or `(D, H, W, C)` float32; where the preparation gives
            a mask, mask.npy of its spatial shape and foreground.npy `(N, 1 + rank)`: class and
            index of some voxels per class; where it gives weights, weight.npy of the same shape.
        shape: spatial shape of the image.
        digest: SHA-256 of the source's pixels before any preparation.
        source_shape: spatial shape of the image before any preparation.
    """

    folder: str
    shape: tuple[int, ...]
    digest: str
    source_shape: tuple[int, ...] = ()

    def image(self) -> np.ndarray:
        """Open the prepared image."""
        return np.load(f"{self.folder}/image.npy", mmap_mode="r")

    def mask(self) -> np.ndarray | None:
        """Open the prepared mask, if there is one."""
        return self._optional("mask")

    def weight(self) -> np.ndarray | None:
        """Open the map of voxel weights, if there is one."""
        return self._optional("weight")

    def foreground(self) -> np.ndarray | None:
        """Open the table of foreground voxels, if there is a mask."""
        return self._optional("foreground")

    def _optional(self, name: str) -> np.ndarray | None:
        path = f"{self.folder}/{name}.npy"
        return np.load(path, mmap_mode="r") if os.path.exists(path) else None


class Cache:
    """Prepared cases in a folder, each written whole or not at all.

    A case's name is a hash of its files' names, sizes and times and of the preparation, so that a
    changed file or setting is prepared anew and no name of a patient is seen in the folder.

    Args:
        directory: where to keep the cases; made if it does not exist.
        prepare: from the source's image and mask and spacing to the network's: a function
            `(image, mask or None, spacing_mm) -> (image, mask or None, weight or None)`. It is
            called from several threads at once.
        description: what `prepare` does, as JSON values; part of the name of each case.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        prepare: Callable[..., tuple[np.ndarray, np.ndarray | None, np.ndarray | None]],
        description: dict,
    ):
        self.directory = Path(directory)
        self.prepare = prepare
        self.description = json.dumps([_FORMAT, description], sort_keys=True, default=str)

    def cases(
        self, samples: Iterable[Sample], *, progress: Callable[[int, int], None] | None = None
    ) -> list[Case]:
        """Prepare what is not there yet, several samples at a time, and open the rest.

        Args:
            samples: what to prepare.
            progress: called with the number done and the number of all.

        Returns:
            One case per sample, in order.

        Raises:
            DataError: for the first sample that can't be read, naming its file.
        """
        samples = list(samples)
        self.directory.mkdir(parents=True, exist_ok=True)
        cases = []
        pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1)
        try:
            for done, case in enumerate(pool.map(self._case, samples), start=1):
                cases.append(case)
                if progress:
                    progress(done, len(samples))
        finally:
            pool.shutdown(cancel_futures=True)
        return cases

    def _case(self, sample: Sample) -> Case:
        folder = self.directory / self._name(sample)
        if not folder.is_dir():
            self._write(sample, folder)
        facts = json.loads((folder / "case.json").read_text())
        return Case(
            folder=str(folder),
            shape=tuple(facts["shape"]),
            digest=facts["digest"],
            source_shape=tuple(facts["source_shape"]),
        )

    def _name(self, sample: Sample) -> str:
        name = hashlib.sha256(self.description.encode())
        for file in sample.files:
            status = os.stat(file)
            key = [os.path.abspath(file), status.st_size, status.st_mtime_ns, sample.id]
            name.update(json.dumps(key).encode())
        return name.hexdigest()[:32]

    def _write(self, sample: Sample, folder: Path) -> None:
        arrays = sample.read()
        digest = pixel_digest(arrays.image)
        image, mask, weight = self.prepare(arrays.image, arrays.mask, arrays.spacing_mm)
        unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=self.directory))
        try:
            np.save(unfinished / "image.npy", np.asarray(image, np.float32))
            if mask is not None:
                np.save(unfinished / "mask.npy", np.asarray(mask, np.uint8))
                np.save(unfinished / "foreground.npy", _foreground(mask))
            if weight is not None:
                np.save(unfinished / "weight.npy", np.asarray(weight, np.float32))
            case = Case(
                folder="",
                shape=image.shape[:-1],
                digest=digest,
                source_shape=arrays.image.shape[:-1],
            )
            (unfinished / "case.json").write_text(json.dumps(asdict(case)))
            try:
                os.rename(unfinished, folder)
            except OSError:
                if not folder.is_dir():  # else another process was faster with the same case
                    raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)


def _foreground(mask: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    rows = []
    for label in np.unique(mask):
        if label:
            flat = np.flatnonzero(mask == label)
            if len(flat) > _FOREGROUND_VOXELS:
                flat = np.sort(random.choice(flat, _FOREGROUND_VOXELS, replace=False))
            index = np.stack(np.unravel_index(flat, mask.shape), axis=1)
            rows.append(np.column_stack([np.full(len(index), label), index]))
    table = np.concatenate(rows) if rows else np.empty((0, 1 + mask.ndim))
    return table.astype(np.int32)
