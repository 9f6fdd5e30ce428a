"""Images, masks and labels as arrays in one .npz file."""

from __future__ import annotations

import os
import threading
import zipfile
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from kmed.data.masks import check_classes, class_indices
from kmed.data.sample import Arrays, DataError, Sample

_SPLITS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
_ONE_AT_A_TIME = threading.Lock()


def npz(
    path: str | os.PathLike,
    *,
    split: str = "train",
    classes: int | None = None,
    patient: Callable[[int], str] | None = None,
    multilabel: bool = False,
) -> list[Sample]:
    """Makes samples of the arrays `train_images`, `train_labels`, `train_masks` of a .npz file.

    Reference: Yang et al., "MedMNIST v2", Scientific Data 10 (2023). The file is compressed as a
    whole, so that the first `read` of a split decodes all its images and keeps them. The format
    knows no patients: each image is one of its own unless `patient` says otherwise.

    Args:
        path: file with `SPLIT_images` (N, H, W), (N, H, W, C), (N, D, H, W) or (N, D, H, W, C),
            and `SPLIT_labels` (N,) or (N, 1) integers, `SPLIT_masks` (N, [D,] H, W), or both.
            Without masks, a last axis of 1, 3 or 4 holds channels.
        split: "train", "val" or "test".
        classes: number of classes of the masks, background included; None accepts 0 to 255.
        patient: from the index of an image to its patient.
        multilabel: `SPLIT_labels` (N, K) hold a 0 or 1 for each of K labels, as in ChestMNIST.

    Returns:
        Samples in the order of the file with ids such as `train-000017`.

    Raises:
        DataError: if the file is unreadable, holds Python objects, lacks the split, or the shapes
            do not fit.

    Example:
        >>> import tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "tiny.npz")
        >>> images, labels = np.zeros((3, 8, 8), np.uint8), np.array([[0], [1], [1]])
        >>> np.savez(path, train_images=images, train_labels=labels)
        >>> [(sample.id, sample.label) for sample in npz(path)][2]
        ('train-000002', 1)
    """
    if split not in _SPLITS:
        raise ValueError(f"`split` must be 'train', 'val' or 'test'; received {split!r}")
    check_classes(classes)
    path, split = os.fspath(path), _SPLITS[split]
    headers = array_headers(path)
    images, labels, masks = (f"{split}_{what}" for what in ("images", "labels", "masks"))
    if images not in headers:
        raise DataError(f"{path}: has no array {images!r}; it has {', '.join(sorted(headers))}")
    shape, dtype = headers[images]
    mask_shape = headers[masks][0] if masks in headers else None
    rank = _spatial_rank(path, images, shape, masks, mask_shape)
    if dtype.kind not in "biuf":
        raise DataError(f"{path}: {images} must hold numbers; received {dtype}")
    label = [None] * shape[0]
    if labels in headers:
        read_labels = _several_labels if multilabel else _labels
        label = read_labels(path, labels, headers[labels], shape[0])
    elif mask_shape is None:
        raise DataError(f"{path}: has neither {labels!r} nor {masks!r}")
    stamp = os.stat(path).st_mtime_ns
    return [
        Sample(
            id=f"{split}-{index:06d}",
            patient=f"{split}-{index:06d}" if patient is None else patient(index),
            files=(path,),
            read=partial(
                _read, path, stamp, images, masks if mask_shape else None, index, rank, classes
            ),
            label=label[index],
        )
        for index in range(shape[0])
    ]


def array_headers(path: str | os.PathLike) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Gives shape and type of each array of a .npz file without unpacking any.

    Args:
        path: the file.

    Returns:
        Name of an array -> its shape and type.

    Raises:
        DataError: if the file is unreadable or holds Python objects.
    """
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    headers = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".npy"):
                    with archive.open(name) as file:
                        version = np.lib.format.read_magic(file)
                        if version == (1, 0):
                            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                        else:
                            shape, _, dtype = np.lib.format.read_array_header_2_0(file)
                    headers[name.removesuffix(".npy")] = shape, dtype
    except Exception as error:
        # A damaged file surfaces as BadZipFile, zlib.error, ValueError, EOFError and others.
        raise DataError(f"{path}: cannot be read as .npz ({error})") from error
    for name, (_, dtype) in headers.items():
        if dtype.hasobject:
            raise DataError(
                f"{path}: {name} holds Python objects, which can run code when they are loaded; "
                "write it as numbers"
            )
    return headers


def _spatial_rank(path, images, shape, masks, mask_shape) -> int:
    if mask_shape is not None:
        if mask_shape not in (shape, shape[:-1]) or len(mask_shape) not in (3, 4):
            raise DataError(
                f"{path}: {masks} must be as large as {images}; received {mask_shape} and {shape}"
            )
        rank = len(mask_shape) - 1
    elif len(shape) in (3, 4, 5):
        rank = {3: 2, 4: 2 if shape[-1] in (1, 3, 4) else 3, 5: 3}[len(shape)]
    else:
        raise DataError(f"{path}: {images} must have 3 to 5 axes, images first; received {shape}")
    if not all(shape):
        raise DataError(f"{path}: {images} is empty; its shape is {shape}")
    return rank


def _labels(path: str, name: str, header, count: int) -> list[int]:
    shape, dtype = header
    if shape not in ((count,), (count, 1)) or dtype.kind not in "biu":
        raise DataError(
            f"{path}: {name} must hold one class index per image, ({count},) or ({count}, 1) "
            f"integers; received {shape} {dtype}; (N, K) of 0 and 1 are read with multilabel=True"
        )
    return [int(value) for value in _array(path, os.stat(path).st_mtime_ns, name).ravel()]


def _several_labels(path: str, name: str, header, count: int) -> list[tuple[int, ...]]:
    shape, dtype = header
    if len(shape) != 2 or shape[0] != count or not shape[1] or dtype.kind not in "biu":
        raise DataError(
            f"{path}: {name} must hold a 0 or 1 per image and label, ({count}, K) integers; "
            f"received {shape} {dtype}"
        )
    rows = _array(path, os.stat(path).st_mtime_ns, name).astype(np.int64)
    if rows.min() < 0 or rows.max() > 1:
        raise DataError(f"{path}: {name} must hold 0 and 1; received {rows.min()} to {rows.max()}")
    return [tuple(row) for row in rows.tolist()]


# Images and masks of three splits; a file that is written anew has another stamp.
@lru_cache(maxsize=6)
def _unpacked(path: str, stamp: int, name: str) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            array = arrays[name]
    except Exception as error:
        raise DataError(f"{path}: cannot read {name} ({error})") from error
    array.setflags(write=False)
    return array


def _array(path: str, stamp: int, name: str) -> np.ndarray:
    with _ONE_AT_A_TIME:  # or parallel readers would each unpack the whole split
        return _unpacked(path, stamp, name)


def _read(path, stamp, images, masks, index, rank, classes) -> Arrays:
    image = _array(path, stamp, images)[index]
    image = image.astype(np.uint8) if image.dtype.kind == "b" else image.copy()
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise DataError(f"{path}: {images}[{index}] holds NaN or infinity")
    if image.ndim == rank:
        image = image[..., np.newaxis]
    mask = None
    if masks is not None:
        stored = _array(path, stamp, masks)[index]
        mask = class_indices(stored, f"{path}: {masks}[{index}]", classes=classes, binary_255=True)
    return Arrays(image, mask, (1.0,) * rank, None)
