import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.gradient_cache import cached, recorded


def problem():
    """A network with a table of words, one unused weight, and a counter of its runs."""
    random = np.random.default_rng(0)
    table = tf.Variable(random.normal(size=(5, 4)), dtype="float32")
    kernel = tf.Variable(random.normal(size=(4, 3)), dtype="float32")
    unused = tf.Variable(1.0)
    x = {"ids": tf.constant(random.integers(0, 5, (7,))), "shift": tf.ones((7, 1))}
    runs = []

    def embed(x, chunk):
        runs.append((chunk, len(x["ids"])))
        y = tf.tanh(tf.gather(table, x["ids"]) @ kernel + x["shift"])
        return {"y": y, "z": y[:, :1] ** 2}, [0.25 * tf.reduce_sum(kernel**2)]

    wanted = {"y": random.normal(size=(7, 3)), "z": random.normal(size=(7, 1))}
    wanted = {name: tf.constant(value, "float32") for name, value in wanted.items()}
    return embed, x, [table, kernel, unused], wanted, runs


def gradients(embed, x, weights, wanted, penalty):
    with tf.GradientTape() as tape:
        outputs, penalties = embed(x, 0)
        loss = sum(tf.reduce_sum(outputs[name] * wanted[name]) for name in wanted)
        loss += penalty * sum(penalties)
    found = tape.gradient(loss, weights)
    return [None if g is None else tf.convert_to_tensor(g) for g in found]


def test_recorded_gives_the_gradients_of_one_tape():
    embed, x, weights, wanted, _ = problem()
    outputs, backward = recorded(embed, x, weights)
    assert set(outputs) == {"y", "z"}
    found, expected = backward(wanted), gradients(embed, x, weights, wanted, 1.0)
    assert found[2] is None and expected[2] is None
    for a, b in zip(found[:2], expected[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("graph", [False, True])
def test_cached_gives_the_same_in_chunks(graph):
    embed, x, weights, wanted, runs = problem()
    expected = gradients(embed, x, weights, wanted, 3.0)  # added once with each chunk
    runs.clear()
    averages = keras.Variable(0.0, trainable=False)

    def moving(x, chunk):
        averages.assign_add(1.0)
        return embed(x, chunk)

    def both():
        outputs, backward = cached(moving, x, weights, [averages], 3)
        return outputs, backward(wanted)[:2]

    outputs, found = (tf.function(both) if graph else both)()
    for a, b in zip(found, expected[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    for name, value in embed(x, 0)[0].items():
        np.testing.assert_allclose(outputs[name], value, rtol=1e-6)
    # Each chunk twice; what a run changes is changed as by one run over all of them.
    assert runs[:6] == [(0, 2), (1, 2), (2, 3)] * 2
    assert averages.numpy() == 3


def test_chunks_of_a_graph_run_one_behind_the_other():
    embed, x, weights, _, _ = problem()

    @tf.function
    def both():
        outputs, backward = cached(embed, x, weights, [], 3)
        return backward({name: 2 * value for name, value in outputs.items()})[:2]

    graph = both.get_concrete_function().graph
    tanh = [one for one in graph.get_operations() if one.type == "Tanh"]
    assert len(tanh) == 6

    def before(operation):
        seen, todo = set(), [operation]
        while todo:
            one = todo.pop()
            for source in [*one.control_inputs, *(tensor.op for tensor in one.inputs)]:
                if source.name not in seen:
                    seen.add(source.name)
                    todo.append(source)
        return seen

    for earlier, later in zip(tanh[:-1], tanh[1:], strict=True):
        assert earlier.name in before(later)


def test_refuses_more_chunks_than_rows():
    embed, x, weights, _, _ = problem()
    with pytest.raises(ValueError, match="a row for each of the 8 chunks; received 7"):
        cached(embed, x, weights, [], 8)

    @tf.function(input_signature=[tf.TensorSpec((None,), "int64"), tf.TensorSpec((None, 1))])
    def unknown(ids, shift):
        return cached(embed, {"ids": ids, "shift": shift}, weights, [], 8)[0]

    with pytest.raises(tf.errors.InvalidArgumentError, match="a row for each of the 8 chunks"):
        unknown(*x.values())
