import os

import numpy as np
import pytest

from kmed.data.cache import Cache
from kmed.data.digest import pixel_digest
from kmed.data.sample import Arrays, DataError, Sample


class Source:
    """Samples of one `.npy` file each, which count how often they are read."""

    def __init__(self, folder, count=3, shape=(6, 5, 1)):
        self.reads = 0
        self.samples = []
        for i in range(count):
            path = folder / f"doe-john-{i}.npy"
            np.save(path, np.random.default_rng(i).normal(size=shape).astype("float32"))
            self.samples.append(
                Sample(id=f"s{i}", patient="Doe", files=(str(path),), read=self._reader(path))
            )

    def _reader(self, path):
        def read():
            self.reads += 1
            image = np.load(path)
            return Arrays(image, (image[..., 0] > 0).astype("uint8") * 2, (1.0, 1.0), None)

        return read


def doubled(image, mask, spacing_mm):
    return image * 2, mask, None


def test_cases_hold_what_was_prepared(tmp_path):
    source = Source(tmp_path)
    [case, *_] = Cache(tmp_path / "cache", doubled, {}).cases(source.samples)
    arrays = source.samples[0].read()
    np.testing.assert_array_equal(case.image(), arrays.image * 2)
    np.testing.assert_array_equal(case.mask(), arrays.mask)
    assert case.weight() is None
    assert case.shape == (6, 5)
    assert case.digest == pixel_digest(arrays.image)
    table = case.foreground()
    assert set(table[:, 0]) == {2}
    assert {tuple(row) for row in table[:, 1:]} == set(zip(*np.nonzero(arrays.mask), strict=True))


def test_second_time_reads_nothing(tmp_path):
    source = Source(tmp_path)
    first = Cache(tmp_path / "cache", doubled, {"a": 1}).cases(source.samples)
    assert source.reads == 3
    assert Cache(tmp_path / "cache", doubled, {"a": 1}).cases(source.samples) == first
    assert source.reads == 3


def test_changed_file_or_preparation_is_prepared_anew(tmp_path):
    source = Source(tmp_path)
    Cache(tmp_path / "cache", doubled, {"a": 1}).cases(source.samples)
    Cache(tmp_path / "cache", doubled, {"a": 2}).cases(source.samples)
    assert source.reads == 6
    os.utime(source.samples[0].files[0], ns=(1, 1))
    Cache(tmp_path / "cache", doubled, {"a": 1}).cases(source.samples)
    assert source.reads == 7


def test_an_error_leaves_nothing_half_done(tmp_path):
    source = Source(tmp_path)

    def failing(image, mask, spacing_mm):
        raise DataError("masks are missing")

    with pytest.raises(DataError, match="masks are missing"):
        Cache(tmp_path / "cache", failing, {}).cases(source.samples)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_name_of_a_patient_in_the_cache(tmp_path):
    Cache(tmp_path / "cache", doubled, {}).cases(Source(tmp_path).samples)
    for path in (tmp_path / "cache").rglob("*"):
        assert "doe" not in path.name.lower()
        assert path.is_dir() or b"doe" not in path.read_bytes().lower()


def test_weights_are_kept(tmp_path):
    def weighted(image, mask, spacing_mm):
        return image, mask, mask + 1.5

    [case, *_] = Cache(tmp_path / "cache", weighted, {}).cases(Source(tmp_path).samples)
    np.testing.assert_array_equal(case.weight(), case.mask() + 1.5)


def test_without_masks_no_mask_is_written(tmp_path):
    def unmasked(image, mask, spacing_mm):
        return image, None, None

    source = Source(tmp_path, shape=(3, 6, 5, 1))
    for _ in range(2):
        [case, *_] = Cache(tmp_path / "cache", unmasked, {}).cases(source.samples)
        assert (case.mask(), case.foreground(), case.weight()) == (None, None, None)
        assert case.shape == (3, 6, 5)
    assert source.reads == 3
    assert sorted(path.name for path in (tmp_path / "cache").rglob("*.*")) == sorted(
        ["image.npy", "case.json"] * 3
    )
