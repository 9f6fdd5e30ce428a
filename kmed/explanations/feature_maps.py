"""Feature maps of one pass through a network: recorded, chosen, and placed on the image."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf


class FeatureMap(NamedTuple):
    """A layer's output in one pass."""

    name: str  # of the layer
    kind: str  # the layer's class
    tensor: tf.Tensor  # (B, [D,] H, W, C)
    strides: tuple[float, ...]  # image pixels from one cell to the next, per spatial axis


@contextmanager
def recorded(network: keras.Model, image: tf.Tensor) -> Iterator[list[FeatureMap]]:
    """Record what every layer gives while the network runs, layers of nested models too.

    The network's graph is not added to: each layer's `call` is watched inside of the `with` block
    (by one thread) and is its own again afterwards.

    Args:
        network: a functional or sequential model.
        image: `(B, [D,] H, W, C)`, what the network will be called on.

    Yields:
        A list that the pass fills, in the order in which the layers run; outputs without spatial
        axes are left out.
    """
    maps: list[FeatureMap] = []
    strides = {id(image): (1.0,) * (len(image.shape) - 2)}
    watched = list(_operations(network))
    for operation in watched:
        _watch(operation, maps, strides, image)
    try:
        yield maps
    finally:
        for operation in watched:
            vars(operation).pop("call", None)


def candidates(
    maps: Sequence[FeatureMap], batch: int, classes: int | None, deepest: bool
) -> list[list[FeatureMap]]:
    """Feature maps that may explain a network, the best ones first.

    Args:
        maps: what was recorded.
        batch: images in the batch; maps of another batch (samples of Monte Carlo dropout, mirrored
            images) are left out.
        classes: a map of so many channels counts as class scores, to be taken last; or None.
        deepest: prefer maps of the fewest pixels; else those of the last convolution's size.

    Returns:
        One list for each member of an ensemble, else one list.
    """
    # A map of one pixel says nothing about places.
    maps = [m for m in maps if m.tensor.shape[0] == batch and max(_size(m)) > 1]
    members: dict[str, list[FeatureMap]] = {}
    for m in maps:
        members.setdefault(re.match(r"(member\d+_)*", m.name)[0], []).append(m)
    if len(members) > 1:
        members.pop("", None)  # what joins the members
    groups = list(members.values()) or [[]]
    return [_ordered(group, classes, deepest) for group in groups]


def named(maps: Sequence[FeatureMap], name: str, batch: int) -> FeatureMap:
    """Find a feature map by its layer's name.

    Args:
        maps: what was recorded.
        name: name of a layer; of one that runs several times the last time counts.
        batch: images in the batch.

    Returns:
        The map.

    Raises:
        ValueError: if there is none of that name, with the names that are near.
    """
    found = [m for m in maps if m.name == name]
    if not found:
        known = list(dict.fromkeys(m.name for m in maps))
        near = difflib.get_close_matches(name, known, cutoff=0.4) or known[-3:]
        raise ValueError(
            f'`layer` must name a layer whose output has spatial axes; received "{name}". '
            f"Near it: {', '.join(near)}"
        )
    if found[-1].tensor.shape[0] != batch:
        raise ValueError(
            f'the layer "{name}" works on {found[-1].tensor.shape[0]} samples or mirror images of '
            f"a batch of {batch}: take a layer before them, or explain the network that was wrapped"
        )
    return found[-1]


def place(values: np.ndarray, strides: Sequence[float], size: Sequence[int]) -> np.ndarray:
    """Interpolate maps linearly on the image's pixels.

    The cells lie `strides` pixels apart in the middle of the image. Where they fill the image this
    is a linear resize with half-pixel centres; where valid convolutions took a margin off, the
    cells stay over what they saw and the outermost go on through the margin. Borders are taken to
    be alike on both sides.

    Args:
        values: `(B, [d,] h, w)`.
        strides: image pixels from one cell to the next, per spatial axis.
        size: spatial size of the image, in pixels.

    Returns:
        float32 `(B, *size)`.

    Example:
        >>> place(np.array([[0.0, 2.0]]), (2.0,), (4,)).tolist()
        [[0.0, 0.5, 1.5, 2.0]]
    """
    values = np.asarray(values, "float32")
    for axis, (stride, pixels) in enumerate(zip(strides, size, strict=True), start=1):
        cells = values.shape[axis]
        at = (np.arange(pixels) + 0.5 - pixels / 2) / stride + cells / 2 - 0.5
        at = np.clip(at, 0, cells - 1)
        lower = np.minimum(at.astype(int), max(cells - 2, 0))
        upper = np.minimum(lower + 1, cells - 1)
        shape = [1] * values.ndim
        shape[axis] = pixels
        fraction = (at - lower).reshape(shape).astype("float32")
        first, second = np.take(values, lower, axis), np.take(values, upper, axis)
        values = first + (second - first) * fraction
    return values


def _operations(model) -> Iterator[keras.Operation]:
    for operation in getattr(model, "operations", model.layers):
        yield operation
        if isinstance(operation, keras.Model):
            yield from _operations(operation)


def _watch(operation, maps, strides, image):
    call, rank = operation.call, len(image.shape)

    @functools.wraps(call)
    def watched(*args, **kwargs):
        output = call(*args, **kwargs)
        inputs = [x for x in tf.nest.flatten((args, kwargs)) if tf.is_tensor(x)]
        source = next((x for x in inputs if len(x.shape) == rank), None)
        for x in tf.nest.flatten(output):
            if tf.is_tensor(x) and len(x.shape) == rank and x.dtype.is_floating:
                if id(x) not in strides:
                    strides[id(x)] = _strides(operation, source, x, strides, image)
                kind = type(operation).__name__
                maps.append(FeatureMap(operation.name, kind, x, strides[id(x)]))
        return output

    # Past Keras' own __setattr__, which looks for weights in whatever a layer is given.
    vars(operation)["call"] = watched


def _strides(operation, source, output, known, image):
    """Pixels between a layer's cells, from those of its input and its own strides."""
    if source is None:  # made of a vector
        return tuple(np.divide(_spatial(image), _spatial(output)).tolist())
    before = known.get(id(source))
    if before is None:  # a tensor that no layer gave, such as a cast one
        before = np.divide(_spatial(image), _spatial(source)).tolist()
    kind, step = type(operation).__name__, getattr(operation, "strides", None)
    if step is not None:
        step = np.broadcast_to(step, len(before))
        after = np.divide(before, step) if "Transpose" in kind else np.multiply(before, step)
    elif re.search("Pad|Crop", kind):
        after = before  # other borders, the same cells
    else:
        after = np.multiply(before, np.divide(_spatial(source), _spatial(output)))
    return tuple(float(s) for s in after)


def _spatial(tensor):
    return np.array(tensor.shape[1:-1], "float64")


def _size(feature_map) -> tuple[int, ...]:
    return tuple(feature_map.tensor.shape[1:-1])


def _ordered(maps, classes, deepest):
    if deepest:
        features = [m for m in maps if m.tensor.shape[-1] != classes]
        rest = sorted(features, key=lambda m: np.prod(_size(m)))  # stable: in order of running
        smallest = [m for m in features if _size(m) == _size(rest[0])] if rest else []
        return [*reversed(smallest), *rest, *reversed(maps)]
    convolutions = [m for m in maps if "Conv" in m.kind]
    last = [m for m in maps if convolutions and _size(m) == _size(convolutions[-1])]
    return [*reversed(last), *reversed(maps)]
