"""The report against the single measures on resampled patients."""

import math

import numpy as np
import pytest

from kmed.metrics.image_similarity import mae, ms_ssim, psnr, ssim
from kmed.metrics.translation_report import translation_report


def data(count=10, patients=4, shape=(16, 14, 1), masks=False, seed=0):
    rng = np.random.default_rng(seed)
    cases = []
    for i in range(count):
        real = rng.uniform(-500, 500, shape).astype("float32")
        fake = real + rng.normal(0, 20 + 10 * i, shape).astype("float32")
        mask = [rng.random(shape[:-1]) < 0.5] if masks else []
        cases.append((real, fake, f"p{i % patients}", *mask))
    return cases


@pytest.mark.parametrize("masks", [False, True])
def test_values_and_limits_against_resampled_patients(masks):
    cases = data(masks=masks)
    report = translation_report(cases, data_range=1000, level=0.9, resamples=40, seed=3)
    assert list(report) == ["mae", "psnr", "ssim"]
    values = {"mae": [], "psnr": [], "ssim": []}
    for real, fake, _, *mask in cases:
        mask = mask[0] if mask else None
        values["mae"].append(mae(real, fake, mask))
        values["psnr"].append(psnr(real, fake, data_range=1000, mask=mask))
        values["ssim"].append(ssim(real, fake, data_range=1000))
    drawn = np.random.default_rng(3).integers(0, 4, (40, 4))
    for name, interval in report.items():
        column = np.array(values[name])
        assert interval.value == pytest.approx(column.mean(), rel=1e-9)
        groups = [column[np.arange(10) % 4 == patient] for patient in range(4)]
        means = [np.concatenate([groups[i] for i in row]).mean() for row in drawn]
        limits = np.percentile(means, [5, 95])
        np.testing.assert_allclose((interval.low, interval.high), limits)
        assert (interval.n, interval.omitted) == (4, 0)


def test_cases_may_come_one_after_the_other_and_in_several_shapes():
    cases = data(4) + data(2, shape=(2, 13, 12, 1)) + data(1, shape=(12, 12))
    found = translation_report(iter(cases), data_range=1000, resamples=20)
    assert found == translation_report(cases, data_range=1000, resamples=20)
    assert found["ssim"].omitted == 0


def test_multi_scale_similarity_where_the_size_allows():
    large = data(1, shape=(176, 180, 1))
    report = translation_report(large + data(3, patients=3), data_range=1000, resamples=20)
    expected = ms_ssim(*large[0][:2], data_range=1000)
    assert report["ms_ssim"].value == pytest.approx(expected)
    assert (report["ms_ssim"].n, report["ms_ssim"].omitted) == (1, 3)


def test_what_has_no_value_is_counted():
    real = np.zeros((12, 12))
    cases = [
        (real, real, "a"),
        (real, real + 10, "b", np.ones((12, 12))),
        (real, real + 10, "c", np.zeros((12, 12))),
        (real[:8], real[:8] + 30, "d"),
    ]
    report = translation_report(cases, data_range=100, unit="HU", resamples=20)
    assert list(report) == ["mae_hu", "psnr", "ssim"]
    assert report["mae_hu"].value == pytest.approx(40 / 3) and report["mae_hu"].omitted == 1
    decibels = [20 * math.log10(100 / error) for error in (10, 30)]
    assert report["psnr"].value == pytest.approx(np.mean(decibels))
    assert report["psnr"].omitted == 2
    assert (report["ssim"].n, report["ssim"].omitted) == (3, 1)


def test_volumes_are_compared_as_asked():
    cases = data(3, shape=(12, 13, 14, 1))
    slices = translation_report(cases, data_range=1000, resamples=20)
    whole = translation_report(cases, data_range=1000, volume="whole", resamples=20)
    expected = [ssim(x, y, data_range=1000, volume="whole") for x, y, _ in cases]
    assert whole["ssim"].value == pytest.approx(np.mean(expected))
    assert whole["mae"] == slices["mae"] and whole["ssim"] != slices["ssim"]


def test_what_does_not_fit_is_said():
    cases = data(2)
    with pytest.raises(ValueError, match="one case at least; received none"):
        translation_report([], data_range=1)
    with pytest.raises(ValueError, match=r"case 1: images that are compared need one shape"):
        translation_report([cases[0], (cases[1][0], cases[1][1][1:], "a")], data_range=1)
    with pytest.raises(ValueError, match="case 0: `data_range` must be"):
        translation_report(cases, data_range=0)
    with pytest.raises(ValueError, match="case is .* received 5 parts"):
        translation_report([(*cases[0], None, None)], data_range=1)
    with pytest.raises(ValueError, match="`volume` must be one of"):
        translation_report(cases, data_range=1, volume="3d")
