"""The retrievals behind the README's table of results, with what each is compared with.

    KMED_TEST_DATA=FOLDER python tests/benchmarks/retrieval.py NAME [SEED]

NAME is phantoms (CT and T2 of 200 synthetic patients), brain-triplet or brain-contrastive (T1 and
T2 of `ms_lesion_mni` and `brain_mr_multicontrast`) or medpix (images and captions of MedPix 2.0).
FOLDER/data holds these sets. The result is in runs/NAME.

Brain: trained on two patients, the best epoch chosen on a third, measured on two others. Slices of
both modalities lie on one grid, which mutual information is made for; "moved" turns, shifts and
scales the T1 volumes as if the patients had been taken twice. Every slice is searched among all
slices of both patients; a hit within 5 mm in the right patient is right.

MedPix: trained on its training part, of which 65 patients are set apart to choose the best epoch;
each image has its caption, and in training a second sentence of its modality, plane and place. The
development part is measured once, with captions alone; several of its rows have one caption.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import scipy.ndimage

from kmed.applications import embedding
from kmed.data import phantoms
from kmed.data.cross_modal import cross_modal
from kmed.data.nifti import read_nifti, write_nifti
from kmed.export import Bundle
from kmed.metrics.retrieval_report import retrieval_report
from kmed.tasks import retrieval
from kmed.tasks.retrieval.measuring import Measured
from kmed.tasks.retrieval.towers import load_tower, partner_folder

PHANTOMS = retrieval.Settings(
    name="phantoms",
    modalities=("ct", "t2"),
    loss="infonce",
    near_mm=0.0,
    size=(96, 96),
    network={"backbone_options": {"width": 16}},
    batch_size=64,
    learning_rate=2e-3,
    epochs=50,
    validation=0.05,
    test=0.25,
    flip="none",
    augment=0.3,
)
BRAIN = retrieval.Settings(
    name="brain-triplet",
    modalities=("t1", "t2"),
    loss="triplet_semihard",
    loss_options={"margin": 0.2, "distance_metric": "squared-L2"},
    near_mm=5.0,
    tolerance_mm=5.0,
    size=(96, 96),
    network={"backbone_options": {"width": 16}},
    batch_size=32,
    share=True,
    epochs=100,
    flip="none",
)
MEDPIX = retrieval.Settings(
    name="medpix",
    modalities=("image", "text"),
    loss="infonce",
    size=(64, 64),
    fit="letterbox",
    network={"backbone_options": {"width": 16}, "dropout": 0.5},
    text={"encoder": "bag", "dropout": 0.5},
    words=64,
    vocabulary=3000,
    word_dropout=0.4,
    batch_size=64,
    epochs=120,
    weight_decay=0.05,
    flip="none",
)
_TURNED = {"26": (12.0, 0.05, -0.04, 1.06), "study3": (-9.0, -0.04, 0.06, 0.94)}


def brain_data(data: Path, root: Path) -> Path:
    """Put the five patients' T1 and T2 into one folder, and write who is in which part."""
    root.mkdir(parents=True, exist_ok=True)
    for patient in ("07", "19", "26"):
        for modality in ("t1", "t2"):
            source = data / "ms_lesion_mni" / f"patient{patient}_{modality}.nii.gz"
            if not (link := root / f"{patient}_{modality}.nii.gz").exists():
                link.symlink_to(source)
    for patient in ("study1", "study3"):
        with np.load(data / "brain_mr_multicontrast" / f"{patient}.npz") as arrays:
            affine = np.zeros((4, 4))  # array axes (d, h, w) to LPS: superior, posterior, left
            affine[[2, 1, 0], [0, 1, 2]] = arrays["spacing_zyx"]
            affine[3, 3] = 1
            for modality, name in (("t1", "t1pre"), ("t2", "t2")):
                write_nifti(root / f"{patient}_{modality}.nii.gz", arrays[name], affine)
    parts = {"train": ("07", "study1"), "validation": ("19",), "test": ("26", "study3")}
    samples = cross_modal(root, modalities=("t1", "t2")).samples
    split = {
        part: [sample.id for sample in samples if sample.patient in patients]
        for part, patients in parts.items()
    }
    (root / "split.json").write_text(json.dumps(split | {"seed": None}))
    return root


