import tracemalloc

import numpy as np
import pytest

from kmed.data.intensity import intensity_range
from kmed.data.sample import Arrays, DataError, Sample


def sample(name, image):
    return Sample(
        id=name,
        patient=name,
        files=(f"{name}.nii",),
        read=lambda: Arrays(image, None, (1, 1), None),
    )


def test_percentiles_of_all_images_together():
    images = [np.arange(0, 500).reshape(25, 20, 1), np.arange(500, 1000).reshape(5, 100, 1)]
    found = intensity_range(images, low=5, high=95)
    np.testing.assert_allclose(found, np.percentile(np.arange(1000), (5, 95)))
    found = intensity_range([sample(str(i), image) for i, image in enumerate(images)])
    assert found == (0.0, pytest.approx(np.percentile(np.arange(1000), 99.9)))


def test_large_images_are_drawn_from_and_count_alike():
    random = np.random.default_rng(0)
    large = random.normal(100, 10, (60, 50, 40, 1)).astype("float32")
    small = random.normal(500, 10, (200, 100, 1)).astype("float32")
    low, high = intensity_range([large, small], low=25, high=75)
    assert low == pytest.approx(100, abs=1) and high == pytest.approx(500, abs=1)
    whole = np.percentile(large, (1, 99))
    np.testing.assert_allclose(intensity_range([large], low=1, high=99), whole, atol=1.5)
    assert intensity_range([large]) == intensity_range([large])
    assert intensity_range([large], seed=1) != intensity_range([large])


def test_ends_are_exact_and_percentiles_robust():
    image = np.random.default_rng(0).integers(0, 1000, (300, 300)).astype("int16")
    image[0, 0], image[-1, -1] = -7, 30000  # a stray voxel each
    assert intensity_range([image], low=0, high=100) == (-7.0, 30000.0)
    low, high = intensity_range([image], low=0.1)
    assert 0 <= low < 5 and 990 < high < 1000


def test_memory_does_not_grow_with_the_images():
    def peak(number):
        def read():  # an image of 2 MB of its own
            return Arrays(np.ones((512, 512)).cumsum(0), None, (1.0, 1.0), None)

        several = [Sample(id=str(i), patient=str(i), files=(), read=read) for i in range(number)]
        tracemalloc.start()
        intensity_range(several)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    values_of_one = 2**14 * 8
    assert peak(40) - peak(4) < 36 * 4 * values_of_one < 36 * 2**21


def test_of_many_images_some_are_read():
    read = []

    def made(i):
        def now():
            read.append(i)
            return Arrays(np.array([i, i + 1]), None, (1.0,), None)

        return Sample(id=str(i), patient="p", files=(), read=now)

    low, high = intensity_range([made(i) for i in range(2000)], low=50, high=60)
    assert len(read) == len(set(read)) == 512
    assert low == pytest.approx(1000, abs=150) and high == pytest.approx(1200, abs=150)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "needs images; received none"),
        ([np.zeros((9, 9))], "1 images have no range.* constant"),
        ([sample("a", np.full(5, 7)), sample("b", np.full(5, 7))], "are 7 and 7, all values lie"),
        ([np.eye(100)[:50] * np.eye(100)[0]], "from 0 to 1; the images are constant or nearly so"),
        ([sample("a", np.array([1.0, np.nan]))], "a.nii: holds NaN or infinity"),
        ([np.array([1.0, np.inf])], "image 0: holds NaN"),
        ([np.zeros((0, 3))], "image 0: has no pixels"),
    ],
)
def test_images_without_a_range(images, message):
    with pytest.raises(DataError, match=message):
        intensity_range(images)


@pytest.mark.parametrize("limits", [(50, 50), (-1, 99), (0, 101), (float("nan"), 99)])
def test_percentiles_that_are_none(limits):
    with pytest.raises(ValueError, match="must be percentiles"):
        intensity_range([np.arange(5)], low=limits[0], high=limits[1])
