"""From tissue values to images: CT with filtered noise, spin echo with Rician noise."""

from __future__ import annotations

import numpy as np


def spin_echo(pd, t1_ms, t2_ms, *, tr_ms: float, te_ms: float):
    """Signal of a spin-echo sequence, `PD (1 - exp(-TR/T1)) exp(-TE/T2)`.

    Reference: Bernstein, King and Zhou, "Handbook of MRI Pulse Sequences", 2004, section 14.3
    (for TE much shorter than TR).

    Args:
        pd: proton density, any array.
        t1_ms: longitudinal relaxation time, same shape, above 0.
        t2_ms: transverse relaxation time, same shape, above 0.
        tr_ms: repetition time.
        te_ms: echo time.

    Returns:
        Signal in units of `pd`, same shape.

    Example:
        >>> round(float(spin_echo(1.0, 500.0, 50.0, tr_ms=500.0, te_ms=50.0)), 4)
        0.2325
    """
    return pd * (1.0 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms)


def ct_noise(
    rng: np.random.Generator, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]
) -> np.ndarray:
    """Zero-mean noise of unit variance with the spectrum that filtered back projection leaves.

    In a slice the noise power rises with frequency as the ramp filter does and is rolled off by
    the reconstruction kernel: `NPS(f) ~ f exp(-(f / fc)^2)` with fc 0.12 / mm, or 0.55 of the
    Nyquist frequency where that is lower. Neighbouring slices overlap a little.

    Reference: Riederer, Pelc and Chesler, "The noise power spectrum in computed X-ray
    tomography", Phys Med Biol 23:446-454, 1978.

    Args:
        rng: source of the noise.
        shape: voxels (D, H, W).
        spacing_mm: voxel size (d, h, w) in mm.

    Returns:
        `(D, H, W)` float32.
    """
    depth, height, width = shape
    white = rng.standard_normal((depth + 1, height, width), np.float32)
    fh = np.fft.fftfreq(height, spacing_mm[1])[:, None]
    fw = np.fft.rfftfreq(width, spacing_mm[2])[None, :]
    f = np.hypot(fh, fw)  # cycles per mm
    cutoff = min(0.12, 0.55 * 0.5 / max(spacing_mm[1:]))
    gain = np.sqrt(f * np.exp(-((f / cutoff) ** 2)))
    noise = np.fft.irfft2(np.fft.rfft2(white) * gain, s=(height, width)).astype(np.float32)
    noise = noise[1:] + 0.35 * noise[:-1]
    return noise / max(float(noise.std()), 1e-12)


def ct_image(
    rng: np.random.Generator,
    hu: np.ndarray,
    spacing_mm: tuple[float, float, float],
    *,
    sigma_hu: float,
) -> np.ndarray:
    """Adds noise to CT numbers, more where the beam crosses more of the body.

    Args:
        rng: source of the noise.
        hu: `(D, H, W)` noise-free CT numbers in HU.
        spacing_mm: voxel size (d, h, w) in mm.
        sigma_hu: standard deviation in the middle of the body.

    Returns:
        `(D, H, W)` int16 in -1024 to 3071 HU.
    """
    water_mm = np.clip(hu / 1000.0 + 1.0, 0.0, 2.0)
    rows = water_mm.sum(axis=2, keepdims=True) * spacing_mm[2]
    columns = water_mm.sum(axis=1, keepdims=True) * spacing_mm[1]
    # Variance goes with exp(attenuation), averaged over two directions; 0.019 / mm is water at
    # 70 keV; the square root keeps what automatic exposure control leaves of it.
    path = np.exp(0.5 * 0.019 * 0.5 * (rows + columns) / 2.0)
    path /= max(float(path.max()), 1e-12)
    noise = ct_noise(rng, hu.shape, spacing_mm) * (sigma_hu * np.maximum(path, 0.25))
    return np.clip(np.rint(hu + noise), -1024, 3071).astype(np.int16)


def mr_image(
    rng: np.random.Generator, signal: np.ndarray, *, bias: float, sigma: float, gain: float
) -> np.ndarray:
    """Magnitude image of a spin-echo signal: coil sensitivity, then noise in both channels.

    Reference: Gudbjartsson and Patz, "The Rician distribution of noisy MRI data", Magn Reson
    Med 34:910-914, 1995, eq. 1.

    Args:
        rng: source of bias and noise.
        signal: `(D, H, W)` noise-free signal, 0 to 1.
        bias: standard deviation of the logarithm of the coil's sensitivity.
        sigma: standard deviation of the noise in each channel, units of `signal`.
        gain: receiver gain, stored values per unit of signal.

    Returns:
        `(D, H, W)` uint16, arbitrary units.
    """
    z, y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in signal.shape)
    log = np.zeros(signal.shape, np.float32)
    terms = (z[:, None, None], y[None, :, None], x[None, None, :])
    products = [*terms, terms[0] * terms[1], terms[1] * terms[2], terms[2] * terms[0]]
    products += [term**2 - 1 / 3 for term in terms]
    for product, weight in zip(products, rng.normal(0.0, 1.0, len(products)), strict=True):
        log = log + np.float32(weight) * product
    log -= log.mean()
    seen = signal * np.exp(log * np.float32(bias / max(float(log.std()), 1e-12)))
    real = seen + rng.standard_normal(signal.shape, np.float32) * np.float32(sigma)
    imaginary = rng.standard_normal(signal.shape, np.float32) * np.float32(sigma)
    return np.clip(np.rint(np.hypot(real, imaginary) * gain), 0, 4095).astype(np.uint16)
