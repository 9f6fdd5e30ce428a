import numpy as np
import pytest

from kmed.data.phantom_physics import ct_image, ct_noise, mr_image, spin_echo
from kmed.data.phantom_tissues import TISSUES


def signal(name, **times):
    tissue = TISSUES[name]
    return spin_echo(tissue.pd, tissue.t1_ms, tissue.t2_ms, **times)


def test_spin_echo_worked_by_hand():
    # Liver at TR 500, TE 12: 0.79 (1 - exp(-0.85324)) exp(-0.26087) = 0.79 * 0.57397 * 0.77038
    liver = spin_echo(0.79, 586.0, 46.0, tr_ms=500.0, te_ms=12.0)
    assert liver == pytest.approx(0.34932, abs=1e-5)
    assert spin_echo(1.0, 1000.0, 100.0, tr_ms=1e9, te_ms=0.0) == pytest.approx(1.0)


def test_contrasts_as_radiology_knows_them():
    t1, t2 = {"tr_ms": 500.0, "te_ms": 12.0}, {"tr_ms": 4000.0, "te_ms": 90.0}
    assert signal("fat", **t1) > signal("liver", **t1) > signal("spleen", **t1)
    assert signal("liver", **t1) > signal("muscle", **t1) > signal("lung", **t1)
    assert signal("bile", **t2) > signal("spleen", **t2) > signal("liver", **t2)
    assert signal("liver", **t2) > signal("muscle", **t2)
    for times in (t1, t2):  # flow void
        assert signal("vessel", **times) < signal("liver", **times)


def test_ct_noise_has_the_spectrum_of_the_ramp():
    noise = ct_noise(np.random.default_rng(0), (64, 96, 96), (5.0, 1.0, 1.0))
    assert noise.std() == pytest.approx(1.0, abs=1e-3)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(0)
    f = np.hypot(np.fft.fftfreq(96)[:, None], np.fft.fftfreq(96)[None, :])

    def at(frequency):
        return power[np.abs(f - frequency) < 0.01].mean()

    assert power[0, 0] < 1e-3 * power.max()
    # f exp(-(f / 0.12)^2): twice the frequency, twice the power, less the roll-off.
    expected = 2 * np.exp(-(0.08**2 - 0.04**2) / 0.12**2)
    assert at(0.08) / at(0.04) == pytest.approx(expected, rel=0.1)
    assert at(0.4) < 0.01 * at(0.08)
    # Neighbouring voxels correlate; white noise would not.
    assert np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1] > 0.3


def test_ct_noise_is_strongest_behind_most_tissue():
    hu = np.full((8, 64, 64), -1000.0)
    hu[:, 12:52, 6:58] = 0.0
    image = ct_image(np.random.default_rng(0), hu, (5.0, 5.0, 5.0), sigma_hu=20.0)
    assert image.dtype == np.int16 and image.min() >= -1024
    assert image[:, 24:40, 24:40].mean() == pytest.approx(0.0, abs=2.0)
    assert image[:, 24:40, 24:40].std() == pytest.approx(20.0, rel=0.15)
    assert image[:, :, :4].std() < 0.6 * image[:, 24:40, 24:40].std()


def test_mr_noise_is_rician():
    none = np.zeros((16, 64, 64), np.float32)
    image = mr_image(np.random.default_rng(0), none, bias=0.0, sigma=0.02, gain=10_000.0)
    # Without signal the Rician is a Rayleigh distribution: mean sigma sqrt(pi / 2).
    assert image.dtype == np.uint16
    assert image.mean() == pytest.approx(200 * np.sqrt(np.pi / 2), rel=0.01)
    assert image.std() == pytest.approx(200 * np.sqrt(2 - np.pi / 2), rel=0.01)
    much = mr_image(np.random.default_rng(0), none + 0.2, bias=0.0, sigma=0.02, gain=10_000.0)
    assert much.std() == pytest.approx(200, rel=0.02)


def test_mr_bias_is_smooth_and_keeps_the_mean():
    flat = np.full((16, 64, 64), 0.1, np.float32)
    image = mr_image(np.random.default_rng(1), flat, bias=0.15, sigma=0.0, gain=10_000.0)
    assert np.log(image).std() == pytest.approx(0.15, rel=0.02)
    assert np.abs(np.diff(image.astype(float), axis=2)).max() < 60
