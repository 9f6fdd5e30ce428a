from __future__ import annotations

import os
import pickle
import tracemalloc

import pytest

from kmed.weights.tensor_pickle import Refused, Storage, Tensor, next_pickle, unpickle


@pytest.fixture
def refusals(torch_pickle):
    def refused(value, match):
        with pytest.raises(Refused, match=match):
            unpickle(torch_pickle.pickle(value))

    return refused


def test_a_tensor_is_a_record_of_where_its_numbers_lie(torch_pickle):
    tensor = torch_pickle.tensor("7", "float16", 12, (3, 2), (1, 4), offset=1)
    parameter = torch_pickle.Call(
        torch_pickle.Name("torch._utils", "_rebuild_parameter"), (tensor, True, None)
    )
    storage = Storage("f2", "7", 12)
    record = Tensor(storage, 1, (3, 2), (1, 4))
    loaded, storages = unpickle(torch_pickle.pickle({"a": tensor, "b": [parameter], "n": 3}))
    assert loaded == {"a": record, "b": [record], "n": 3}
    assert storages == {"7": storage}


def test_what_a_pickle_names_is_not_called(tmp_path, torch_pickle, refusals):
    target = tmp_path / "was_here"

    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {target}",)

    # pickle writes the name of the module that the platform's `system` is defined in
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(Refused, match=rf"names `{os.name}.system`, which is not read"):
            unpickle(pickle.dumps({"weight": Evil()}, protocol))
    name = torch_pickle.Name
    for module, function in [
        ("os", "system"),
        ("builtins", "eval"),
        ("torch.storage", "_load_from_bytes"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch", "load"),
        ("collections", "namedtuple"),
        ("argparse", "Namespace"),
        ("numpy.core.multiarray", "_reconstruct"),
    ]:
        call = torch_pickle.Call(name(module, function), ("1",))
        refusals({"a": call}, rf"names `{module}.{function}`, which is not read.* re-save it")
    assert not target.exists()


def test_a_dotted_name_does_not_lead_past_the_list(refusals, torch_pickle):
    refusals(torch_pickle.Name("collections", "OrderedDict.__init__"), "OrderedDict.__init__")
    refusals(torch_pickle.Name("torch._utils", "_rebuild_tensor_v2.__func__"), "__func__")


def test_a_pickle_cannot_change_the_reader(torch_pickle):
    function = torch_pickle.Name("torch._utils", "_rebuild_tensor_v2")
    for state in ((None, {"__defaults__": (1,)}), (None, {"__code__": 1})):
        with pytest.raises(ValueError, match="its pickle is damaged"):
            unpickle(torch_pickle.pickle(torch_pickle.Changed(function, state)))
    ordered = torch_pickle.Name("collections", "OrderedDict")
    with pytest.raises(ValueError, match="its pickle is damaged"):
        unpickle(torch_pickle.pickle(torch_pickle.Changed(ordered, (None, {"keys": 1}))))


def test_unknown_descriptions_are_refused(torch_pickle, refusals):
    tensor = torch_pickle.tensor
    refusals(tensor("0", "float32", 4, (-4,), (1,)), "a tensor in an unknown way")
    refusals(tensor("0", "float32", 4, (4,), (-1,)), "a tensor in an unknown way")
    refusals(tensor("0", "float32", 4, (4,), (1, 1)), "a tensor in an unknown way")
    refusals(tensor("0", "float32", 4, (4,), (1,), offset=None), "a tensor in an unknown way")
    refusals(tensor("0", "float32", -4, (4,), (1,)), "a storage in an unknown way")
    refusals(tensor("0", "float32", 4, (4,), (1,), view=(("1", 0, 4),)), "a storage in an unknown")
    refusals(torch_pickle.Stored("0"), "a storage in an unknown way")
    twice = [tensor("0", dtype, 4, (4,), (1,)) for dtype in ("float32", "float16")]
    refusals(twice, "the storage '0' in two ways")
    quantized = torch_pickle.Stored(("storage", torch_pickle.Name("torch", "QInt8Storage"), "0"))
    refusals(quantized, "names `torch.QInt8Storage`")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x02",
        b"\x80\x02}",
        b"\x80\x02u.",
        b"\x80\x02K\x01K\x02R.",
        b"not a pickle",
        b"\x80\x04\x8e" + (2**40).to_bytes(8, "little") + b"x.",  # a terabyte of bytes
        b"\x80\x02Nr\xff\xff\xff\x7f.",  # place two thousand million of the memo
    ],
)
def test_damage_is_told_and_takes_no_memory(data):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="its pickle is damaged"):
            unpickle(data)
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_pickles_in_a_row_are_cut_apart(tmp_path):
    import mmap

    path = tmp_path / "row"
    path.write_bytes(pickle.dumps(1001, 2) + pickle.dumps("two", 2) + b"\x00\x01")
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        assert [unpickle(next_pickle(data))[0] for _ in range(2)] == [1001, "two"]
        with pytest.raises(ValueError, match="its pickle is damaged"):
            next_pickle(data)
