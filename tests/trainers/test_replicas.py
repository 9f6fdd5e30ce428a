import keras
import numpy as np
import tensorflow as tf

from kmed.trainers.replicas import agreed, gathered


def test_one_replica_has_everything():
    values = {"a": tf.ones((2, 3))}
    rows, own = gathered(values)
    assert rows is values and own(rows) is values
    gradients = [tf.constant(np.inf), None]
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    assert agreed(gradients, scaled) == gradients


def on_two_devices():
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy

    two = strategy(2)
    plain, scaled = (lambda: keras.optimizers.SGD()), keras.optimizers.LossScaleOptimizer
    optimizers = plain(), scaled(plain())

    @tf.function
    def step():
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group
        count = 1 + 2 * replica  # one row here, three there
        values = {
            "vectors": tf.range(count)[:, None] + 10 * replica * tf.ones((1, 2), "int32"),
            "deeper": {"position": tf.fill([count], tf.cast(replica, "float32") + 0.5)},
        }
        rows, own = gathered(values)
        bad = tf.where(replica == 1, float("inf"), 1.0)
        agreements = [agreed([tf.ones(2), None, bad], one)[0] for one in optimizers]
        fine = agreed([tf.ones(2), tf.cast(replica, "float32")], optimizers[1])
        return values, rows, own(rows), agreements, fine

    found = two.run(step)
    parts = [
        tf.nest.map_structure(
            lambda value, i=i: two.experimental_local_results(value)[i].numpy(), found
        )
        for i in range(2)
    ]
    for replica, (values, rows, own, (unscaled, poisoned), fine) in enumerate(parts):
        assert rows["vectors"].tolist() == [[0, 0], [10, 10], [11, 11], [12, 12]]
        assert rows["deeper"]["position"].tolist() == [0.5, 1.5, 1.5, 1.5]
        assert own["vectors"].tolist() == values["vectors"].tolist()
        assert own["deeper"]["position"].tolist() == [replica + 0.5] * (1 + 2 * replica)
        assert unscaled.tolist() == [1, 1]
        # Replica 0's own gradients are finite, but it knows of the other's.
        assert np.isnan(poisoned).all()
        assert [value.tolist() for value in fine] == [[1, 1], replica]


def test_two_replicas_have_all_rows_and_know_of_each_others_overflow(run_isolated):
    run_isolated(on_two_devices)
