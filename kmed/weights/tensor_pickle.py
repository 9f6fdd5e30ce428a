"""Pickles of PyTorch read without running what they name.

Unpickling may call anything that a pickle names, so the names are a closed list here: ordered
dictionaries, and tensors and their storages, which become inert records.

Reference: the documentation of Python's `pickle`, "Restricting Globals".
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections import OrderedDict
from typing import Any, NamedTuple

# NumPy's names of what PyTorch calls its storages; bfloat16 is not NumPy's.
_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
RE_SAVE = "re-save it in PyTorch with `torch.save(model.state_dict(), path)`"


class Storage(NamedTuple):
    """A run of numbers somewhere in the file, not read yet."""

    dtype: str
    key: str
    size: int


class Tensor(NamedTuple):
    """How a tensor lies in its storage; offset and strides in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Refused(ValueError):
    """A pickle names what may not be called, or describes a tensor in an unknown way."""


def next_pickle(data) -> bytes:
    """Cut the pickle that starts at the place of a memory map, and move the place behind it.

    Args:
        data: a `mmap.mmap`.

    Returns:
        The pickle's bytes.

    Raises:
        ValueError: if there is no whole pickle.
    """
    start = data.tell()
    try:
        for _ in pickletools.genops(data):
            pass
    except Exception as error:  # whatever a broken pickle makes of its scanner
        raise ValueError(f"its pickle is damaged: {error}") from error
    return data[start : data.tell()]


def unpickle(data: bytes) -> tuple[Any, dict[str, Storage]]:
    """Read one pickle.

    Args:
        data: the pickle's bytes.

    Returns:
        What it holds, with `Tensor` for each tensor, and every storage that it names, by key.

    Raises:
        Refused: if it names anything that is not on the list.
        ValueError: if it is damaged.

    Example:
        >>> unpickle(pickle.dumps({"epoch": 3}))
        ({'epoch': 3}, {})
        >>> unpickle(pickle.dumps(print))
        Traceback (most recent call last):
        kmed.weights.tensor_pickle.Refused: its pickle names `builtins.print`, which is not read...
    """
    try:
        # Python sets memory aside for the lengths and places that a pickle claims, so a scan
        # comes first: it reads every length against the data, and places are bounded here.
        for operation, argument, _ in pickletools.genops(data):
            if "PUT" in operation.name and int(argument) > len(data):
                raise ValueError(f"a memo of {argument} places")
        unpickler = _Unpickler(io.BytesIO(data), encoding="utf-8")
        return unpickler.load(), unpickler.storages
    except Refused:
        raise
    except Exception as error:  # a broken pickle can make Python's own types raise anything
        raise ValueError(f"its pickle is damaged: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries, tensors and storages, and nothing else."""

    def __init__(self, file, **options):
        super().__init__(file, **options)
        self.storages = {}

    def find_class(self, module: str, name: str) -> Any:
        """Give what a name of the closed list stands for here."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch._utils":
            # Methods of this object, so that a pickle cannot change them for the next file.
            if name in ("_rebuild_tensor_v2", "_rebuild_tensor"):
                return self.tensor
            if name == "_rebuild_parameter":
                return self.parameter
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise Refused(
            f"its pickle names `{module}.{name}`, which is not read: only tensors and plain values "
            f"are, and nothing that a checkpoint names is run; {RE_SAVE}"
        )

    def persistent_load(self, pid: Any) -> Storage:
        """Note a storage: ("storage", type, key, device, number of elements[, view])."""
        known = isinstance(pid, tuple) and len(pid) in (5, 6) and pid[0] == "storage"
        if not (
            known
            and pid[1] in _DTYPES.values()
            and type(pid[4]) is int
            and pid[4] >= 0
            and pid[5:] in ((), (None,))
        ):
            raise Refused(f"its pickle describes a storage in an unknown way; {RE_SAVE}")
        storage = Storage(pid[1], str(pid[2]), pid[4])
        if self.storages.setdefault(storage.key, storage) != storage:
            raise Refused(f"its pickle describes the storage {storage.key!r} in two ways")
        return storage

    def tensor(self, storage, offset, shape, strides, *_flags) -> Tensor:
        """Note a tensor; flags of training and hooks mean nothing here."""
        numbers = [offset, *shape, *strides]
        if (
            not isinstance(storage, Storage)
            or len(shape) != len(strides)
            or len(shape) > 32
            or not all(type(number) is int and number >= 0 for number in numbers)
        ):
            raise Refused(f"its pickle describes a tensor in an unknown way; {RE_SAVE}")
        return Tensor(storage, offset, tuple(shape), tuple(strides))

    def parameter(self, tensor, *_flags) -> Any:
        """A parameter is its tensor."""
        return tensor
