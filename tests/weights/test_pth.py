from __future__ import annotations

import pickle
import struct
import zipfile

import numpy as np
import pytest

from kmed.weights.pth import read_pth

NUMBERS = np.arange(12, dtype="<f4")
MAGIC = 0x1950A86A20F9469CFC6C


@pytest.fixture
def stream_file(tmp_path, torch_pickle):
    """Writes the format of PyTorch before 1.6: five pickles, then lengths and numbers."""

    def write(loaded, storages, magic=MAGIC, protocol=1001, cut=0, name="old.pth"):
        parts = [magic, protocol, {"little_endian": True}, loaded, list(storages)]
        data = b"".join(map(torch_pickle.pickle, parts))
        for array in storages.values():
            data += struct.pack("<q", array.size) + array.tobytes()
        path = tmp_path / name
        path.write_bytes(data[: len(data) - cut])
        return path

    return write


def test_arrays_of_every_type_come_back(pth_file):
    arrays = {
        "conv1.weight": np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype("float32"),
        "double": np.array([0.1, -1e300]),
        "half": np.array([[1.5], [-2]], "float16"),
        "count": np.array(2**40),
        "bytes": np.array([0, 255], "uint8"),
        "flags": np.array([True, False]),
        "none": np.zeros((0, 3), "float32"),
    }
    read = read_pth(pth_file(arrays))
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


def test_bfloat16_is_widened(zip_file, torch_pickle):
    record = {"x": torch_pickle.tensor("0", "bfloat16", 3, (3,), (1,))}
    halves = np.array([0x3FC0, 0xC000, 0x7F80], "<u2")  # 1.5, -2, infinity
    (array,) = read_pth(zip_file(record, {"0": halves})).values()
    assert array.dtype == np.float32
    assert array.tolist() == [1.5, -2.0, np.inf]


def test_strides_and_offsets_are_those_of_torch(zip_file, torch_pickle):
    records = {
        "whole": torch_pickle.tensor("0", "float32", 12, (3, 4), (4, 1)),
        "turned": torch_pickle.tensor("0", "float32", 12, (3, 3), (1, 4), offset=1),  # t()[1:]
        "last": torch_pickle.tensor("0", "float32", 12, (), (), offset=11),
        "columns": torch_pickle.tensor("0", "float32", 12, (3, 2), (4, 2), offset=1),
    }
    read = read_pth(zip_file(records, {"0": NUMBERS}))
    matrix = NUMBERS.reshape(3, 4)
    np.testing.assert_array_equal(read["whole"], matrix)
    np.testing.assert_array_equal(read["turned"], matrix.T[1:])
    np.testing.assert_array_equal(read["columns"], matrix[:, 1::2])
    assert read["last"] == 11


def test_numbers_of_a_big_endian_machine(zip_file, torch_pickle):
    record = {"x": torch_pickle.tensor("0", "float32", 12, (12,), (1,))}
    path = zip_file(record, {"0": NUMBERS.astype(">f4")}, byteorder="big")
    np.testing.assert_array_equal(read_pth(path)["x"], NUMBERS)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_a_state_dictionary_is_found_beside_other_values(key, zip_file, torch_pickle):
    inner = {"x": torch_pickle.tensor("0", "float32", 12, (12,), (1,)), "version": 1}
    path = zip_file({"epoch": 3, key: inner}, {"0": NUMBERS})
    assert list(read_pth(path)) == ["x"]


def test_the_format_before_1_6(stream_file, torch_pickle):
    tensor = torch_pickle.tensor
    records = {
        "state_dict": {
            "a": tensor("140", "float32", 12, (3, 3), (1, 4), offset=1, view=(None,)),
            "b": tensor("141", "int64", 1, (), (), view=(None,)),
        },
        "optimizer": [tensor("142", "float16", 2, (2,), (1,), view=(None,))],
    }
    storages = {"142": np.ones(2, "<f2"), "140": NUMBERS, "141": np.array([7], "<i8")}
    read = read_pth(stream_file(records, storages))
    np.testing.assert_array_equal(read["a"], NUMBERS.reshape(3, 4).T[1:])
    assert (list(read), int(read["b"])) == (["a", "b"], 7)


