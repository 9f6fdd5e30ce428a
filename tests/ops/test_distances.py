import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist

from kmed.ops.distances import METRICS, at_least_float32, pairwise_distances, unit_vectors

SCIPY = {"L2": "euclidean", "squared-L2": "sqeuclidean", "angular": "cosine"}


def vectors(count, dimension=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype("float32")


def gradients(metric, *variables):
    variables = [tf.Variable(v) for v in variables]
    with tf.GradientTape() as tape:
        distances = pairwise_distances(*variables, metric=metric)
        total = tf.reduce_sum(distances)
    return distances, [tf.convert_to_tensor(g) for g in tape.gradient(total, variables)]


@pytest.mark.parametrize("metric", METRICS)
def test_follows_scipy(metric):
    a, b = vectors(5), vectors(7, seed=1)
    expected = cdist(a.astype("float64"), b.astype("float64"), SCIPY[metric])
    np.testing.assert_allclose(pairwise_distances(a, b, metric), expected, rtol=1e-5, atol=1e-6)
    precise = pairwise_distances(a.astype("float64"), b.astype("float64"), metric)
    assert precise.dtype == "float64"
    np.testing.assert_allclose(precise, expected, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_equal_vectors_have_distance_and_gradient_zero(metric, dtype):
    a = tf.cast([[0.5, 0.25, 0.0], [0.5, 0.25, 0.0], [0.0, 0.0, 0.0]], dtype)
    distances, (of_a, of_b) = gradients(metric, a, a)
    assert distances.dtype == "float32"
    equal = [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    if metric == "angular":  # a vector of zeros has no angle
        equal[2][2] = 0
    np.testing.assert_allclose(np.where(equal, distances, 0), np.zeros((3, 3)), atol=1e-7)
    for gradient in (of_a, of_b):
        assert np.isfinite(np.array(tf.cast(gradient, "float32"))).all()
    alone = tf.cast([[0.5, 0.25]], dtype)
    _, found = gradients(metric, alone, alone)
    np.testing.assert_allclose(np.array(found, "float32"), np.zeros((2, 1, 2)), atol=1e-6)


def test_a_list_has_no_distance_to_itself():
    # Expanded squares of these differ by rounding, whose root would be 1e-3.
    a = 10 * vectors(40)
    for metric in ("L2", "squared-L2"):
        assert not np.diagonal(pairwise_distances(a, metric=metric)).any()
        assert not np.diagonal(pairwise_distances(a, a, metric)).any()
    np.testing.assert_allclose(pairwise_distances(a), cdist(a, a), rtol=1e-4, atol=1e-5)


def test_gradient_of_l2_is_the_direction():
    a, b = vectors(1), vectors(1, seed=1)
    _, (of_a, of_b) = gradients("L2", a, b)
    direction = (a - b) / np.linalg.norm(a - b)
    np.testing.assert_allclose(of_a, direction, rtol=1e-5)
    np.testing.assert_allclose(of_b, -direction, rtol=1e-5)


def test_squares_of_half_precision_do_not_overflow():
    a = tf.constant([[3000.0, 0.0]], "float16")
    b = tf.constant([[0.0, 4000.0]], "float16")
    np.testing.assert_allclose(pairwise_distances(a, b), [[5000.0]])
    np.testing.assert_allclose(pairwise_distances(a, b, "squared-L2"), [[25e6]])


def test_a_function_of_one_list_as_tensorflow_addons_has_it():
    def manhattan(x):
        return tf.reduce_sum(tf.abs(x[:, None] - x[None]), axis=-1)

    a, b = vectors(3), vectors(5, seed=1)
    expected = cdist(a, b, "cityblock")
    np.testing.assert_allclose(pairwise_distances(a, b, manhattan), expected, rtol=1e-5)
    own = pairwise_distances(a, metric=manhattan)
    np.testing.assert_allclose(own, cdist(a, a, "cityblock"), rtol=1e-5)


def test_unit_vectors_of_nothing_are_nothing():
    x = tf.Variable([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0]], dtype="float32")
    with tf.GradientTape() as tape:
        y = unit_vectors(x)
    np.testing.assert_allclose(y, [[0.6, 0.8], [0, 0], [0, 0]], rtol=1e-6, atol=1e-20)
    gradient = tape.gradient(y, x)
    assert np.isfinite(np.array(tf.cast(gradient, "float16"))).all()


def test_types():
    for dtype, wanted in (("bfloat16", "float32"), ("int32", "float32"), ("float64", "float64")):
        assert at_least_float32(tf.ones(2, dtype)).dtype == wanted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), np.ones((2, 4))), r"\(A, D\).*\(2, 3\) and \(2, 4\)"),
        ((np.ones(3), np.ones((2, 3))), r"received \(3,\)"),
        ((np.ones((2, 3)), None, "cosine"), "one of .*received 'cosine'"),
    ],
)
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        pairwise_distances(*arguments)
