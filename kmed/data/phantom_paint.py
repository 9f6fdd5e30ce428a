"""Paints an anatomy as tissue codes on a grid finer than the voxels."""

from __future__ import annotations

import numpy as np

from kmed.data.phantom_anatomy import WARPS, Anatomy, Ellipsoid
from kmed.data.phantom_tissues import CODES

HOSTS = {"liver": ("liver", "liver_vessel"), "kidney": ("cortex", "medulla")}
_REACH_MM = 16.0  # a bounding box is wider than its structure by what the warp can move


def paint(
    anatomy: Anatomy,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    oversample: tuple[int, int, int],
    slices: slice,
) -> np.ndarray:
    """Tissue codes of a few slices, sampled several times per voxel.

    The body is deformed by two free-form fields of cubic B-splines.

    Reference: Rueckert et al., "Nonrigid registration using free-form deformations", IEEE
    Trans Med Imaging 18:712-721, 1999, eq. 1.

    Args:
        anatomy: the patient.
        shape: voxels (D, H, W) of the whole volume.
        spacing_mm: voxel size (d, h, w) in mm.
        oversample: samples per voxel along each axis.
        slices: which slices of the volume.

    Returns:
        `(slices * oversample[0], H * oversample[1], W * oversample[2])` uint8 tissue codes.
    """
    axes = []
    for axis, (count, step, fine) in enumerate(zip(shape, spacing_mm, oversample, strict=True)):
        at = (np.arange(count * fine) + 0.5) * (step / fine) - count * step / 2
        at = at[slices.start * fine : slices.stop * fine] if axis == 0 else at
        axes.append((at / anatomy.scale[axis]).astype(np.float32))
    s, p, left = _deformed(anatomy.warps, axes)
    codes = np.zeros(s.shape, np.uint8)
    inside = _body_wall(anatomy, codes, s, p, left)
    _lungs(anatomy, codes, s, p, left, inside)

    lesions = [
        Ellipsoid(f"lesion{number}", lesion.center, lesion.radii, lesion.yaw, lesion.host)
        for number, lesion in enumerate(anatomy.lesions, 1)
    ]
    for part in anatomy.soft:
        _paint_ellipsoid(part, codes, axes, (s, p, left), inside)
    _back(anatomy, codes, axes, (s, p, left), inside)
    for part in lesions:
        _paint_ellipsoid(part, codes, axes, (s, p, left), inside)
    return codes


def _paint_ellipsoid(part, codes, axes, points, inside) -> None:
    reach = max(part.radii[1:]) + _REACH_MM  # yaw mixes P and L
    reaches = (part.radii[0] + _REACH_MM, reach, reach)
    box = tuple(
        slice(*np.searchsorted(axis, (c - r, c + r)))
        for axis, c, r in zip(axes, part.center, reaches, strict=True)
    )
    s, p, left = (x[box] - c for x, c in zip(points, part.center, strict=True))
    cos, sin = np.float32(np.cos(part.yaw)), np.float32(np.sin(part.yaw))
    p, left = cos * p - sin * left, sin * p + cos * left
    rs, rp, rl = (np.float32(max(r, 1e-3)) for r in part.radii)
    hit = (s / rs) ** 2 + (p / rp) ** 2 + (left / rl) ** 2 < 1.0
    if part.region in inside:
        hit &= inside[part.region][box]
    else:
        names = HOSTS.get(part.region, (part.region,))
        hit &= np.isin(codes[box], [CODES[name] for name in names])
    codes[box][hit] = CODES[part.tissue]


def _deformed(warps, axes):
    points = np.meshgrid(*axes, indexing="ij", copy=True)
    for (step, _), control in zip(WARPS, warps, strict=True):
        bases = [_bspline(axis, step, n) for axis, n in zip(axes, control.shape[1:], strict=True)]
        for point, field in zip(points, control.astype(np.float32), strict=True):
            point += np.einsum("ai,bj,ck,ijk->abc", *bases, field, optimize=True)
    return points


def _bspline(at: np.ndarray, step: float, count: int) -> np.ndarray:
    """Values of `count` uniform cubic B-splines, centred about 0 and `step` mm apart."""
    knot = np.clip(at / step + (count - 1) / 2, 1.0, count - 2.001)
    distance = np.abs(knot[:, None] - np.arange(count)[None, :])  # (samples, count)
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def _superellipse(p, left, half_p: float, half_l: float) -> np.ndarray:
    p, left = np.abs(p / np.float32(half_p)), np.abs(left / np.float32(half_l))
    return p * p * np.sqrt(p) + left * left * np.sqrt(left)  # exponent 2.5: squarer than an ellipse


