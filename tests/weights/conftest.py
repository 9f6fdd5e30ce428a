"""Writes PyTorch's file formats byte by byte, as PyTorch itself is not at hand."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}


class Name(NamedTuple):
    """A name that unpickling looks up."""

    module: str
    name: str


class Call(NamedTuple):
    """A call that unpickling makes."""

    function: object
    arguments: tuple


class Stored(NamedTuple):
    """A persistent id."""

    value: object


class Changed(NamedTuple):
    """An object whose state unpickling sets."""

    value: object
    state: object


def _encoded(value: object) -> bytes:
    match value:
        case Name(module, name):
            return f"c{module}\n{name}\n".encode()
        case Call(function, arguments):
            return _encoded(function) + _encoded(arguments) + b"R"
        case Stored(inner):
            return _encoded(inner) + b"Q"
        case Changed(inner, state):
            return _encoded(inner) + _encoded(state) + b"b"
        case None | True | False:
            return {None: b"N", True: b"\x88", False: b"\x89"}[value]
        case int():
            data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(data)]) + data
        case str():
            return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case tuple():
            return b"(" + b"".join(map(_encoded, value)) + b"t"
        case list():
            return b"](" + b"".join(map(_encoded, value)) + b"e"
        case Mapping():
            items = [_encoded(part) for item in value.items() for part in item]
            return b"}(" + b"".join(items) + b"u"
    raise TypeError(type(value))


def _pickle(value: object) -> bytes:
    return b"\x80\x02" + _encoded(value) + b"."


def _tensor(key, dtype, size, shape, strides, offset=0, view=()):
    """The record of a tensor, as torch.save writes it."""
    storage = Stored(("storage", Name("torch", STORAGES[dtype]), key, "cpu", size, *view))
    hooks = Call(Name("collections", "OrderedDict"), ())
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, (storage, offset, tuple(shape), tuple(strides), False, hooks))


def _strides(shape):
    return [int(np.prod(shape[i + 1 :])) for i in range(len(shape))]


@pytest.fixture(scope="session")
def torch_pickle() -> SimpleNamespace:
    """How to write a pickle of PyTorch's."""
    return SimpleNamespace(
        pickle=_pickle, tensor=_tensor, Name=Name, Call=Call, Stored=Stored, Changed=Changed
    )


@pytest.fixture
def zip_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes the archive that `torch.save` writes, from its pickle and its storages."""

    def write(loaded, storages, name="x.pth", compression=zipfile.ZIP_STORED, **extra) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            pickled = loaded if isinstance(loaded, bytes) else _pickle(loaded)
            archive.writestr("archive/data.pkl", pickled)
            for key, value in extra.items():
                archive.writestr(f"archive/{key}", value)
            for key, value in storages.items():
                archive.writestr(f"archive/data/{key}", bytes(value))
        return path

    return write


@pytest.fixture
def pth_file(zip_file) -> Callable[[Mapping[str, np.ndarray]], Path]:
    """Writes a state dictionary of arrays."""

    def write(arrays: Mapping[str, np.ndarray], name="x.pth") -> Path:
        records, storages = {}, {}
        for key, (label, array) in enumerate(arrays.items()):
            storages[key] = np.ascontiguousarray(array).tobytes()
            shape = array.shape
            records[label] = _tensor(str(key), str(array.dtype), array.size, shape, _strides(shape))
        return zip_file(records, storages, name)

    return write
