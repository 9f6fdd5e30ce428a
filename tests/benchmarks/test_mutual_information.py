"""The baseline against scikit-learn and by hand."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import mutual_info_score, normalized_mutual_info_score

SPEC = importlib.util.spec_from_file_location(
    "mutual_information", Path(__file__).with_name("mutual_information.py")
)
baseline = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(baseline)


def test_against_scikit_learn(monkeypatch):
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(4, 12, 10))
    gallery = np.concatenate([np.sin(queries) + 0.1 * rng.normal(size=queries.shape), queries**2])
    monkeypatch.setattr(baseline, "_BLOCK", 360)  # three slices at once
    got = baseline.mutual_information(queries, gallery, bins=8)
    ratio = baseline.mutual_information(queries, gallery, bins=8, normalized=True)
    a, b = baseline.binned(queries, 8), baseline.binned(gallery, 8)
    for i, query in enumerate(a):
        for j, item in enumerate(b):
            assert got[i, j] == pytest.approx(mutual_info_score(query, item), rel=1e-9)
            # 2 I / (H(a) + H(b)) and (H(a) + H(b)) / (H(a) + H(b) - I) are one quantity.
            other = normalized_mutual_info_score(query, item)
            assert ratio[i, j] == pytest.approx(1 / (1 - other / 2), rel=1e-9)


def test_bins_are_equal_parts_of_the_percentiles():
    image = np.arange(1000.0)
    image[-1] = 1e6  # one hot pixel
    (bins,) = baseline.binned([image.reshape(20, 50)], 4)
    assert np.bincount(bins).tolist() == [253, 247, 247, 253]
    assert (baseline.binned([np.full((4, 4), -3.0)], 4) == 0).all()


def test_finds_slices_across_an_unknown_mapping():
    queries, gallery = baseline.example(patients=2, slices=12, side=96)
    scores = baseline.mutual_information(queries, gallery)
    assert (scores.argmax(axis=1) == np.arange(24)).mean() > 0.8
    correlation = np.corrcoef(queries.reshape(24, -1), gallery.reshape(24, -1))[:24, 24:]
    assert (correlation.argmax(axis=1) == np.arange(24)).mean() < 0.5


def test_displaced_slices_are_turned_and_shifted_about_their_centre():
    image = np.full((1, 41, 61), -5.0)
    image[0, 20, 10:51] = 5
    assert (baseline.displaced(image, degrees=0, share=0) == image).all()
    turned = baseline.displaced(image, degrees=10, share=0)
    assert turned[0, 20, 30] == 5 and turned.min() == -5 and (turned[0, 20] == 5).sum() < 41
    shifted = baseline.displaced(image, degrees=0, share=0.1, seed=1)[0] > -5
    rows, columns = (np.flatnonzero(shifted.any(axis=axis)).mean() for axis in (1, 0))
    moved = 0.1 * np.random.default_rng(1).uniform(-1, 1, 3)[1:] * (41, 61)
    np.testing.assert_allclose([20 - rows, 30 - columns], moved, atol=0.5)
    assert (baseline.displaced(image, seed=1) == baseline.displaced(image, seed=1)).all()


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match=r"one size; received \(4, 4\) and \(4, 5\)"):
        baseline.mutual_information(np.zeros((1, 4, 4)), np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="`bins` must lie in 2..256; received 1000"):
        baseline.binned([np.zeros((4, 4))], 1000)
