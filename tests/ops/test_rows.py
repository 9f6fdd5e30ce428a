import numpy as np
import tensorflow as tf

from kmed.ops.rows import take_rows


def test_every_example_has_its_own_indices():
    random = np.random.default_rng(0)
    values, indices = random.normal(size=(3, 5, 2, 2)), random.integers(0, 5, (3, 7))
    expected = np.stack([v[i] for v, i in zip(values, indices, strict=True)])
    np.testing.assert_array_equal(take_rows(values, indices), expected)


def test_the_batch_may_be_unknown():
    spec = [tf.TensorSpec((None, 4), tf.float32), tf.TensorSpec((None, 2), tf.int64)]
    traced = tf.function(take_rows, input_signature=spec)
    values = np.arange(8, dtype="float32").reshape(2, 4)
    assert traced(values, [[0, 3], [1, 1]]).numpy().tolist() == [[0, 3], [5, 5]]
