import sys

import numpy as np
import pytest

from kmed.metrics import bootstrap_interval
from kmed.metrics.diversity import diversity
from kmed.metrics.frechet import frechet_distance_of_features
from kmed.metrics.kernel_distance import kernel_distance
from kmed.metrics.memorisation import memorisation
from kmed.metrics.synthesis_report import synthesis_report


def sets(real=60, fake=80, size=6, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(real, size)), rng.normal(0.4, 0.8, (fake, size))


def test_values_are_the_single_measures():
    real, fake = sets(80)
    known = sets(seed=1)[0]
    found = memorisation(fake, known, held_out=real)
    right = np.arange(80) % 5 > 0
    names = np.array(["disc", "ring"])[np.arange(80) // 60]
    report = synthesis_report(
        real, fake, memorisation=found, correct=right, classes=names, halves=4
    )
    assert list(report) == ["all", "disc", "ring"]
    value = {name: interval.value for name, interval in report["all"].items()}
    assert value["fid"] == pytest.approx(frechet_distance_of_features(real, fake))
    assert value["kid"] == pytest.approx(kernel_distance(real, fake).value)
    assert value["diversity"] == pytest.approx(diversity(fake, real))
    assert value["copies"] == found.share
    assert value["nearest_distance"] == pytest.approx(np.median(found.ratio))
    assert report["all"]["conditional_accuracy"] == bootstrap_interval(right.astype(float))
    assert list(report["ring"]) == ["conditional_accuracy"]
    assert report["ring"]["conditional_accuracy"] == bootstrap_interval(right[60:].astype(float))
    assert {interval.n for interval in report["all"].values()} == {80}


def test_only_what_is_given():
    assert list(synthesis_report(*sets(), halves=2)["all"]) == ["fid", "kid", "diversity"]
    given = {"correct": np.ones(80, bool), "halves": 2}
    assert list(synthesis_report(*sets(), **given)) == ["all"]


def test_limits_are_as_wide_as_what_chance_does():
    """Deviation over new draws of both sets; halves also see that of the real images."""
    values = []
    for seed in range(120):
        real, fake = sets(150, 150, seed=seed)
        values.append(
            (
                frechet_distance_of_features(real, fake),
                kernel_distance(real, fake).value,
                diversity(fake, real),
            )
        )
    expected = np.std(values, axis=0)
    found = []
    for seed in range(8):
        report = synthesis_report(*sets(150, 150, seed=1000 + seed), halves=30, level=0.6826895)
        found.append([(one.high - one.low) / 2 for one in report["all"].values()])
    np.testing.assert_allclose(np.mean(found, axis=0), expected, rtol=0.25)


def test_images_of_one_patient_make_it_wider():
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(10), 20)
    real = rng.normal(size=(10, 4))[patients] + rng.normal(0, 0.2, (200, 4))
    fake = rng.normal(size=(200, 4))
    alone, by_patient = (
        synthesis_report(real, fake, patients=given)["all"]["fid"] for given in (None, patients)
    )
    assert alone.value == by_patient.value
    assert by_patient.high - by_patient.low > 2 * (alone.high - alone.low)


def test_many_images_are_thinned_for_the_pairs(monkeypatch):
    monkeypatch.setattr(sys.modules[synthesis_report.__module__], "_PAIRED", 20)
    real, fake = sets(50, 90)
    report = synthesis_report(real, fake, halves=3)["all"]
    a, b = (
        real[np.linspace(0, 49, 20).round().astype(int)],
        fake[np.linspace(0, 89, 20).round().astype(int)],
    )
    assert report["kid"].value == pytest.approx(kernel_distance(a, b).value)
    assert report["diversity"].value == pytest.approx(diversity(b, a))
    assert report["fid"].value == pytest.approx(frechet_distance_of_features(real, fake))


def test_few_and_equal_images():
    real, fake = sets(3, 5)
    report = synthesis_report(real, fake)["all"]
    assert np.isfinite(report["fid"].value) and np.isnan(report["fid"].low)
    report = synthesis_report(np.ones((8, 3)), np.ones((8, 3)))["all"]
    assert report["fid"].value == 0 and report["fid"].low == 0
    assert np.isnan(report["diversity"].value) and report["diversity"].omitted == 1
    once = synthesis_report(*sets(5, 6), halves=20)["all"]  # halves of two and three images
    assert np.isfinite([tuple(one)[:3] for one in once.values()]).all()


def test_equal_arguments_give_equal_reports():
    assert synthesis_report(*sets(), seed=3) == synthesis_report(*sets(), seed=3)


def test_what_does_not_fit_is_said():
    real, fake = sets()
    for name, count in (("correct", 80), ("classes", 80), ("patients", 60)):
        with pytest.raises(ValueError, match=f"`{name}` must have {count} entries; received 7"):
            synthesis_report(real, fake, **{name: [1] * 7})
    with pytest.raises(ValueError, match="`memorisation` must have 80 entries; received 60"):
        synthesis_report(real, fake, memorisation=memorisation(real, fake, held_out=real))
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1; received 95"):
        synthesis_report(real, fake, level=95)
    with pytest.raises(ValueError, match="`halves` must be at least 2; received 1"):
        synthesis_report(real, fake, halves=1)
