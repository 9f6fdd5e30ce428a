import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.embedding_memory import KEY_TYPES, EmbeddingMemory


def batch(first, count):
    """Vectors and keys whose values tell when they came."""
    number = np.arange(first, first + count)
    vectors = np.stack([number, -number], axis=1).astype("float32")
    return vectors, {what: number.astype(type_) for what, type_ in KEY_TYPES.items()}


def held(memory):
    vectors, keys, known = (tf.nest.map_structure(np.array, part) for part in memory.read())
    for what in KEY_TYPES:
        assert keys[what].dtype == KEY_TYPES[what]
        np.testing.assert_array_equal(keys[what][known], vectors[known, 0])
    np.testing.assert_array_equal(vectors[known, 1], -vectors[known, 0])
    return vectors[known, 0].tolist()


def test_first_in_is_first_out():
    memory = EmbeddingMemory(5, 2)
    assert held(memory) == []
    memory.append(*batch(1, 3))
    assert held(memory) == [1, 2, 3]
    memory.append(*batch(4, 3))
    assert held(memory) == [2, 3, 4, 5, 6]
    memory.append(*batch(7, 12))  # more than it can hold
    assert held(memory) == [14, 15, 16, 17, 18]


def test_works_in_a_graph_of_unknown_batch_size():
    memory = EmbeddingMemory(3, 2)
    spec = tf.TensorSpec((None, 2)), {w: tf.TensorSpec((None,), t) for w, t in KEY_TYPES.items()}
    append = tf.function(memory.append, input_signature=spec)
    for first, count in ((1, 2), (3, 0), (3, 2)):
        vectors, keys = batch(first, count)
        append(tf.constant(vectors), {what: tf.constant(value) for what, value in keys.items()})
    assert held(memory) == [2, 3, 4]


def test_vectors_that_are_not_finite_are_not_examples():
    memory = EmbeddingMemory(4, 2)
    vectors, keys = batch(1, 3)
    vectors[1] = [np.inf, np.nan]
    memory.append(vectors, keys)
    assert held(memory) == [1, 3]
    assert np.isfinite(memory.read()[0]).all()


def test_is_part_of_the_weights_and_rebuilds_from_its_config():
    memory = EmbeddingMemory(4, 2, name="t1_memory")
    memory.append(*batch(1, 3))
    other = EmbeddingMemory.from_config(memory.get_config())
    assert other.name == "t1_memory" and held(other) == [] and not other.trainable_weights
    other.set_weights(memory.get_weights())
    assert held(other) == [1, 2, 3]


def test_refuses_to_hold_nothing():
    with pytest.raises(ValueError, match="at least 1; received 0 and 2"):
        EmbeddingMemory(0, 2)
