"""Where a phantom's lesions lie: inside their organ, apart from each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from kmed.data.phantom_anatomy import Anatomy, Lesion
from kmed.data.phantom_paint import HOSTS, paint
from kmed.data.phantom_tissues import CODES, MAX_LESIONS


def with_lesions(
    rng: np.random.Generator,
    anatomy: Anatomy,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    count: int,
) -> Anatomy:
    """Places lesions in liver (four of five) and kidneys on a coarse rendering of the anatomy.

    Args:
        rng: source of size, place and host.
        anatomy: a patient without lesions.
        shape: voxels (D, H, W).
        spacing_mm: voxel size (d, h, w) in mm.
        count: how many, 0 to 3; fewer are placed where there is no room.

    Returns:
        The same patient with the lesions.
    """
    if not count:
        return anatomy
    scale = np.array(anatomy.scale)
    fov_mm = np.array(shape) * np.array(spacing_mm)
    coarse = tuple(int(n) for n in np.maximum(np.minimum(np.array(shape), fov_mm / 5.0), 2))
    step = fov_mm / np.array(coarse)
    codes = paint(anatomy, coarse, tuple(step), (1, 1, 1), slice(0, coarse[0]))
    axes = [
        ((np.arange(n) + 0.5) * s - f / 2) / k
        for n, s, f, k in zip(coarse, step, fov_mm, scale, strict=True)
    ]
    hosts = {host: np.isin(codes, [CODES[name] for name in names]) for host, names in HOSTS.items()}
    # Below about 1.3 voxels a lesion could vanish between the samples.
    least = 1.3 * np.array(spacing_mm) / scale
    placed: list[Lesion] = []
    for _ in range(min(count, MAX_LESIONS)):
        host = "kidney" if rng.random() < 0.2 else "liver"
        radius = rng.uniform(9, 23) * (0.7 if host == "kidney" else 1.0)
        radii = np.maximum(radius * rng.uniform(0.8, 1.25, 3), least)
        yaw, pick = float(rng.uniform(0, np.pi)), int(rng.integers(1 << 30))
        padded = np.pad(hosts[host], 1)[:, 1:-1, 1:-1]  # the field of view cuts an organ off
        depth = ndimage.distance_transform_edt(padded, sampling=step / scale)[1:-1]
        for lesion in placed:
            apart = [np.abs(axis - c) for axis, c in zip(axes, lesion.center, strict=True)]
            grids = np.meshgrid(*apart, indexing="ij")
            distance = np.sqrt(sum(g**2 for g in grids))
            near = max(lesion.radii) + max(radii) + 2 * max(step / scale)
            depth[distance < near] = 0
        room = np.flatnonzero(depth >= min(0.9 * radius, 0.8 * depth.max(initial=0.0)))
        if depth.max(initial=0.0) <= 0 or not room.size:
            continue
        index = np.unravel_index(room[pick % room.size], depth.shape)
        center = tuple(float(axis[i]) for axis, i in zip(axes, index, strict=True))
        placed.append(Lesion(center, tuple(float(r) for r in radii), yaw, host))
    return replace(anatomy, lesions=tuple(placed))
