import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from kmed.metrics.frechet import frechet_distance, frechet_distance_of_features


def published(mean1, covariance1, mean2, covariance2):
    """As Heusel's program and its ports have it: a general root of the product."""
    root = sqrtm(covariance1 @ covariance2)
    difference = mean1 - mean2
    return difference @ difference + np.trace(covariance1 + covariance2 - 2 * np.real(root))


def tables(count=300, size=12, seed=0):
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(count, size)) @ rng.normal(size=(size, size)) + 3
    fake = rng.normal(size=(count + 50, size)) @ rng.normal(size=(size, size))
    return real, fake


def test_closed_forms():
    """One dimension; equal eigenvectors: the sum of `(sqrt(a) - sqrt(b))^2`; a shift."""
    assert frechet_distance([1.0], [[9.0]], [5.0], [[4.0]]) == pytest.approx(16 + 1)
    axes = ortho_group.rvs(5, random_state=0)
    a, b = np.array([1.0, 2, 3, 4, 0]), np.array([4.0, 2, 0, 1, 9])
    found = frechet_distance(np.zeros(5), axes * a @ axes.T, np.ones(5), axes * b @ axes.T)
    assert found == pytest.approx(5 + np.square(np.sqrt(a) - np.sqrt(b)).sum(), rel=1e-7)
    real, _ = tables()
    assert frechet_distance_of_features(real, real + 2) == pytest.approx(12 * 4)
    assert frechet_distance_of_features(real, real) == pytest.approx(0, abs=1e-9)


def test_published_formula():
    real, fake = tables()
    of = real.mean(0), np.cov(real, rowvar=False), fake.mean(0), np.cov(fake, rowvar=False)
    expected = published(*of)
    assert frechet_distance(*of) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance_of_features(real, fake) == pytest.approx(expected, rel=1e-9)
    given = frechet_distance_of_features(real.astype("float32"), fake.astype("float32"))
    assert given == pytest.approx(expected, rel=1e-5)


def test_fewer_images_than_features():
    """Where a general root of the singular product is inaccurate."""
    real, fake = tables(10, 40)
    real, fake = real[:10], fake[:7]
    of = real.mean(0), np.cov(real, rowvar=False), fake.mean(0), np.cov(fake, rowvar=False)
    found = frechet_distance_of_features(real, fake)
    assert found == pytest.approx(frechet_distance(*of), rel=1e-6)
    turned = ortho_group.rvs(40, random_state=1)
    assert frechet_distance_of_features(real @ turned, fake @ turned) == pytest.approx(found)


def test_symmetric_and_biased_by_few_images():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 4000, 16))
    assert frechet_distance_of_features(fake, real) == pytest.approx(
        frechet_distance_of_features(real, fake)
    )
    values = [frechet_distance_of_features(real[:n], fake[:n]) for n in (50, 500, 4000)]
    assert values[0] > 5 * values[1] > 20 * values[2]  # the truth is 0


def test_what_does_not_fit_is_said():
    real, fake = tables()
    with pytest.raises(ValueError, match=r"received \(300, 12\) and \(350, 11\)"):
        frechet_distance_of_features(real, fake[:, 1:])
    with pytest.raises(ValueError, match=r"\(N, F\).*received \(300,\)"):
        frechet_distance_of_features(real[:, 0], fake)
    with pytest.raises(ValueError, match="received 300 and 1"):
        frechet_distance_of_features(real, fake[:1])
    fake[3] = np.inf
    with pytest.raises(ValueError, match="`fake` must be finite; 1 of 350 rows are not"):
        frechet_distance_of_features(real, fake)
    eye = np.eye(2)
    with pytest.raises(ValueError, match=r"received \(2,\), \(2, 2\), \(2,\) and \(3, 3\)"):
        frechet_distance([0, 0], eye, [0, 0], np.eye(3))
    with pytest.raises(ValueError, match="`covariance1` must be symmetric"):
        frechet_distance([0, 0], [[1, 2], [0, 1]], [0, 0], eye)
    for name, pair in (("covariance1", (-eye, eye)), ("covariance2", (eye, -eye))):
        with pytest.raises(ValueError, match=f"`{name}` must be a covariance; its smallest"):
            frechet_distance([0, 0], pair[0], [0, 0], pair[1])
    with pytest.raises(ValueError, match="`mean1`"):
        frechet_distance([0, np.nan], eye, [0, 0], eye)
