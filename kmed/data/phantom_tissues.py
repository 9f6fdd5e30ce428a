"""Tissues of the phantoms: CT numbers and magnetic relaxation times, one literal row each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LABELS = ("background", "liver", "kidney", "spleen", "lesion")
MAX_LESIONS = 3


class Tissue(NamedTuple):
    """One tissue.

    Attributes:
        hu: CT number without contrast medium, Hounsfield units.
        hu_portal: CT number about 70 s after injection (portal venous phase).
        pd: proton density relative to water, 0 to 1; blood that flows out of the slice between
            excitation and refocusing gives little signal (flow void), told here as a low density.
        t1_ms: longitudinal relaxation time at 1.5 T.
        t2_ms: transverse relaxation time at 1.5 T.
        label: class in the mask, index into `LABELS`.
    """

    hu: float
    hu_portal: float
    pd: float
    t1_ms: float
    t2_ms: float
    label: int = 0


# Relaxation times at 1.5 T: liver, spleen, renal cortex and medulla, pancreas, paravertebral
# muscle, marrow and subcutaneous fat after de Bazelaire et al., "MR imaging relaxation times of
# abdominal and pelvic tissues measured in vivo at 3.0 T", Radiology 230:652-659, 2004 (its 1.5 T
# columns); blood after Stanisz et al., Magn Reson Med 54:507-512, 2005; fluids, lung and
# compact bone are round figures. CT numbers are the usual ones of abdominal radiology.
TISSUES = {
    "air": Tissue(-1000, -1000, 0.0, 1000, 50),
    "table": Tissue(-150, -150, 0.0, 1000, 50),
    "skin": Tissue(30, 35, 0.65, 800, 30),
    "fat": Tissue(-105, -105, 0.90, 343, 58),
    "visceral_fat": Tissue(-98, -98, 0.90, 343, 58),
    "muscle": Tissue(52, 62, 0.80, 856, 27),
    "bone": Tissue(850, 850, 0.08, 800, 20),
    "rib": Tissue(560, 560, 0.25, 600, 30),
    "marrow": Tissue(190, 200, 0.60, 549, 49),
    "disc": Tissue(85, 85, 0.75, 1000, 90),
    "cord": Tissue(28, 28, 0.95, 2000, 300),
    "lung": Tissue(-820, -810, 0.12, 1100, 35),
    "heart": Tissue(42, 110, 0.60, 1030, 45),
    "vessel": Tissue(42, 145, 0.12, 1441, 290),
    "liver_vessel": Tissue(42, 150, 0.25, 1441, 290, 1),
    "bile": Tissue(8, 8, 0.95, 2200, 500),
    "pancreas": Tissue(40, 95, 0.80, 584, 46),
    "bowel_wall": Tissue(40, 75, 0.80, 900, 45),
    "bowel_content": Tissue(18, 18, 0.85, 1300, 110),
    "stomach_content": Tissue(12, 12, 0.90, 1800, 260),
    "liver": Tissue(60, 112, 0.79, 586, 46, 1),
    "cortex": Tissue(35, 185, 0.83, 966, 87, 2),
    "medulla": Tissue(30, 150, 0.86, 1412, 85, 2),
    "spleen": Tissue(50, 122, 0.84, 1057, 79, 3),
    # Values of a lesion are drawn per lesion; these rows only reserve its codes.
    "lesion1": Tissue(30, 60, 0.88, 1000, 90, 4),
    "lesion2": Tissue(30, 60, 0.88, 1000, 90, 4),
    "lesion3": Tissue(30, 60, 0.88, 1000, 90, 4),
}
CODES = {name: code for code, name in enumerate(TISSUES)}
LABEL_OF_CODE = np.array([tissue.label for tissue in TISSUES.values()], np.uint8)


def tissue_table(rng: np.random.Generator, *, portal: bool) -> np.ndarray:
    """Draws one patient's tissue values around the table's.

    Args:
        rng: source of the patient's variation.
        portal: contrast-enhanced CT numbers instead of native ones.

    Returns:
        `(tissues, 4)` float32: CT number in HU, proton density, T1 in ms, T2 in ms, by code.
    """
    rows = [(t.hu_portal if portal else t.hu, t.pd, t.t1_ms, t.t2_ms) for t in TISSUES.values()]
    table = np.array(rows, np.float64)
    soft = (table[:, 0] > -200) & (table[:, 0] < 400)
    table[:, 0] += np.where(soft, rng.normal(0.0, 2.5, len(table)), 0.0)
    table[:, 1:] *= rng.uniform(0.94, 1.06, (len(table), 3))
    return table.astype(np.float32)


def lesion_tissue(rng: np.random.Generator, host: np.ndarray, *, cyst: bool) -> np.ndarray:
    """Draws a lesion's values: darker than its host on CT, brighter on T2, darker on T1.

    Args:
        rng: source of the variation.
        host: `(4,)` row of the host organ in the patient's tissue table.
        cyst: fluid instead of solid tissue.

    Returns:
        `(4,)` float32 row: HU, proton density, T1 in ms, T2 in ms.
    """
    if cyst:
        return np.array([rng.uniform(2, 14), 0.95, 2800, 450], np.float32)
    hu = host[0] * (1.0 - rng.uniform(0.35, 0.7))
    return np.array([hu, 0.88, rng.uniform(950, 1300), rng.uniform(85, 130)], np.float32)