def moved_data(root: Path, moved: Path) -> Path:
    """Write the test patients with T1 turned, shifted and scaled within the slices."""
    moved.mkdir(parents=True, exist_ok=True)
    for patient, (degrees, down, right, zoom) in _TURNED.items():
        for modality in ("t1", "t2"):
            array, _, affine = read_nifti(root / f"{patient}_{modality}.nii.gz")
            if modality == "t1":
                angle = np.deg2rad(degrees)
                turn = (
                    np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
                    / zoom
                )
                size = np.array(array.shape[1:3])
                offset = (size - 1) / 2 - turn @ ((size - 1) / 2 + size * (down, right))
                array = np.stack(
                    [
                        scipy.ndimage.affine_transform(plane, turn, offset, order=1)
                        for plane in array.astype("float32")
                    ]
                )
            write_nifti(moved / f"{patient}_{modality}.nii.gz", array, affine)
    return moved


def untrained(path: Path, size: tuple[int, int]) -> dict:
    """The same two towers with random weights."""
    towers = {}
    for folder in (path, partner_folder(path)):
        trained = load_tower(folder)
        keras.utils.set_random_seed(0)
        network = keras.models.clone_model(trained.network)
        towers[trained.metadata["modality"]] = Bundle(
            trained.name,
            trained.preprocessor,
            network,
            labels=(),
            decoder=trained.decoder,
            fit=trained.fit,
            size=size,
            metadata=trained.metadata,
        )
    return towers


def trained(path: Path) -> dict:
    """Both towers by modality."""
    pair = (load_tower(path), load_tower(partner_folder(path)))
    return {tower.metadata["modality"]: tower for tower in pair}


def by_mutual_information(measured: Measured, size: int = 96) -> dict:
    """The same queries answered by the mutual information of slices of one size."""
    from mutual_information import mutual_information

    planes = {}
    for modality, items in measured.found.items.items():
        volumes = {}
        for item in items:
            if item.sample.id not in volumes:
                volumes[item.sample.id] = item.sample.read().image[..., 0].astype("float32")
        planes[modality] = [
            scipy.ndimage.zoom(plane, np.array((size, size)) / plane.shape, order=1)
            for plane in (volumes[item.sample.id][item.slice] for item in items)
        ]
    summary = {}
    for query, other in measured.directions():
        scores = mutual_information(planes[query], planes[other])
        summary[f"{query} to {other}"] = retrieval_report(
            scores,
            None,
            measured.relevant(query, other),
            patients=[item.patient for item in measured.found.items[query]],
            errors_mm=measured.errors_mm(query, other),
            among=None,
        )
    return summary


def shown(title: str, summary: dict, names: tuple[str, ...]) -> None:
    """Print some measures of both directions."""
    for direction, report in summary.items():
        values = ", ".join(f"{name} {report[name]}" for name in names if name in report)
        print(f"{title}, {direction}: {values}", flush=True)


def brain(settings: retrieval.Settings, data: Path) -> None:
    """Train and compare on the registered and on the moved queries."""
    root = brain_data(data, Path("runs/brain-data"))
    moved = moved_data(root, Path("runs/brain-moved"))
    settings = settings.replaced(data=str(root), split_file=str(root / "split.json"))
    run = retrieval.train(embedding, settings, verbose=2)
    names = ("recall_1", "error_mm", "median_rank")
    for title, folder in (("registered", root), ("moved", moved)):
        found = cross_modal(folder, modalities=("t1", "t2")).part(("26", "study3"))
        measured = retrieval.measure(trained(run.bundle_path), found)
        shown(f"{settings.name}, {title}", measured.summary, names)
        other = retrieval.measure(untrained(run.bundle_path, settings.size), found)
        shown(f"untrained, {title}", other.summary, names)
        shown(f"mutual information, {title}", by_mutual_information(measured), names)


