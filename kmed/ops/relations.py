"""Which pairs of items match, and which may serve as examples of what does not."""

from __future__ import annotations

from collections.abc import Mapping

from keras import ops

KEYS = ("key", "patient", "study", "label", "position")
RULES = ("key", "label")


def relations(
    a: Mapping,
    b: Mapping,
    *,
    by: str = "key",
    near_mm: float = 0.0,
    same_patient: bool = False,
) -> tuple:
    """Compare every item of one list with every item of another.

    Neighbouring slices of one study show nearly the same, and two images of one patient may show
    the same finding: such pairs are neither matches nor counterexamples.

    Args:
        a: of each of A items "key", "patient", "study" and "label" as `(A,)` integers, a label
            below 0 being unknown, and "position" `(A,)` in mm along the slice normal, NaN where
            unknown. Positions are compared within a study only.
        b: the same of B items.
        by: "key": items match that have one key; "label": items that have one label.
        near_mm: items of one study that are no farther apart are not counterexamples.
        same_patient: whether items of one patient with one known label may be counterexamples.

    Returns:
        Matches and counterexamples, each `(A, B)` bool.

    Raises:
        ValueError: for another rule or a negative distance.

    Example:
        >>> import numpy as np
        >>> ints = {name: np.array([0, 0, 1]) for name in ("patient", "study")}
        >>> items = ints | {
        ...     "key": np.array([0, 1, 2]),
        ...     "label": np.array([-1, -1, -1]),
        ...     "position": np.array([0.0, 3.0, 0.0]),
        ... }
        >>> _, negative = relations(items, items, near_mm=5.0)
        >>> np.array(negative).astype(int).tolist()
        [[0, 0, 1], [0, 0, 1], [1, 1, 0]]
    """
    if by not in RULES:
        raise ValueError(f"`by` must be one of {RULES}; received {by!r}")
    if not near_mm >= 0:
        raise ValueError(f"`near_mm` must be 0 or more; received {near_mm}")
    a, b = ({n: ops.convert_to_tensor(side[n]) for n in KEYS} for side in (a, b))

    def same(name):
        return ops.expand_dims(a[name], 1) == ops.expand_dims(b[name], 0)

    known_label = same("label") & ops.expand_dims(a["label"] >= 0, 1)
    positive = same("key") if by == "key" else known_label
    distance = ops.abs(ops.expand_dims(a["position"], 1) - ops.expand_dims(b["position"], 0))
    # A distance that is not a number is not near: the comparison is false.
    unsuitable = same("study") & (distance <= near_mm)
    if not same_patient:
        unsuitable = unsuitable | (same("patient") & known_label)
    return positive, ~positive & ~unsuitable
