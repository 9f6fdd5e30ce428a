"""Finished towers at work: evaluation, embeddings of new images, further formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from kmed.data import DataError, Split, fingerprint
from kmed.data.cross_modal import cross_modal
from kmed.export import TextBundle, bundle_folder
from kmed.tasks.exporting import export_formats
from kmed.tasks.predictions import Predicted, samples_of
from kmed.tasks.progress import tenths
from kmed.tasks.publishing import PARTS
from kmed.tasks.records import write_csv
from kmed.tasks.retrieval.measuring import measure
from kmed.tasks.retrieval.publishing import write_measures
from kmed.tasks.retrieval.towers import load_tower, partner_folder, slices


def evaluate(
    bundle_path: str | Path,
    data: str | Path,
    *,
    output: str | Path | None = None,
    split_file: str | Path | None = None,
    part: str = "test",
    patient: str | None = None,
    gallery: int = 100,
    say: Callable[[str], None] = print,
) -> dict:
    """Search one modality among the other, both ways, with two towers of one training.

    Args:
        bundle_path: either tower, saved_models/NAME-MODALITY or a version of it; the other is
            found beside it.
        data: whatever `kmed.data.cross_modal` understands; a table with the training's columns.
        output: folder for report.html, metrics.json and queries.csv; by default
            ./evaluation-NAME.
        split_file: measure only on a part of this split; without it, on the part of this name that
            the data set itself declares, or on all items.
        part: train, validation or test.
        patient: regular expression whose first group is the patient in a file's name.
        gallery: beside the figures among all, those among so many.
        say: told what is being done.

    Returns:
        `{"ct to t2": {measure: Interval}}`.

    Raises:
        DataError: for data that kmed refuses.
        FileNotFoundError: if a tower is missing.
        ValueError: for an unknown part.
    """
    if part not in PARTS:
        raise ValueError(f"`part` must be train, validation or test; received {part!r}")
    one, other = load_tower(bundle_path), load_tower(partner_folder(bundle_path))
    towers = {tower.metadata["modality"]: tower for tower in (one, other)}
    found = cross_modal(
        data,
        modalities=_modalities(one),
        rank=max(tower.rank for tower in towers.values() if tower.size),
        every_mm=one.metadata["every_mm"],
        **one.metadata["source"] | ({"patient": patient} if patient else {}),
    )
    if split_file is not None:
        found = found.part(getattr(Split.load(split_file, found.samples), part))
    elif found.split is not None and getattr(found.split, part):
        found = found.part(getattr(found.split, part))
        say(f"the data set's own {part} part")
    measured = measure(
        towers,
        found,
        gallery=gallery,
        progress=lambda name: tenths(say, f"{name}: measured"),
    )
    report = write_measures(
        measured,
        Path(output or f"evaluation-{one.name}"),
        title=f"{one.name}: evaluation",
        facts={
            "patients": len({sample.patient for sample in found.samples}),
            "data fingerprint": fingerprint(found.samples)[:16],
        },
    )
    say(f"report: {report}")
    return measured.summary


def predict(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    output: str | Path = "findings",
    say: Callable[[str], None] = print,
) -> Predicted:
    """Embed files, folders of files, or DICOM series; what can't be read is left out and named.

    Args:
        bundle_path: a tower of images, saved_models/NAME-MODALITY or a version of it.
        inputs: files and folders.
        output: folder for embeddings.npy, float32 `(N, dimension)`, and embeddings.csv: the row,
            the image and the slice of each.
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: if the tower is of text.
    """
    bundle = load_tower(bundle_path)
    if isinstance(bundle, TextBundle):
        raise ValueError(
            f"{bundle.name} embeds sentences; to search by one: kmed index search "
            f'saved_models/{bundle.name} --text "..."'
        )
    rows, vectors, failed = [], [], []
    for sample in samples_of(inputs, failed):
        try:
            found = list(slices(bundle, sample))
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        for index, _, vector in found:
            rows.append(
                {"row": len(rows), "name": sample.id, "slice": "" if index is None else index}
            )
            vectors.append(vector)
        say(f"{sample.id}: {len(found)} embeddings")
    written = []
    if rows:
        folder = Path(output)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "embeddings.npy", np.stack(vectors).astype("float32"))
        write_csv(folder / "embeddings.csv", rows)
        written = [folder / "embeddings.npy", folder / "embeddings.csv"]
    return Predicted(written, failed)


def export(
    bundle_path: str | Path,
    formats: Sequence[str],
    *,
    data: str | Path | None = None,
    check: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Add formats to an image tower's folder, and measure what a smaller one loses.

    Args:
        bundle_path: saved_models/NAME-MODALITY/VERSION, or without version for the latest.
        formats: of tflite, float16, int8, onnx and openvino.
        data: images: int8 takes its ranges from one half, and on the other the cosine with the
            float32 embedding is measured.
        check: images on which every float32 format must equal Keras.
        say: told what is being done.

    Returns:
        The files.

    Raises:
        AgreementError: if a format fails the check.
        ValueError: for an unknown format, int8 without data, or a tower of text.
        ImportError: if a format's library is not installed, saying what to install.
    """
    if isinstance(load_tower(bundle_path), TextBundle):
        raise ValueError(
            f"{bundle_folder(bundle_path)}: a text tower has its SavedModel and model.tflite; "
            "other formats are for images"
        )

    def cosine(bundle, truth, found):
        return float(truth @ found["embedding"] / np.linalg.norm(found["embedding"]))

    def truths(bundle, sample):
        return [vector for *_, vector in slices(bundle, sample)]

    return export_formats(
        bundle_path,
        formats,
        samples=None if data is None else lambda bundle: list(samples_of([data], [])),
        truths=truths,
        score=cosine,
        what="cosine with Keras",
        check=None if check is None else lambda bundle: list(samples_of([check], [])),
        say=say,
    )


def _modalities(tower):
    """Give the modalities of a training in their order."""
    own, partner = tower.metadata["modality"], tower.metadata["partner"]
    return (own, partner) if tower.metadata["first"] else (partner, own)
