"""One synthetic patient in memory: CT, T1 and T2 of the same anatomy, with the ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kmed.data.phantom_anatomy import random_anatomy
from kmed.data.phantom_lesions import with_lesions
from kmed.data.phantom_paint import HOSTS, paint
from kmed.data.phantom_physics import ct_image, mr_image, spin_echo
from kmed.data.phantom_tissues import (
    CODES,
    LABEL_OF_CODE,
    LABELS,
    lesion_tissue,
    tissue_table,
)

SEQUENCES = {"t1": {"tr_ms": 500.0, "te_ms": 12.0}, "t2": {"tr_ms": 4000.0, "te_ms": 90.0}}
_OVERSAMPLE = (2, 2, 2)
_SAMPLES_AT_ONCE = 2_000_000  # bounds memory: a large volume is painted in slabs


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """A synthetic study.

    Attributes:
        ct: `(D, H, W)` int16, Hounsfield units.
        t1: `(D, H, W)` uint16, T1-weighted spin echo, arbitrary units.
        t2: `(D, H, W)` uint16, T2-weighted spin echo, arbitrary units.
        mask: `(D, H, W)` uint8, index into `labels`.
        boxes: `{"boxes": (N, 6) float32, "labels": (N,) int32}`: d, h, w of the first corner,
            then of the second, in voxels, half open; one row per lesion, kidney, liver, spleen.
        label: 1 if there is a lesion, else 0.
        spacing_mm: voxel size (d, h, w).
        affine: `(4, 4)` array index (d, h, w, 1) to LPS mm; all three images share it.
        findings: the same ground truth as a dictionary that JSON can hold.
        labels: names of the classes.
    """

    ct: np.ndarray
    t1: np.ndarray
    t2: np.ndarray
    mask: np.ndarray
    boxes: dict[str, np.ndarray]
    label: int
    spacing_mm: tuple[float, float, float]
    affine: np.ndarray
    findings: dict[str, Any]
    labels: tuple[str, ...] = LABELS


def phantom(
    seed: int,
    *,
    patient: int = 0,
    shape: tuple[int, int, int] = (24, 96, 96),
    spacing_mm: tuple[float, float, float] = (5.0, 3.5, 3.5),
) -> Phantom:
    """Makes one synthetic patient of the upper abdomen.

    Organs are smoothly deformed ellipsoids; each voxel averages several samples, so edges show
    partial volume. Of any five patients in a row (0 to 4, 5 to 9 ...) two have no lesion and the
    others have one, two and three, so that every small set has both classes. A field of view
    smaller than an adult (120 x 260 x 330 mm) gets a smaller patient, so that every organ is
    inside at any size.

    Args:
        seed: seed of the whole set of patients, 0 or above.
        patient: index in the set, from 0.
        shape: voxels (D, H, W), each at least 8.
        spacing_mm: voxel size (d, h, w) in mm.

    Returns:
        The study; equal arguments give equal arrays.

    Raises:
        ValueError: arguments out of range.

    Example:
        >>> study = phantom(0, shape=(8, 32, 32), spacing_mm=(15.0, 10.5, 10.5))
        >>> study.ct.shape, study.ct.dtype.name, int(study.mask.max()) <= 4
        ((8, 32, 32), 'int16', True)
    """
    shape, spacing_mm = checked_grid(seed, patient, shape, spacing_mm)
    # Patient k's stream depends on (seed, k) alone; each image has a stream of its own.
    streams = np.random.SeedSequence(seed, spawn_key=(patient,)).spawn(6)
    body, spots, values, noise_ct, noise_t1, noise_t2 = map(np.random.default_rng, streams)
    lesions = _lesion_count(seed, patient)
    anatomy = random_anatomy(body, shape, spacing_mm)
    anatomy = with_lesions(spots, anatomy, shape, spacing_mm, lesions)

    portal = bool(values.random() < 0.5)
    table = tissue_table(values, portal=portal)
    cysts = values.random(3) < 0.3
    for number, lesion in enumerate(anatomy.lesions, 1):
        host = table[CODES["cortex" if lesion.host == "kidney" else lesion.host]]
        table[CODES[f"lesion{number}"]] = lesion_tissue(values, host, cyst=cysts[number - 1])

    weights = [table[:, 0]] + [
        spin_echo(table[:, 1], table[:, 2], table[:, 3], **times) for times in SEQUENCES.values()
    ]
    (hu, t1, t2), mask, objects = _voxels(anatomy, shape, spacing_mm, weights)
    affine = _affine(values, shape, spacing_mm)
    sigma_hu = float(values.uniform(12, 25))
    gain = values.uniform(2500, 4000, 2)
    images = {
        "ct": ct_image(noise_ct, hu, spacing_mm, sigma_hu=sigma_hu),
        "t1": mr_image(noise_t1, t1, bias=0.15, sigma=0.012, gain=gain[0]),
        "t2": mr_image(noise_t2, t2, bias=0.15, sigma=0.008, gain=gain[1] * 1.6),
    }
    rows = _boxes(objects, anatomy, affine, spacing_mm)
    label = int(any(row["label"] == "lesion" for row in rows))
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    findings = {
        "patient": patient_name(patient),
        "seed": seed,
        "label": label,
        "labels": list(LABELS),
        "shape": list(shape),
        "spacing_mm": list(spacing_mm),
        "affine": affine.tolist(),
        "contrast": "portal venous" if portal else "none",
        "ct_noise_hu": round(sigma_hu, 2),
        "volumes_ml": {
            name: round(float((mask == index).sum() * voxel_ml), 3)
            for index, name in enumerate(LABELS)
            if index
        },
        "boxes": rows,
    }
    boxes = {
        "boxes": np.array([row["box"] for row in rows], np.float32).reshape(-1, 6),
        "labels": np.array([LABELS.index(row["label"]) for row in rows], np.int32),
    }
    return Phantom(
        **images,
        mask=mask,
        boxes=boxes,
        label=label,
        spacing_mm=spacing_mm,
        affine=affine,
        findings=findings,
    )


def patient_name(patient: int) -> str:
    """Folder and patient ID of patient `patient`, counted from 0."""
    return f"patient-{patient + 1:04d}"


def checked_grid(seed, patient, shape, spacing_mm):
    """Refuses what no phantom can be made of; returns plain Python numbers."""
    if int(seed) != seed or seed < 0:
        raise ValueError(f"`seed` must be an integer of at least 0; received {seed!r}")
    if int(patient) != patient or patient < 0:
        raise ValueError(f"`patient` must be an integer of at least 0; received {patient!r}")
    shape, spacing_mm = tuple(shape), tuple(spacing_mm)
    if len(shape) != 3 or any(int(n) != n or n < 8 for n in shape):
        raise ValueError(f"`shape` must be (D, H, W), each at least 8; received {shape}")
    if len(spacing_mm) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing_mm):
        raise ValueError(f"`spacing_mm` must be three numbers above 0; received {spacing_mm}")
    return tuple(int(n) for n in shape), tuple(float(s) for s in spacing_mm)


def _lesion_count(seed: int, patient: int) -> int:
    block, place = divmod(patient, 5)
    # A spawn key of two words can't meet a patient's own, which has one.
    order = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0x1E510, block)))
    return int(order.permutation([0, 0, 1, 2, 3])[place])


def _voxels(anatomy, shape, spacing_mm, weights):
    """Averages the samples of each voxel: images, mask by majority, and each object's voxels."""
    images = np.zeros((len(weights), *shape), np.float32)
    mask = np.zeros(shape, np.uint8)
    objects = np.zeros(shape, np.uint8)  # tissue code that won the voxel
    per_slice = shape[1] * shape[2] * int(np.prod(_OVERSAMPLE))
    step = max(1, _SAMPLES_AT_ONCE // per_slice)
    label_of_code = LABEL_OF_CODE
    for start in range(0, shape[0], step):
        part = slice(start, min(start + step, shape[0]))
        codes = _grouped(paint(anatomy, shape, spacing_mm, _OVERSAMPLE, part))
        for image, weight in zip(images, weights, strict=True):
            image[part] = weight.astype(np.float32)[codes].mean(axis=0)
        labels = label_of_code[codes]
        # Even numbers of samples can tie: the first sample's label decides then, so that ties
        # neither grow nor shrink an organ.
        counts = np.stack([(labels == k).sum(axis=0) for k in range(len(LABELS))])
        bonus = np.stack([labels[0] == k for k in range(len(LABELS))])
        mask[part] = (2 * counts + bonus).argmax(axis=0)
        agree = labels == mask[part]
        objects[part] = codes[agree.argmax(axis=0), *np.indices(mask[part].shape, sparse=True)]
    return images, mask, objects


def _grouped(codes: np.ndarray) -> np.ndarray:
    d, h, w = _OVERSAMPLE
    shape = (codes.shape[0] // d, d, codes.shape[1] // h, h, codes.shape[2] // w, w)
    return codes.reshape(shape).transpose(1, 3, 5, 0, 2, 4).reshape(d * h * w, *shape[::2])


def _affine(rng: np.random.Generator, shape, spacing_mm) -> np.ndarray:
    """Axial, no tilt; the centre of the volume lies somewhere about the isocentre."""
    center = np.round(rng.uniform((-12, -15, -180), (12, 15, -60)), 1)  # L, P, S
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing_mm
    extent = (np.array(shape)[::-1] - 1) * np.array(spacing_mm)[::-1]
    affine[:3, 3] = np.round(center - extent / 2, 3)
    affine[3, 3] = 1.0
    return affine


def _boxes(objects, anatomy, affine, spacing_mm) -> list[dict[str, Any]]:
    rows = []
    half = objects.shape[2] // 2
    organs = {**HOSTS, "spleen": ("spleen",)}
    hosts = {name: [CODES[t] for t in tissues] for name, tissues in organs.items()}
    for number, lesion in enumerate(anatomy.lesions, 1):
        code = CODES[f"lesion{number}"]
        name = f"lesion in {lesion.host}"
        rows.append(_box("lesion", name, objects == code, affine, spacing_mm))
    left = np.arange(objects.shape[2]) >= half  # w grows to the left, the spine is in between
    kidney = np.isin(objects, hosts["kidney"])
    rows += [
        _box("kidney", "right kidney", kidney & ~left, affine, spacing_mm),
        _box("kidney", "left kidney", kidney & left, affine, spacing_mm),
        _box("liver", "liver", np.isin(objects, hosts["liver"]), affine, spacing_mm),
        _box("spleen", "spleen", np.isin(objects, hosts["spleen"]), affine, spacing_mm),
    ]
    return [row for row in rows if row is not None]


def _box(label: str, name: str, voxels: np.ndarray, affine, spacing_mm) -> dict[str, Any] | None:
    """Voxel box, half open, and its outer faces in patient mm; None where nothing is left."""
    if not voxels.any():
        return None
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        at = np.flatnonzero(voxels.any(axis=others))
        box.append((int(at[0]), int(at[-1]) + 1))
    first, last = np.array(box).T
    corners = affine[:3, :3] @ (np.stack([first, last]) - 0.5).T + affine[:3, 3:]
    return {
        "label": label,
        "name": name,
        "box": [int(v) for v in (*first, *last)],
        "box_lps_mm": [round(float(v), 4) for v in (*corners[:, 0], *corners[:, 1])],
        "volume_ml": round(float(voxels.sum() * np.prod(spacing_mm) / 1000.0), 3),
    }
