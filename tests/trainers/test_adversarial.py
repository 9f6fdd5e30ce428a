import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.adversarial import ADVERSARIAL
from kmed.trainers.adversarial import (
    checked_loss,
    global_mean,
    global_rows,
    penalties,
    place,
    right_share,
    update,
)


def test_random_rows_follow_from_the_seed_the_step_and_the_stream():
    where = place(tf.zeros((2000, 3)))

    def rows(step=5, seed=1, stream=2, draw="normal"):
        return np.array(global_rows((2,), where, step, seed=seed, stream=stream, draw=draw))

    known = rows()
    assert known.shape == (2000, 2) and abs(known.mean()) < 0.05 and abs(known.std() - 1) < 0.05
    np.testing.assert_array_equal(rows(step=tf.constant(5, "int64")), known)
    for other in (rows(step=6), rows(seed=2), rows(stream=3)):
        assert abs(np.corrcoef(other.ravel(), known.ravel())[0, 1]) < 0.1
    uniform = rows(draw="uniform")
    assert uniform.min() >= 0 and uniform.max() < 1 and abs(uniform.mean() - 0.5) < 0.03
    with pytest.raises(ValueError, match="`draw` must be one of .* received 'cauchy'"):
        rows(draw="cauchy")


def test_shares_of_what_is_called_right_are_those_of_the_logits():
    logits = tf.reshape(tf.constant([0.6, 0.4, -1.0, 2.0, 0.1, 0.2, 0.3, 0.4]), (2, 2, 2, 1))
    np.testing.assert_allclose(right_share(logits, True), [0.75, 1.0])
    np.testing.assert_allclose(right_share(logits, False), [0.25, 0.0])
    np.testing.assert_allclose(right_share(logits, True, 0.5), [0.5, 0.0])
    np.testing.assert_allclose(right_share(logits, False, 0.5), [0.5, 1.0])


def test_losses_have_names_or_are_objects():
    for name, kind in ADVERSARIAL.items():
        assert isinstance(checked_loss(name), kind)
    loss = ADVERSARIAL["hinge"]()
    assert checked_loss(loss) is loss
    for wrong in ("huber", 3, keras.losses.MeanSquaredError()):
        with pytest.raises(ValueError, match=r"`loss` must be one of \('cross_entropy', .*"):
            checked_loss(wrong)


def test_penalties_are_the_networks_regularisation():
    dense = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))
    network = keras.Sequential([keras.Input((2,)), dense])
    dense.kernel.assign([[1.0], [2.0]])
    assert float(penalties([network])) == pytest.approx(2.5)
    assert float(penalties([])) == 0


def test_an_update_trains_the_given_weights_alone():
    one, other = (keras.Variable([1.0]) for _ in range(2))
    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build([one])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(one.value * 3.0 + other.value * 5.0)
    update(optimizer, tape, loss, [one])
    assert float(one[0]) == pytest.approx(0.7) and float(other[0]) == 1.0


def on_two_devices():
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy

    two = strategy(2)
    dense = keras.layers.Dense(1, kernel_regularizer=keras.regularizers.L2(0.5))
    network = keras.Sequential([keras.Input((2,)), dense])
    dense.kernel.assign([[1.0], [2.0]])

    @tf.function
    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        count = 3 - 2 * replica  # three rows here, one there
        values = tf.cast(tf.range(count) + 10 * replica, "float32")
        where = place(values)
        numbers = global_rows((2,), where, 7, seed=3, stream=1)
        return where, global_mean(values), global_mean(values, where), numbers, penalties([network])

    found = two.run(step)
    parts = [
        tf.nest.map_structure(
            lambda value, i=i: two.experimental_local_results(value)[i].numpy(), found
        )
        for i in range(2)
    ]
    assert [tuple(part[0]) for part in parts] == [(0, 3, 4), (3, 1, 4)]
    assert [part[1] for part in parts] == [part[2] for part in parts] == [0.75, 2.5]
    whole = global_rows((2,), place(tf.zeros(4)), 7, seed=3, stream=1)
    np.testing.assert_array_equal(np.concatenate([part[3] for part in parts]), whole)
    assert [part[4] for part in parts] == [1.25, 1.25]


def test_two_replicas_draw_and_average_what_one_does(run_isolated):
    run_isolated(on_two_devices)