def _body_wall(anatomy: Anatomy, codes, s, p, left) -> dict[str, np.ndarray]:
    """Paints couch, skin, fat, muscle and ribs; returns the regions that organs stay in."""
    b, a = anatomy.half_mm
    couch_p = np.float32(anatomy.table_p_mm) - left**2 / 1600
    couch = (np.abs(p - couch_p - 6) < 6) & (np.abs(left) < 145)
    codes[couch] = CODES["table"]
    body = _superellipse(p, left, b, a) < 1
    codes[body] = CODES["skin"]
    codes[_superellipse(p, left, b - 2, a - 2) < 1] = CODES["fat"]
    fat = anatomy.fat_mm
    fascia = (b - 0.8 * fat, a - fat)
    codes[_superellipse(p, left, *fascia) < 1] = CODES["muscle"]
    half_p, half_l = fascia[0] - anatomy.wall_mm, fascia[1] - anatomy.wall_mm
    radius = _superellipse(p, left, half_p, half_l)
    cavity = radius < 1
    # Ribs run in the wall and fall from back to front; the last ones do not reach the front.
    along = np.mod(s - 32 * p / b + anatomy.rib_phase_mm, 28)
    wall = (_superellipse(p, left, half_p + 7.5, half_l + 7.5) < 1) & ~(
        _superellipse(p, left, half_p + 1, half_l + 1) < 1
    )
    ribs = wall & (along < 9) & (s > -18 - 45 * p / b) & (np.abs(left) > 36) & (p > -0.72 * b)
    codes[ribs] = CODES["rib"]
    codes[cavity] = CODES["visceral_fat"]
    # The diaphragm: above its start the abdomen closes as an ellipsoidal dome.
    start, height = anatomy.dome_mm
    close = np.clip(1 - (np.clip(s - start, 0, height) / height) ** 2, 0, 1)
    forward = np.float32(0.3) * np.clip(s - start, 0, height)  # more lung behind than in front
    shrunk = _superellipse(p + forward, left, half_p, half_l)
    abdomen = cavity & (shrunk < close**1.25)  # exponent 2.5 on the square of a radius
    return {"body": body, "cavity": cavity, "abdomen": abdomen}


def _lungs(anatomy: Anatomy, codes, s, p, left, inside) -> None:
    b, a = anatomy.half_mm
    chest = inside["cavity"] & ~inside["abdomen"]
    thin = _superellipse(
        p,
        left,
        b - 0.8 * anatomy.fat_mm - anatomy.wall_mm - 1.5,
        a - anatomy.fat_mm - anatomy.wall_mm - 1.5,
    )
    codes[chest] = CODES["muscle"]  # pleura and diaphragm
    codes[chest & (thin < 1)] = CODES["lung"]


def _back(anatomy: Anatomy, codes, axes, points, inside) -> None:
    """Paints psoas, muscles of the back, vertebrae, canal and the great vessels."""
    s, p, left = points
    at = anatomy.spine_p_mm
    tall = 1e4
    for side in (-1, 1):
        muscles = (
            Ellipsoid("muscle", (-95, at + 2, side * 36), (85, 17, 14), 0.0, "body"),
            Ellipsoid("muscle", (0, at + 30, side * 31), (tall, 16, 24), -0.2 * side, "body"),
        )
        for part in muscles:
            _paint_ellipsoid(part, codes, axes, points, inside)
    box = (
        slice(None),
        slice(*np.searchsorted(axes[1], (at - 45, at + 75))),
        slice(*np.searchsorted(axes[2], (-65, 65))),
    )
    s, p, left = s[box], p[box] - np.float32(at), left[box]
    here = codes[box]
    level = np.mod(s + anatomy.disc_phase_mm, 34)  # one vertebra and its disc
    arch = level < 17
    here[(np.abs(left) < 4) & (p > 28) & (p < 50) & arch] = CODES["rib"]  # spinous process
    here[(np.abs(p - 27) < 4.5) & (np.abs(left) < 40) & (level < 9)] = CODES["rib"]  # transverse
    ring = np.hypot(p - 24, left / 1.15)
    here[(ring < 14) & arch] = CODES["bone"]
    body = np.hypot(p / 17, left / 23)
    here[body < 1] = CODES["bone"]
    here[body < 0.88] = CODES["marrow"]
    here[(body < 0.97) & (level > 27)] = CODES["disc"]
    here[(body < 1) & ((np.abs(level - 26.2) < 0.8) | (level > 33.2))] = CODES["bone"]
    here[ring < 9] = CODES["cord"]
    here[np.hypot(p + 27, left - 10) < 10] = CODES["vessel"]  # aorta
    here[np.hypot((p + 26) / 0.8, left + 20) < 11] = CODES["vessel"]  # inferior vena cava
