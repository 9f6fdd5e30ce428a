"""An archive's images as an index, and what in it is nearest to a picture or a sentence."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from kmed.data import DataError, Sample
from kmed.export import Bundle, TextBundle, bundle_folder
from kmed.index import VectorIndex, VectorIndexError
from kmed.index.manifest import NAME as MANIFEST
from kmed.tasks.predictions import samples_of
from kmed.tasks.retrieval.towers import Tower, fitting, load_tower, partner_folder, slices

_AT_ONCE = 2000  # embeddings that are written together: what a kill can lose

Failed = list[tuple[str, str]]


def default_folder(bundle_path: str | Path) -> Path:
    """Say where the index of a tower's modality lies: beside the version that made it.

    Args:
        bundle_path: saved_models/NAME-MODALITY or a version of it.

    Returns:
        saved_models/NAME-MODALITY/index-VERSION.
    """
    folder = bundle_folder(bundle_path)
    return folder.with_name(f"index-{folder.name}")


def build(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    index: str | Path | None = None,
    kind: str = "exact",
    every_mm: float | None = None,
    say: Callable[[str], None] = print,
) -> Failed:
    """Embed an archive and write an index of it.

    Interrupted and called again, it goes on where it was stopped.

    Args:
        bundle_path: a tower, saved_models/NAME-MODALITY or a version of it.
        inputs: of images pictures, NIfTI, DICOM series and folders of them; of text .txt files
            with a sentence in each line.
        index: folder of the index; by default beside the tower's version.
        kind: exact, hnsw or ivf_pq.
        every_mm: distance of the slices taken from volumes; by default that of the training.
        say: told of each image.

    Returns:
        Pairs of an input that was left out and the reason.

    Raises:
        FileNotFoundError: if there is no bundle.
        VectorIndexError: if the folder has an index of another tower or kind.
    """
    bundle = load_tower(bundle_path)
    folder = Path(index or default_folder(bundle_path))
    if (folder / MANIFEST).exists():
        found = VectorIndex.open(folder)
        if found.kind != kind:
            raise VectorIndexError(
                f"{folder} has an index of the kind {found.kind}, not {kind}: delete the folder, "
                "or give another"
            )
    else:
        facts = {name: bundle.metadata[name] for name in ("modality", "training")}
        dimension = bundle.network.output_shape[-1]
        VectorIndex.create(folder, dimension, kind, facts | {"bundle": bundle.name}).close()
    return add(bundle_path, inputs, index=folder, every_mm=every_mm, say=say)


def add(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    index: str | Path | None = None,
    every_mm: float | None = None,
    say: Callable[[str], None] = print,
) -> Failed:
    """Embed images or sentences that an index does not have yet, and add them.

    A file that was changed since is another image. Killed at any moment, the index keeps what was
    written before.

    Args:
        bundle_path: the tower that the index was built with.
        inputs: as `build`.
        index: folder of the index; by default beside the tower's version.
        every_mm: as `build`.
        say: told of each image.

    Returns:
        Pairs of an input that was left out and the reason.

    Raises:
        FileNotFoundError: if there is no bundle.
        VectorIndexError: if there is no index, or one of another tower.
    """
    bundle = load_tower(bundle_path)
    folder = Path(index or default_folder(bundle_path))
    failed: Failed = []
    with VectorIndex.open(folder) as opened:
        _check(opened, bundle)
        if opened.facts["modality"] != bundle.metadata["modality"]:
            raise VectorIndexError(
                f"{folder} holds {opened.facts['modality']}; {bundle.name} embeds "
                f"{bundle.metadata['modality']}"
            )
        if isinstance(bundle, TextBundle):
            entries = _sentences(bundle, inputs, opened, failed)
        else:
            every_mm = every_mm or bundle.metadata["every_mm"]
            entries = _images(bundle, inputs, opened, every_mm, failed, say)
        while part := list(islice(entries, _AT_ONCE)):
            ids, vectors, rows = zip(*part, strict=True)
            opened.add(ids, np.stack(vectors), rows, existing="skip")
        say(f"{len(opened)} embeddings in {folder}")
    return failed


def search(
    bundle_path: str | Path,
    query: str | Path | None = None,
    *,
    text: str | None = None,
    index: str | Path | None = None,
    slice: int | None = None,
    k: int = 10,
) -> list[dict]:
    """Find what in an index is nearest to an image or to a sentence.

    Args:
        bundle_path: the tower of the query's modality.
        query: an image; of a volume one slice.
        text: a sentence instead.
        index: folder of the index; by default that of the other modality, else of the query's own.
        slice: of a volume, from 0; by default its middle.
        k: number of answers.

    Returns:
        Rows of rank, score (cosine) and what the index says of each: file, slice and position_mm,
        or text.

    Raises:
        DataError: if the query cannot be read.
        FileNotFoundError: if there is no bundle.
        ValueError: if the query is not of the tower's kind; VectorIndexError if there is no index
            or it is of another training.
    """
    bundle = load_tower(bundle_path)
    if (text is None) == (query is None):
        raise ValueError("a search takes an image or a text (--text), one of them")
    if (text is not None) != isinstance(bundle, TextBundle):
        kind = "sentences" if isinstance(bundle, TextBundle) else "images"
        raise ValueError(f"{bundle.name} embeds {kind}: give it such, or take the other tower")
    opened = VectorIndex.open(index or _index_beside(bundle_path))
    _check(opened, bundle)
    vector = bundle.answer(text)["embedding"] if query is None else _asked(bundle, query, slice)
    found = opened.search(vector, k)
    return [
        {"rank": rank, "score": float(score)} | row
        for rank, (score, row) in enumerate(
            zip(found.scores[0], found.rows[0], strict=True), start=1
        )
    ]


def _index_beside(bundle_path: str | Path) -> Path:
    """Find the partner's index, or else the tower's own."""
    own = default_folder(bundle_path)
    try:
        other = default_folder(partner_folder(bundle_path))
    except FileNotFoundError:
        return own
    return other if other.is_dir() else own


def _check(opened: VectorIndex, bundle: Tower) -> None:
    if opened.facts.get("training") != bundle.metadata["training"]:
        raise VectorIndexError(
            f"{opened.folder} was built with a tower of another training (bundle "
            f"{opened.facts.get('bundle')}); embeddings of {bundle.name} cannot be compared with "
            "it: build the index anew"
        )


def _asked(bundle: Bundle, query: str | Path, slice_: int | None) -> np.ndarray:
    """Embed a query: an image, or one slice of a volume."""
    failed: Failed = []
    samples = list(samples_of([query], failed))
    if failed or len(samples) != 1:
        raise DataError(failed[0][1] if failed else f"{query}: has {len(samples)} images, not one")
    image = fitting(bundle, samples[0]).image
    if image.ndim - 1 > bundle.rank:
        place = len(image) // 2 if slice_ is None else slice_
        if not 0 <= place < len(image):
            raise ValueError(f"--slice must be from 0 to {len(image) - 1}; received {place}")
        image = image[place]
    elif slice_ is not None:
        raise ValueError(f"{query} is no volume of slices; --slice is not for it")
    return bundle.answer(image)["embedding"]


def _images(bundle, inputs, opened, every_mm, failed, say) -> Iterator[tuple]:
    """Give id, embedding and facts of each image or slice that the index does not have."""
    for sample in samples_of(inputs, failed):
        name, new = _name(sample, every_mm), 0
        # A volume's slices are written in their order: with the last, all are there.
        if f"{name}/last" in opened:
            say(f"{sample.id}: is there")
            continue
        try:
            held = None
            for index, position, vector in slices(bundle, sample, every_mm):
                if held is not None:
                    yield held
                row = {"file": sample.files[0], "slice": index, "position_mm": position}
                held, new = (f"{name}/{index}", vector, row), new + 1
            yield (f"{name}/last", *held[1:])
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        say(f"{sample.id}: {new} embeddings")


def _sentences(bundle, inputs, opened, failed) -> Iterator[tuple]:
    """Give id, embedding and text of each sentence that the index does not have."""
    for path in inputs:
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            failed.append((str(path), f"{path}: cannot be read as text ({error})"))
            continue
        for text in dict.fromkeys(line.strip() for line in lines):
            name = hashlib.sha256(text.encode()).hexdigest()[:32]
            if text and name not in opened:
                yield name, bundle.answer(text)["embedding"], {"text": text, "file": str(path)}


def _name(sample: Sample, every_mm: float | None) -> str:
    """Name an image by its files, their sizes and times: no name of a patient."""
    name = hashlib.sha256(repr(every_mm).encode())
    for file in sample.files:
        status = Path(file).stat()
        name.update(f"{Path(file).absolute()}|{status.st_size}|{status.st_mtime_ns}".encode())
    return name.hexdigest()[:32]
