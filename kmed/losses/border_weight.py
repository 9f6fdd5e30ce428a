"""The U-Net paper's weight map, which makes a network learn the gaps between touching objects."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def border_weight_map(
    instances: np.ndarray,
    *,
    w0: float = 10.0,
    sigma: float = 5.0,
    spacing: tuple[float, ...] | None = None,
    class_balance: bool | tuple[float, float] = True,
) -> np.ndarray:
    """Returns w(x) = w_c(x) + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) for one ground truth.

    d1 and d2 are the distances from a background voxel to the nearest and the second nearest
    object (to the centre of its closest voxel, so that a neighbour is 1 away). Inside objects the
    second term is 0: it is there to defend the gap. Objects that touch have no gap; give them one
    with `separate_touching`, as the paper did, and train on that mask.

    Reference:
        Ronneberger, Fischer, Brox: U-Net, MICCAI 2015, equation 2.

    Args:
        instances: `(H, W)` or `(D, H, W)`; integers with 0 as background and one number per
            object, or a mask (boolean, or only 0 and 1), whose face-connected components are the
            objects.
        w0: height of the second term.
        sigma: its width, in the unit of `spacing`.
        spacing: distance between voxels along each axis; None counts in voxels.
        class_balance: True weights background and objects to equal shares of this image,
            w_c = N / (2 N_class); False sets w_c = 1; two numbers are the weights themselves
            (background, objects), counted over a training set.

    Returns:
        Weights float32 of the shape of `instances`.

    Raises:
        ValueError: for another rank, float instances, negative numbers, or a bad `sigma`.

    Example:
        >>> two = np.array([[1, 0, 2]])
        >>> border_weight_map(two, class_balance=False).round(3)  # 1 + 10 exp(-4 / 50)
        array([[ 1.   , 10.231,  1.   ]], dtype=float32)
    """
    instances = np.asarray(instances)
    if instances.ndim not in (2, 3) or instances.dtype.kind not in "bui":
        raise ValueError(
            "`instances` must be an integer or boolean array (H, W) or (D, H, W); received "
            f"{instances.dtype} {instances.shape}"
        )
    if instances.dtype.kind == "i" and instances.size and instances.min() < 0:
        raise ValueError(f"`instances` must be 0 or more; received {instances.min()}")
    if sigma <= 0:
        raise ValueError(f"`sigma` must be above 0; received {sigma}")
    if instances.dtype.kind == "b" or not (instances > 1).any():
        instances, _ = ndimage.label(instances)
    step = np.ones(instances.ndim) if spacing is None else np.asarray(spacing, float)
    if step.shape != (instances.ndim,) or not (step > 0).all():
        raise ValueError(f"`spacing` must be {instances.ndim} numbers above 0; received {spacing}")
    nearest, second = _two_distances(instances, step, reach=6 * sigma)
    border = w0 * np.exp(-((nearest + second) ** 2) / (2 * sigma**2))
    objects = instances > 0
    return (_class_weights(objects, class_balance) + np.where(objects, 0, border)).astype("float32")


def separate_touching(instances: np.ndarray) -> np.ndarray:
    """Returns the mask of the objects with a line of background where two of them touch.

    Every voxel that has a voxel of an object with a higher number among its neighbours (faces,
    edges and corners) becomes background, so the line is one voxel wide and lies in the object
    with the lower number.

    Args:
        instances: `(H, W)` or `(D, H, W)` integers, 0 background, one number per object.

    Returns:
        Boolean mask of the same shape.

    Example:
        >>> separate_touching(np.array([[1, 1, 2, 2]])).astype(int)
        array([[1, 0, 1, 1]])
    """
    instances = np.asarray(instances)
    highest = ndimage.maximum_filter(instances, size=3, mode="nearest")
    return (instances > 0) & (highest == instances)


def _two_distances(instances, step, reach):
    """Distances to the nearest and second nearest object, infinite beyond `reach`.

    Each object is looked at only as far as its weight can be told from 0: six sigma, exp(-18).
    """
    nearest = np.full(instances.shape, np.inf)
    second = np.full(instances.shape, np.inf)
    margin = np.ceil(reach / step).astype(int)
    for number, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        window = tuple(
            slice(max(0, s.start - m), s.stop + m) for s, m in zip(box, margin, strict=True)
        )
        distance = ndimage.distance_transform_edt(instances[window] != number, sampling=step)
        near, next_near = nearest[window], second[window]
        np.minimum(next_near, np.maximum(near, distance), out=next_near)
        np.minimum(near, distance, out=near)
    return nearest, second


def _class_weights(objects, class_balance):
    if class_balance is False:
        return 1.0
    if class_balance is not True:
        background, foreground = class_balance
        return np.where(objects, foreground, background)
    count = int(objects.sum())
    if count in (0, objects.size):
        return 1.0
    return np.where(
        objects, objects.size / (2 * count), objects.size / (2 * (objects.size - count))
    )
