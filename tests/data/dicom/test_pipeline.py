"""Volumes read ahead into tf.data: their order, their number in memory, their errors."""

import threading
import time

import numpy as np
import pytest

from kmed.data import Arrays, Sample, dicom_series, phantoms
from kmed.data.dicom.errors import Damaged, DicomError
from kmed.data.dicom.pipeline import decoded


def sample(name, read, files=()):
    return Sample(id=name, patient="p", files=files, read=read)


def arrays(value, shape=(2, 3, 4, 1)):
    return Arrays(
        np.full(shape, value, np.int16), np.ones(shape[:-1], np.uint8), (5.0, 1.0, 1.0), None
    )


def refuse():
    raise Damaged("slice-7.dcm: cut off", files=["slice-7.dcm"], figures={"left": 3})


def test_volumes_of_an_archive(tmp_path):
    samples = dicom_series(phantoms(tmp_path, patients=1, shape=(8, 16, 16)))
    found = list(decoded(samples, workers=2, dtype="int16"))
    assert len(found) == len(samples) == 3
    for one, expected in zip(found, samples, strict=True):
        np.testing.assert_array_equal(one["image"], expected.read().image)
        np.testing.assert_allclose(one["spacing_mm"], expected.read().spacing_mm)
        assert "mask" not in one


def test_order_and_bound():
    taken, reading, most, lock = 0, 0, 0, threading.Lock()

    def read(value):
        nonlocal reading, most
        with lock:
            reading += 1
            most = max(most, reading - taken)
        time.sleep(0.002 * (value % 3))
        return arrays(value, (value % 4 + 1, 3, 4, 1))

    samples = [sample(str(i), lambda i=i: read(i)) for i in range(12)]
    indices = []
    for one in decoded(samples, workers=3, bound=4, masks=True):
        indices.append(int(one["index"]))
        assert one["image"].shape == (indices[-1] % 4 + 1, 3, 4, 1)
        assert one["mask"].shape == one["image"].shape[:-1]
        assert (one["image"].dtype, one["mask"].dtype) == ("float32", "int32")
        assert np.unique(one["image"]) == indices[-1]
        time.sleep(0.01)
        taken += 1
    assert indices == list(range(12))
    assert most <= 6  # those of the bound, the one taken and the one that tf.data passes on


def test_the_error_itself_is_raised():
    samples = [sample("a", lambda: arrays(1)), sample("b", refuse), sample("c", lambda: arrays(3))]
    volumes = decoded(samples, workers=2)
    got = []
    with pytest.raises(Damaged, match=r"^slice-7\.dcm: cut off$") as caught:
        for one in volumes:
            got.append(int(one["index"]))
    assert got == [0]
    assert caught.value.files == ("slice-7.dcm",)
    assert caught.value.figures == {"left": 3}
    assert caught.value.__suppress_context__
    # So it is of what is derived from the dataset, in a block.
    with pytest.raises(Damaged), volumes:
        list(volumes.map(lambda one: one["image"]).batch(1))
    # What is not the samples' fault stays what it is.
    with pytest.raises(ZeroDivisionError), volumes:
        1 / 0  # noqa: B018


def test_errors_listed():
    samples = [sample("a", refuse), sample("b", lambda: arrays(2)), sample("c", refuse)]
    listed = []
    assert [int(one["index"]) for one in decoded(samples, on_error=listed)] == [1]
    assert [(name, type(error)) for name, error in listed] == [("a", Damaged), ("c", Damaged)]
    unmasked = [sample("a", lambda: arrays(1)._replace(mask=None))]
    listed = []
    assert not list(decoded(unmasked, on_error=listed, masks=True))
    assert "masks=False" in str(listed[0][1])


def test_again_and_not_to_the_end():
    volumes = decoded([sample(str(i), lambda i=i: arrays(i)) for i in range(9)], workers=2)
    before = threading.active_count()
    for _ in range(3):
        for one in volumes.take(2):
            assert one["image"].shape == (2, 3, 4, 1)
    assert len(list(volumes)) == 9
    batches = volumes.batch(3).prefetch(1)
    assert [tuple(one["image"].shape) for one in batches] == [(3, 2, 3, 4, 1)] * 3
    assert threading.active_count() < before + 20


def test_processes(tmp_path):
    samples = dicom_series(phantoms(tmp_path, patients=1, shape=(8, 16, 16)))
    broken = samples[1].files[0]
    with open(broken, "r+b") as file:
        file.truncate(700)
    listed = []
    found = list(decoded(samples, workers=2, processes=True, on_error=listed))
    assert [int(one["index"]) for one in found] == [0, 2]
    np.testing.assert_array_equal(found[1]["image"], samples[2].read().image)
    ((name, error),) = listed
    assert name == samples[1].id
    assert isinstance(error, DicomError)
    assert error.files == (broken,)


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"bound": 0}, {"on_error": "ignore"}, {"samples": []}]
)
def test_wrong_arguments(wrong):
    given = {"samples": [sample("a", lambda: arrays(1))]} | wrong
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
        decoded(**given)
