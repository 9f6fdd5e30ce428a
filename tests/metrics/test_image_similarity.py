import math
import tracemalloc

import numpy as np
import pytest

from kmed.metrics.image_similarity import mae, ms_ssim, psnr, ssim
from kmed.ops import structural_similarity


def pair(*shape, seed=0):
    rng = np.random.default_rng(seed)
    real = rng.integers(-1000, 1000, shape).astype("int16")
    return real, (real + rng.normal(0, 80, shape)).astype("float32")


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 2), (3, 6, 5, 1), (2, 3, 4, 3)])
def test_errors_by_hand(shape):
    real, fake = pair(*shape)
    mask = np.random.default_rng(1).random(shape[:2] if len(shape) < 4 else shape[:3]) < 0.4
    for given in (None, mask):
        errors = []
        for place in np.ndindex(*shape):
            if given is None or given[place[: given.ndim]]:
                errors.append(float(fake[place]) - float(real[place]))
        assert mae(real, fake, given) == pytest.approx(np.mean(np.abs(errors)), rel=1e-9)
        decibels = 10 * math.log10(2000**2 / np.mean(np.square(errors)))
        assert psnr(real, fake, data_range=2000, mask=given) == pytest.approx(decibels, rel=1e-9)


def test_equal_to_monai(goldens):
    known = np.load(goldens / "monai.npz")
    for i in range(2):
        a, b = (known[f"image_{x}_n1hw"][i, 0].astype("float32") for x in "ab")
        for measure, name, digits in ((psnr, "psnr", 1e-4), (ssim, "ssim", 1e-5)):
            expected = known[f"{name}_range1"][i, 0]
            assert measure(a, b, data_range=1) == pytest.approx(expected, abs=digits)
        expected = known["ms_ssim_range1"][i, 0]
        assert ms_ssim(a, b, data_range=1) == pytest.approx(expected, abs=1e-5)
        # Intensities in another unit, with a range in it, give the same.
        raw = [np.round(x.astype("float64") * 4000).astype("uint16") for x in (a, b)]
        expected = known["ssim_range1"][i, 0]
        assert ssim(*raw, data_range=4000) == pytest.approx(expected, abs=1e-4)


def test_unsigned_integers_do_not_wrap_around():
    real, fake = np.full((4, 4), 250, "uint8"), np.full((4, 4), 255, "uint8")
    assert mae(real, fake) == mae(fake, real) == 5
    assert psnr(real, fake, data_range=255) == pytest.approx(20 * math.log10(51))


def test_volumes_by_slices_and_whole():
    real, fake = pair(12, 14, 15, 2)
    slices = [ssim(x, y, data_range=2000) for x, y in zip(real, fake, strict=True)]
    assert ssim(real, fake, data_range=2000) == pytest.approx(np.mean(slices), rel=1e-9)
    whole = structural_similarity.ssim(real[None], fake[None], data_range=2000)
    found = ssim(real, fake, data_range=2000, volume="whole")
    assert found == pytest.approx(float(whole[0]), rel=1e-6) and abs(found - np.mean(slices)) > 1e-4
    weights = {"data_range": 2000, "weights": (0.5, 0.5)}
    big, other = pair(2, 23, 22, 1)
    expected = np.mean([ms_ssim(x, y, **weights) for x, y in zip(big, other, strict=True)])
    assert ms_ssim(big, other, **weights) == pytest.approx(expected, rel=1e-9)


def test_equal_images_and_empty_masks():
    real, _ = pair(12, 12)
    assert psnr(real, real, data_range=1) == math.inf and mae(real, real) == 0
    assert ssim(real, real, data_range=2000) == pytest.approx(1, abs=1e-9)
    nothing = np.zeros((12, 12), bool)
    assert math.isnan(mae(real, real, nothing))
    assert math.isnan(psnr(real, real + 1, data_range=1, mask=nothing))


def test_memory_does_not_grow_with_the_slices():
    def peak(slices):
        real = np.zeros((slices, 128, 128, 1), "int16")
        tracemalloc.start()
        mae(real, real)
        psnr(real, real, data_range=1)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size - real.size  # a byte per voxel tells which are finite

    assert peak(640) < 1.5 * peak(64)


def test_what_does_not_fit_is_said():
    real, fake = pair(12, 12)
    with pytest.raises(ValueError, match=r"need one shape.*received \(12, 12\) and \(12, 11\)"):
        mae(real, fake[:, 1:])
    with pytest.raises(ValueError, match=r"without channels; received \(12,\) for images of"):
        mae(real, fake, np.ones(12, bool))
    with pytest.raises(ValueError, match="`fake` must be finite; received 1 values that are not"):
        ssim(real, np.where(np.eye(12) * np.arange(12) == 3, np.nan, fake), data_range=1)
    for data_range in (0, -5, math.nan, math.inf):
        for measure in (psnr, ssim, ms_ssim):
            with pytest.raises(ValueError, match="`data_range` must be the largest possible"):
                measure(real, fake, data_range=data_range)
    with pytest.raises(TypeError, match="data_range"):
        psnr(real, fake)
    with pytest.raises(ValueError, match="`volume` must be one of .*; received 'all'"):
        ssim(real, fake, data_range=1, volume="all")
    with pytest.raises(ValueError, match="needs 176 pixels along each axis"):
        ms_ssim(real, fake, data_range=1)