def medpix_data(data: Path, root: Path) -> Path:
    """Write the three parts: training with further sentences, and two with captions alone."""
    root.mkdir(parents=True, exist_ok=True)
    if not (root / "images").exists():
        (root / "images").symlink_to(data / "medpix2" / "images")
    rows = medpix_rows(data)
    cases = sorted({row["case"] for row in rows["train"]})
    apart = set(np.random.default_rng(1).permutation(cases)[:65])
    parts = {
        "train": [row for row in rows["train"] if row["case"] not in apart],
        "val": [row for row in rows["train"] if row["case"] in apart],
        "test": rows["dev"],
    }
    for part, own in parts.items():
        with open(root / f"{part}.jsonl", "w", encoding="utf-8") as file:
            for row in own:
                names = ("type", "plane", "location_category", "location", "modality")
                facts = " ".join(row[name] for name in names if row[name])
                texts = (row["caption"], facts, f"{facts} {row['caption']}")
                for text in texts if part == "train" else texts[:1]:
                    line = {"image": f"images/{row['image']}", "text": text, "case": row["case"]}
                    file.write(json.dumps(line | {"label": row["location_category"]}) + "\n")
    return root


def medpix_rows(data: Path) -> dict[str, list[dict]]:
    """Read the rows of both of its parts."""
    files = {part: data / "medpix2" / f"{part}.jsonl" for part in ("train", "dev")}
    return {
        part: [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for part, file in files.items()
    }


def medpix(settings: retrieval.Settings, data: Path) -> None:
    """Train, and measure among the 197 rows of the development part: an image and its caption."""
    root = medpix_data(data, Path("runs/medpix-data"))
    run = retrieval.train(embedding, settings.replaced(data=str(root)), verbose=2)
    found = cross_modal(root)
    measured = retrieval.measure(trained(run.bundle_path), found.part(found.split.test))
    shown("medpix", measured.summary, ("recall_1", "recall_10", "median_rank", "map_r"))
    _among_rows(measured)
    _body_parts(measured, medpix_rows(data))


def _among_rows(measured: Measured) -> None:
    """Recall@10 among the rows; only a query's own row is right, and equal captions tie."""
    items = measured.found.items
    place = {item.key: i for i, item in enumerate(items["text"])}
    texts = measured.embeddings["text"][[place[item.key] for item in items["image"]]]
    scores = measured.embeddings["image"] @ texts.T
    own = np.arange(len(scores))
    for name, table in (("image to text", scores), ("text to image", scores.T)):
        better = (table > table[own, own][:, None] + 1e-6).sum(axis=1)
        equal = (np.abs(table - table[own, own][:, None]) <= 1e-6).sum(axis=1)
        # Of equal ones each is as often the first, so that a share of them is among ten.
        recall = np.clip((10 - better) / equal, 0, 1).mean()
        chance = 10 / len(table)
        print(
            f"medpix, {name}: recall_10 among {len(table)} rows {recall:.3f}, "
            f"{recall / chance:.2f} times chance"
        )


def _body_parts(measured, rows):
    """Share of first hits of the query's body part; and of the nearest training caption's."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.metrics.pairwise import cosine_similarity

    items, vectors = measured.found.items, measured.embeddings
    for query, other in measured.directions():
        first = (vectors[query] @ vectors[other].T).argmax(axis=1)
        right = [items[query][i].label == items[other][j].label for i, j in enumerate(first)]
        print(f"body part of the first hit, {query} to {other}: {np.mean(right):.3f}")
    words = CountVectorizer().fit(row["caption"] for row in rows["train"])
    train, dev = (words.transform(r["caption"] for r in rows[part]) for part in ("train", "dev"))
    nearest = np.asarray(cosine_similarity(dev, train).argmax(axis=1)).ravel()
    right = [
        rows["train"][j]["location_category"] == row["location_category"]
        for row, j in zip(rows["dev"], nearest, strict=True)
    ]
    print(f"body part of the nearest training caption by its bag of words: {np.mean(right):.3f}")


def main() -> None:
    """Run one of them."""
    name, seed = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    data = Path(os.environ["KMED_TEST_DATA"]) / "data"
    if name == "phantoms":
        root = phantoms("runs/phantoms-200", patients=200, modalities=("ct", "t2"))
        run = retrieval.train(embedding, PHANTOMS.replaced(data=str(root), seed=seed), verbose=2)
        shown("phantoms", run.metrics, ("recall_1_among_100", "recall_1", "recall_10", "error_mm"))
    elif name == "medpix":
        medpix(MEDPIX.replaced(seed=seed), data)
    elif name == "brain-triplet":
        brain(BRAIN.replaced(seed=seed), data)
    elif name == "brain-contrastive":
        changed = {"loss": "infonce", "loss_options": {}}
        brain(BRAIN.replaced(name=name, seed=seed, **changed), data)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