def test_the_format_before_1_6_is_bounded_by_the_file(stream_file, torch_pickle):
    record = {"x": torch_pickle.tensor("0", "float32", 12, (12,), (1,), view=(None,))}
    with pytest.raises(ValueError, match="old.pth: .* the file ends 4 bytes behind its end"):
        read_pth(stream_file(record, {"0": NUMBERS}, cut=4))
    with pytest.raises(ValueError, match="must have 12 numbers; it says 11"):
        read_pth(stream_file(record, {"0": NUMBERS[:-1]}))
    with pytest.raises(ValueError, match="has no storage '0'"):
        read_pth(stream_file(record, {}))
    with pytest.raises(ValueError, match="the storage '1' belongs to no tensor"):
        read_pth(stream_file(record, {"0": NUMBERS, "1": NUMBERS}))
    with pytest.raises(ValueError, match="its protocol must be 1001; received 2"):
        read_pth(stream_file(record, {"0": NUMBERS}, protocol=2))


@pytest.mark.parametrize("zipped", [True, False])
def test_what_a_file_names_is_not_called(zipped, zip_file, stream_file, torch_pickle, tmp_path):
    target = tmp_path / "was_here"
    evil = torch_pickle.Call(torch_pickle.Name("os", "system"), (f"touch {target}",))
    path = zip_file({"x": evil}, {}) if zipped else stream_file({"x": evil}, {})
    with pytest.raises(ValueError, match=r"\.pth: its pickle names `os.system`, which is not read"):
        read_pth(path)
    path.write_bytes(torch_pickle.pickle(evil))
    with pytest.raises(ValueError, match="its pickle names `os.system`"):
        read_pth(path)
    assert not target.exists()


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((13,), (1,), 0),
        ((12,), (1,), 1),
        ((3, 4), (4, 2), 0),
        ((1000, 1000, 1000), (0, 0, 0), 0),  # expanded: a gigabyte of nothing
        ((1,), (10**30,), 0),
        ((0, 10**30), (1, 1), 0),
    ],
)
def test_a_tensor_stays_in_its_storage(shape, strides, offset, zip_file, torch_pickle):
    record = {"x": torch_pickle.tensor("0", "float32", 12, shape, strides, offset)}
    with pytest.raises(ValueError, match=r"x.pth"):
        read_pth(zip_file(record, {"0": NUMBERS}))


def test_a_storage_is_as_long_as_it_says(zip_file, torch_pickle):
    record = {"x": torch_pickle.tensor("0", "float32", 12, (12,), (1,))}
    with pytest.raises(ValueError, match="'0' must have 12 numbers of 4 bytes; the file has 44 by"):
        read_pth(zip_file(record, {"0": NUMBERS[:-1]}))
    with pytest.raises(ValueError, match="its archive has no entry `archive/data/0`"):
        read_pth(zip_file(record, {}))


def test_an_archive_is_bounded_by_the_file(zip_file, torch_pickle):
    record = {"x": torch_pickle.tensor("0", "float32", 2**20, (2**20,), (1,))}
    zeros = {"0": np.zeros(2**20, "float32")}
    with pytest.raises(ValueError, match="its archive is compressed"):
        read_pth(zip_file(record, zeros, compression=zipfile.ZIP_DEFLATED))


def test_damage_is_told(tmp_path, pth_file, zip_file):
    path = tmp_path / "x.pth"
    for data, match in [
        (b"", "x.pth is empty"),
        (b"<!DOCTYPE html><title>404</title>", "it is no checkpoint of PyTorch"),
        (pickle.dumps({"a": 1}), "it is no checkpoint of PyTorch"),
    ]:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=match):
            read_pth(path)

    data = bytearray(pth_file({"x": NUMBERS}).read_bytes())
    data[data.index(NUMBERS.tobytes()) + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="x.pth is damaged: Bad CRC-32"):
        read_pth(path)
    with pytest.raises(ValueError, match="x.pth: its pickle is damaged"):
        read_pth(zip_file(b"\x80\x02}", {}))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/code.py", "")
    with pytest.raises(ValueError, match="must hold one `data.pkl`.*found 0 among 1 entries"):
        read_pth(path)
    with pytest.raises(ValueError, match="must hold a dictionary of tensors; received a dict.* 'e"):
        read_pth(zip_file({"epoch": 3}, {}))
    with pytest.raises(ValueError, match="must hold a dictionary of tensors; received list"):
        read_pth(zip_file([1], {}))
    with pytest.raises(FileNotFoundError, match="missing.pth"):
        read_pth(tmp_path / "missing.pth")
