"""PyTorch's checkpoints read without PyTorch and without running what is pickled in them.

A `.pth` file is a pickle that says how tensors lie in raw storages. The numbers are read after the
pickle, within the bounds of the file.

Reference: torch.serialization, the zip archive (PyTorch 1.6 and later: `data.pkl`, `byteorder`,
`data/KEY`) and the stream of pickles before it.
"""

from __future__ import annotations

import math
import mmap
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kmed.weights.tensor_pickle import RE_SAVE, Refused, Storage, Tensor, next_pickle, unpickle

_MAGIC = 0x1950A86A20F9469CFC6C  # the first of the five pickles of the older format
_PROTOCOL = 1001
_NESTED = ("state_dict", "model_state_dict", "model")


def read_pth(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a `.pth` or `.pt` file by name.

    Args:
        path: a file that `torch.save` wrote: a state dictionary, or a dictionary that holds one
            as "state_dict", "model_state_dict" or "model".

    Returns:
        {name: array}, in the file's order and number types; bfloat16, which NumPy does not
        have, as float32 of the same values.

    Raises:
        ValueError: if the file is damaged, holds anything but tensors and plain values, or names
            something to be called that is not on the list.
        FileNotFoundError: if there is no such file.
    """
    path = Path(path)
    with path.open("rb") as file:
        if not (size := path.stat().st_size):
            raise ValueError(f"{path} is empty")
        try:
            if zipfile.is_zipfile(file):
                return _read_zip(file, size)
            return _read_stream(file)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        except (zipfile.BadZipFile, EOFError, OverflowError, RuntimeError) as error:
            raise ValueError(f"{path} is damaged: {error}") from error


def _read_zip(file, size) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(file) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        # PyTorch does not compress, so what is unpacked is never more than what is there.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ValueError("its archive is compressed, as PyTorch's are not; " + RE_SAVE)
        if sum(entry.file_size for entry in entries.values()) > size:
            raise ValueError("its archive says that it holds more than the whole file")
        roots = [name[: -len("data.pkl")] for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError(
                "it must hold one `data.pkl`, as a checkpoint of PyTorch does; "
                f"found {len(roots)} among {len(entries)} entries"
            )
        root = roots[0]
        big = f"{root}byteorder" in entries and archive.read(f"{root}byteorder") == b"big"

        def raw(storage):
            name = f"{root}data/{storage.key}"
            if name not in entries:
                raise ValueError(f"its archive has no entry `{name}`")
            return archive.read(name)

        loaded, _ = unpickle(archive.read(f"{root}data.pkl"))
        return _arrays(loaded, raw, ">" if big else "<")


def _read_stream(file) -> dict[str, np.ndarray]:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            known = unpickle(next_pickle(data))[0] == _MAGIC
        except Refused:
            raise
        except ValueError:
            known = False
        if not known:
            raise ValueError("it is no checkpoint of PyTorch, neither a zip archive nor a stream")
        (protocol, _), (system, _) = unpickle(next_pickle(data)), unpickle(next_pickle(data))
        if protocol != _PROTOCOL or not isinstance(system, dict):
            raise ValueError(f"its protocol must be {_PROTOCOL}; received {protocol!r}; {RE_SAVE}")
        loaded, storages = unpickle(next_pickle(data))
        keys, _ = unpickle(next_pickle(data))
        order = "<" if system.get("little_endian", True) else ">"
        places = {}
        for key in map(str, keys if isinstance(keys, list) else ()):
            if key not in storages:
                raise ValueError(f"the storage {key!r} belongs to no tensor")
            start = data.tell() + 8
            end = start + storages[key].size * _item_size(storages[key].dtype)
            count = np.frombuffer(data.read(8).ljust(8, b"\xff"), f"{order}i8")[0]
            if count != storages[key].size or end > len(data):
                raise ValueError(
                    f"the storage {key!r} must have {storages[key].size} numbers; it says {count} "
                    f"and the file ends {end - len(data)} bytes behind its end"
                )
            places[key] = slice(start, end)
            data.seek(end)

        def raw(storage):
            if storage.key not in places:
                raise ValueError(f"it has no storage {storage.key!r}")
            return data[places[storage.key]]

        return _arrays(loaded, raw, order)


def _arrays(loaded: Any, raw: Callable[[Storage], bytes], order: str) -> dict[str, np.ndarray]:
    """Read what the records of tensors point at; a storage that several share is read once."""
    storages, arrays = {}, {}
    for name, tensor in _state(loaded).items():
        storage = tensor.storage
        if storage not in storages:
            storages[storage] = _numbers(raw(storage), storage, order)
        numbers = storages[storage]
        last = tensor.offset + sum(
            (length - 1) * stride
            for length, stride in zip(tensor.shape, tensor.strides, strict=True)
        )
        count = math.prod(tensor.shape)
        if count and (last >= len(numbers) or count > len(numbers)):
            raise ValueError(
                f"the tensor `{name}` of shape {tensor.shape}, strides {tensor.strides} and offset "
                f"{tensor.offset} does not fit in its storage of {len(numbers)} numbers"
            )
        if not count:
            arrays[name] = np.zeros(tensor.shape, numbers.dtype)
            continue
        steps = [stride * numbers.itemsize for stride in tensor.strides]
        arrays[name] = np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :], tensor.shape, steps, writeable=False
        )
    return arrays


def _numbers(data: bytes, storage: Storage, order: str) -> np.ndarray:
    if len(data) != storage.size * _item_size(storage.dtype):
        raise ValueError(
            f"the storage {storage.key!r} must have {storage.size} numbers of "
            f"{_item_size(storage.dtype)} bytes; the file has {len(data)} bytes"
        )
    if storage.dtype == "bfloat16":  # the upper half of a float32
        return (np.frombuffer(data, f"{order}u2").astype(np.uint32) << 16).view(np.float32)
    numbers = np.frombuffer(data, np.dtype(storage.dtype).newbyteorder(order))
    return numbers.astype(numbers.dtype.newbyteorder("="), copy=False)


def _item_size(dtype: str) -> int:
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def _state(loaded: Any) -> dict[str, Tensor]:
    """Find the dictionary of tensors; numbers and words beside them are passed over."""
    for key in _NESTED:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    kind = type(loaded).__name__
    state = {}
    if isinstance(loaded, dict):
        kind = f"a dictionary of {', '.join(map(repr, list(loaded)[:8]))}"
        state = {str(name): item for name, item in loaded.items() if isinstance(item, Tensor)}
    if not state:
        raise ValueError(f"it must hold a dictionary of tensors; received {kind}; {RE_SAVE}")
    return state
