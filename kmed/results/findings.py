"""What a segmentation leaves behind for one image: its labels, a picture and its quantities."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import find_objects
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

import kmed
from kmed.data.atomic import replacing, write_bytes
from kmed.data.dicom.series import Series
from kmed.data.nifti import write_nifti
from kmed.results.dicom.findings import DICOM, write_dicom_findings
from kmed.results.drawing import color
from kmed.results.overlay import montage, overlay, save_png

FORMATS = ("auto", "nifti", "png", *DICOM)


def write_findings(
    folder: str | os.PathLike,
    name: str,
    labels: np.ndarray,
    *,
    image: np.ndarray,
    spacing_mm: Sequence[float],
    label_names: Sequence[str],
    affine: np.ndarray | None = None,
    like: str | os.PathLike | None = None,
    to: str = "auto",
    window: tuple[float, float] | None = None,
    series: Series | None = None,
    label_codes: Mapping[str, Sequence[str]] | None = None,
    algorithm: tuple[str, str] = ("kmed", kmed.__version__),
) -> list[Path]:
    """Writes the label map, NAME_overlay.png and NAME.json of one image.

    Millimetres are as true as `spacing_mm` is: where a source did not say it, it is 1.0, and every
    length, area and volume counts pixels. NAME.json repeats the spacing.

    Args:
        folder: is made if missing; files of these names are replaced.
        name: of the files, without folder and suffix.
        labels: `(H, W)` or `(D, H, W)` class indices from 0 to 255, 0 = background.
        image: `(H, W, C)` or `(D, H, W, C)` that was segmented, in its own units; of 1 or 3
            channels all are shown, of others the first.
        spacing_mm: of the axes of `labels`.
        label_names: of the classes, the background first.
        affine: `(4, 4)` index `(d, h, w, 1)` to patient LPS mm; without it and `like`, a volume
            starts at the origin and its axes run along the patient's.
        like: the NIfTI file that the image was read from; the labels get its voxel grid.
        to: "nifti" for NAME.nii.gz (a plane becomes a volume of one slice, 1 mm thick where no
            `like` says otherwise); "png" for NAME.png, a palette picture whose values are the class
            indices (of a volume a folder NAME with slice-0001.png and so on, inferior first);
            "auto" takes NIfTI for volumes and PNG for planes; "seg" for NAME_seg.dcm, a DICOM
            Segmentation, "sr" for that and NAME_sr.dcm, a report of the quantities.
        window: `(center, width)` of the overlay in the image's units; None adapts to the image.
        series: the DICOM series that `image` is, for "seg" and "sr".
        label_codes: for "seg" and "sr" codes of names that `kmed.results.dicom.codes` doesn't know.
        algorithm: name and version of what segmented, for "seg" and "sr".

    Returns:
        The paths written: labels, overlay, quantities.

    Raises:
        ValueError: for arrays that do not fit each other, a class without a name or a `name` that
            is not a file's.
        DataError: if `like` has another grid; "seg" or "sr" without a DICOM series.
    """
    labels, image = np.asarray(labels), np.asarray(image)
    _check(name, labels, image, spacing_mm, label_names, to)
    labels = labels.astype(np.uint8)
    folder = Path(folder)
    measured = quantities(labels, image, spacing_mm, label_names)
    if to in DICOM:
        written = write_dicom_findings(
            folder,
            name,
            labels,
            series,
            measures=measured,
            label_names=label_names,
            label_codes=label_codes,
            algorithm=algorithm,
            report=to == "sr",
        )
    elif to == "nifti" or (to == "auto" and labels.ndim == 3):
        written = [write_volume(folder / f"{name}.nii.gz", labels, spacing_mm, affine, like)]
    elif labels.ndim == 2:
        written = [write_bytes(folder / f"{name}.png", _palette_png(labels))]
    else:
        written = [
            write_bytes(folder / name / f"slice-{number:04d}.png", _palette_png(plane))
            for number, plane in enumerate(labels, 1)
        ]
    shown = image if image.shape[-1] in (1, 3) else image[..., :1]
    settings = {"labels": label_names, "spacing_mm": tuple(spacing_mm), "window": window}
    if labels.ndim == 3:
        picture = montage(shown, labels, affine=affine, **settings)
    else:
        picture = overlay(shown, labels, **settings)
    written.append(save_png(folder / f"{name}_overlay.png", picture))
    content = {
        "name": name,
        "shape": list(labels.shape),
        "spacing_mm": [float(length) for length in spacing_mm],
        "classes": measured,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return [*written, write_bytes(folder / f"{name}.json", text.encode("utf-8"))]


def quantities(
    labels: np.ndarray,
    image: np.ndarray,
    spacing_mm: Sequence[float],
    label_names: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """Measures every class of a label map but the background.

    Args:
        labels: `(H, W)` or `(D, H, W)` class indices.
        image: `(H, W, C)` or `(D, H, W, C)`.
        spacing_mm: of the axes of `labels`.
        label_names: of the classes, the background first.

    Returns:
        For each class `index`, `voxels`, `volume_ml` of a volume or `area_mm2` of a plane,
        `longest_extent_mm` (see `longest_extent_mm`) and `mean_intensity`: a number, or one for
        each channel, or None where the class does not occur.

    Example:
        >>> labels = np.array([[0, 1, 1], [0, 0, 0]])
        >>> quantities(labels, 10.0 * labels[..., None], (1.0, 2.0), ["background", "duct"])["duct"]
        {'index': 1, 'voxels': 2, 'area_mm2': 4.0, 'longest_extent_mm': 4.0, 'mean_intensity': 10.0}
    """
    size = math.prod(float(length) for length in spacing_mm)
    boxes = find_objects(labels.astype(np.int32), max_label=max(1, len(label_names) - 1))
    found = {}
    for index, name in enumerate(label_names[1:], 1):
        box = boxes[index - 1] or (slice(0, 0),) * labels.ndim
        inside = labels[box] == index
        voxels = int(np.count_nonzero(inside))
        values = {"index": index, "voxels": voxels}
        if labels.ndim == 3:
            values["volume_ml"] = round(voxels * size / 1000, 4)
        else:
            values["area_mm2"] = round(voxels * size, 4)
        values["longest_extent_mm"] = round(longest_extent_mm(inside, spacing_mm), 3)
        values["mean_intensity"] = _mean(image[box][inside])
        found[str(name)] = values
    return found


def longest_extent_mm(mask: np.ndarray, spacing_mm: Sequence[float]) -> float:
    """Gives the largest distance between two points of a mask's surface.

    Reference: the "maximum diameter" of a region of interest in Zwanenburg et al., "The Image
    Biomarker Standardisation Initiative", 2020. Its surface mesh has the middles of the voxels'
    outer faces as corners.

    Args:
        mask: boolean, of any parts: the largest distance between any two of them counts.
        spacing_mm: of its axes, two or more.

    Returns:
        Millimetres; 0 for an empty mask.

    Example:
        >>> longest_extent_mm(np.ones((1, 5), bool), (1.0, 0.5))
        2.5
    """
    filled = mask.any(axis=-1)
    rows = np.argwhere(filled)
    if not len(rows):
        return 0.0
    # No corner of the convex hull lies between the first and the last voxel of a line.
    lines = mask[filled]
    ends = (lines.argmax(axis=-1), lines.shape[-1] - 1 - lines[:, ::-1].argmax(axis=-1))
    voxels = np.concatenate([np.column_stack([rows, end]) for end in ends]).astype(np.float64)
    half = 0.5 * np.eye(mask.ndim)
    faces = np.concatenate([voxels + step for step in (*half, *-half)])
    points = np.unique(faces, axis=0) * np.asarray(spacing_mm, np.float64)
    corners = points[ConvexHull(points).vertices]
    # In blocks: the hull of a large smooth organ has thousands of corners.
    blocks = (corners[i : i + 512] for i in range(0, len(corners), 512))
    return float(max(cdist(block, corners).max() for block in blocks))


def write_volume(
    path: Path,
    array: np.ndarray,
    spacing_mm: Sequence[float],
    affine: np.ndarray | None = None,
    like: str | os.PathLike | None = None,
) -> Path:
    """Writes a volume or a plane as NIfTI, whole or not at all.

    Args:
        path: of the file, ending in .nii.gz; missing folders are made.
        array: `(D, H, W)`, or `(H, W)`, which becomes a volume of one slice.
        spacing_mm: of the axes of `array`.
        affine: as in `write_findings`.
        like: as in `write_findings`.

    Returns:
        The path.
    """
    if array.ndim == 2:
        array, spacing_mm = array[np.newaxis], (1.0, *spacing_mm)
    if affine is None and like is None:
        affine = np.zeros((4, 4))
        affine[(2, 1, 0, 3), (0, 1, 2, 3)] = (*spacing_mm, 1.0)
    with replacing(path) as unfinished:
        write_nifti(unfinished, array, affine, like=like)
    return path


def _palette_png(labels) -> bytes:
    """A picture that looks like its overlay to people and holds class indices for programs."""
    picture = Image.fromarray(labels)
    picture.putpalette([0, 0, 0, *(part for k in range(1, 256) for part in color(k))])
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _mean(values) -> float | list[float] | None:
    if not len(values):
        return None
    means = [float(mean) for mean in values.astype(np.float64).mean(axis=0)]
    # JSON has no NaN: a voxel without a value leaves its class without a mean.
    means = [round(mean, 4) if math.isfinite(mean) else None for mean in means]
    return means[0] if len(means) == 1 else means


def _check(name, labels, image, spacing_mm, label_names, to) -> None:
    if not name or name in (".", "..") or any(mark in name for mark in "/\\\0"):
        raise ValueError(f"`name` must be the name of a file without a folder; received {name!r}")
    if to not in FORMATS:
        raise ValueError(f"`to` must be one of {', '.join(FORMATS)}; received {to!r}")
    if labels.ndim not in (2, 3) or labels.dtype.kind not in "iub":
        raise ValueError(
            "`labels` must be (H, W) or (D, H, W) class indices; "
            f"received {labels.dtype} of shape {labels.shape}"
        )
    if image.shape[:-1] != labels.shape:
        raise ValueError(
            f"`image` must have the shape of `labels` {labels.shape} and channels last; "
            f"received {image.shape}"
        )
    if len(spacing_mm) != labels.ndim or not all(0 < s < math.inf for s in spacing_mm):
        raise ValueError(
            f"`spacing_mm` must be {labels.ndim} lengths above 0; received {tuple(spacing_mm)}"
        )
    if len(set(label_names)) != len(label_names):
        raise ValueError(f"`label_names` must differ from each other; received {list(label_names)}")
    largest, least = (int(labels.max()), int(labels.min())) if labels.size else (0, 0)
    if least < 0 or largest > 255 or largest >= max(1, len(label_names)):
        raise ValueError(
            f"`label_names` must name every class, the background first; received "
            f"{len(label_names)} names for labels from {least} to {largest}"
        )
