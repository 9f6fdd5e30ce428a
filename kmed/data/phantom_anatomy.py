"""Random anatomy of the upper abdomen: one patient's organs as shapes in millimetres."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

# The field of view, (S, P, L) mm, that an adult fills; a smaller one gets a smaller patient.
ADULT_MM = (120.0, 260.0, 330.0)
WARPS = ((48.0, 6.0), (22.0, 1.8))  # (distance of control points, standard deviation) in mm


@dataclass(frozen=True)
class Ellipsoid:
    """A structure in the undeformed body; axes are (S, P, L) as in arrays.

    Attributes:
        tissue: name in the tissue table.
        center: mm.
        radii: half axes in mm.
        yaw: rotation about the S axis, radians.
        region: painted only there: "body", "cavity" (inside the body wall), "abdomen" (below
            the diaphragm), or a tissue's name.
    """

    tissue: str
    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    yaw: float = 0.0
    region: str = "abdomen"


@dataclass(frozen=True)
class Lesion:
    """One lesion: its place, size and host organ."""

    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    yaw: float
    host: str


@dataclass(frozen=True)
class Anatomy:
    """Everything that makes one patient's shape, in mm of an adult of `ADULT_MM`."""

    half_mm: tuple[float, float]  # body's half axes (P, L)
    fat_mm: float
    wall_mm: float
    dome_mm: tuple[float, float]  # where the diaphragm starts to close, and its height
    rib_phase_mm: float
    spine_p_mm: float
    disc_phase_mm: float
    table_p_mm: float
    soft: tuple[Ellipsoid, ...]
    warps: tuple[np.ndarray, ...]
    scale: tuple[float, float, float]
    lesions: tuple[Lesion, ...] = ()


def random_anatomy(
    rng: np.random.Generator,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> Anatomy:
    """Draws a patient who fits the field of view.

    Args:
        rng: the patient's generator.
        shape: voxels (D, H, W).
        spacing_mm: voxel size (d, h, w) in mm.

    Returns:
        The anatomy, without lesions.
    """
    fov_mm = np.array(shape) * np.array(spacing_mm)
    ratio = np.minimum(fov_mm / np.array(ADULT_MM), 1.0)
    plane = float(min(ratio[1], ratio[2]))
    b, a = 104 * rng.uniform(0.86, 1.1), 146 * rng.uniform(0.88, 1.06)
    warps = tuple(
        rng.normal(0.0, sd, (3, *(int(np.ceil(2 * r / step)) + 4 for r in (160, 150, 190))))
        for step, sd in WARPS
    )
    return Anatomy(
        half_mm=(b, a),
        fat_mm=rng.uniform(9, 24),
        wall_mm=rng.uniform(10, 14),
        dome_mm=(rng.uniform(-8, 8), rng.uniform(80, 95)),
        rib_phase_mm=rng.uniform(0, 28),
        spine_p_mm=b - 62 + rng.uniform(-3, 3),
        disc_phase_mm=rng.uniform(0, 34),
        table_p_mm=b + rng.uniform(5, 9),
        soft=tuple(_soft_tissue(rng, a / 146, b / 104)),
        warps=warps,
        scale=(float(ratio[0]), plane, plane),
    )


def _soft_tissue(rng: np.random.Generator, wide: float, deep: float) -> list[Ellipsoid]:
    """Organs in painting order: later ones cover earlier ones."""

    def organ(tissue, center, radii, yaw=0.0, region="abdomen", vary=0.12, move=7.0):
        size = rng.uniform(1 - vary, 1 + vary) * rng.uniform(0.94, 1.06, 3)
        place = np.array(center) + rng.uniform(-move, move, 3)
        stretch = np.array([1.0, deep, wide])
        return Ellipsoid(
            tissue,
            tuple(place * stretch),
            tuple(np.array(radii) * size * stretch),
            yaw + rng.uniform(-0.15, 0.15),
            region,
        )

    parts = [
        organ("visceral_fat", (110, -5, 8), (90, 70, 34), region="cavity"),
        organ("heart", (86, -28, 24), (34, 42, 52), 0.5, region="cavity"),
    ]
    for _ in range(14):  # loops of bowel fill the front of the lower abdomen
        center = rng.uniform((-95, -66, -85), (-8, -8, 95))
        tube = (rng.uniform(11, 19), rng.uniform(10, 16), rng.uniform(13, 30))
        yaw = rng.uniform(0, np.pi)
        wall = Ellipsoid("bowel_wall", tuple(center), tube, yaw)
        lumen = tuple(r - 3.0 for r in tube)
        parts += [wall, Ellipsoid("bowel_content", tuple(center), lumen, yaw)]
        if rng.random() < 0.45:  # gas rises to the front of a supine patient
            up = (center[0], center[1] - 0.45 * lumen[1], center[2])
            gas = (0.7 * lumen[0], 0.5 * lumen[1], 0.7 * lumen[2])
            parts.append(Ellipsoid("air", up, gas, yaw, "bowel_content"))
    for _ in range(22):
        center = rng.uniform((-90, -50, -70), (5, 25, 75))
        radii = (rng.uniform(4, 22), rng.uniform(2.5, 5), rng.uniform(2.5, 12))
        parts.append(
            Ellipsoid("vessel", tuple(center), radii, rng.uniform(0, np.pi), "visceral_fat")
        )
    stomach = organ("bowel_wall", (22, -30, 55), (46, 36, 42), -0.5)
    inner = tuple(r - 4.0 for r in stomach.radii)
    bubble = (stomach.center[0], stomach.center[1] - 0.72 * inner[1], stomach.center[2])
    content = replace(stomach, tissue="stomach_content", radii=inner)
    gas = Ellipsoid(
        "air", bubble, (0.8 * inner[0], 0.55 * inner[1], inner[2]), 0.0, "stomach_content"
    )
    parts += [
        organ("pancreas", (-2, -12, 22), (11, 11, 52), 0.25, move=3),
        stomach,
        content,
        gas,
        organ("spleen", (14, 30, 88), (50, 46, 27), -0.45),
    ]
    right = organ("liver", (16, -4, -66), (74, 72, 58), 0.1, move=4)
    left = organ("liver", (28, -40, -6), (42, 32, 66), 0.12, move=4)
    parts += [right, left]
    hilum = np.array(right.center) + (0.0, 2.0, 28.0)
    for _ in range(7):  # branches of portal and hepatic veins fan out from the hilum
        reach = rng.normal(0, 1, 3) * (18, 26, 16) + (6, -4, -24)
        parts.append(
            Ellipsoid(
                "liver_vessel",
                tuple(hilum + reach),
                (rng.uniform(4, 9), 3.6, 24),
                float(np.arctan2(reach[1], reach[2])),
                "liver",
            )
        )
    parts.append(organ("bile", (-24, -42, -42), (25, 17, 13), 0.3))
    for center, yaw in (((-28, 40, -56), -0.5), ((-20, 38, 58), 0.5)):
        kidney = organ("cortex", center, (52, 28, 25), yaw)
        side = np.sign(center[2])
        grown = tuple(r + rng.uniform(4, 9) for r in kidney.radii)
        inner = tuple(0.72 * r for r in kidney.radii)
        hilum = (kidney.center[0], kidney.center[1] - 6, kidney.center[2] - side * 13)
        sinus = tuple(f * r for f, r in zip((0.42, 0.34, 0.62), kidney.radii, strict=True))
        parts += [
            replace(kidney, tissue="visceral_fat", radii=grown),
            kidney,
            replace(kidney, tissue="medulla", radii=inner),
            Ellipsoid("visceral_fat", hilum, sinus, yaw),
        ]
    return parts
