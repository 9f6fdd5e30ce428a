from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.adversarial import global_mean, place
from kmed.trainers.adversarial_trainer import AdversarialTrainer


def network(dropout=0.0):
    layers = keras.layers
    return keras.Sequential([keras.Input((3,)), layers.Dropout(dropout, seed=4), layers.Dense(3)])


def trainer(dropout=0.0, average=0.9, discriminators=1, seed=0):
    """A trainer of one generator and of one discriminator or none."""
    judges = {f"judge{i}": network() for i in range(discriminators)}
    names = ("generator_loss", "fake_accuracy")
    return AdversarialTrainer(
        {"maker": network(dropout)}, judges, loss="hinge", logged=names, average=average,
        seed=seed, name="trainer",
    )  # fmt: skip


def test_optimizers_are_those_of_the_paper_and_of_their_own_weights():
    made = trainer()
    made.compile(jit_compile=False)
    assert made.optimizer is made.generator_optimizer
    for optimizer in (made.generator_optimizer, made.discriminator_optimizer):
        assert (float(optimizer.learning_rate), optimizer.beta_1) == (float(np.float32(2e-4)), 0.5)
        assert optimizer.built and len(optimizer.variables) == 2 + 2 * 2
    assert made.generator_weights == made.generators["maker"].trainable_variables
    assert made.discriminator_weights == made.discriminators["judge0"].trainable_variables
    made.build_optimizers()  # a second time makes nothing
    assert len(made.generator_optimizer.variables) == 6
    alone = trainer(discriminators=0)
    alone.compile("sgd", jit_compile=False)
    assert alone.discriminator_optimizer is None
    one = keras.optimizers.Adam(name="same")
    with pytest.raises(ValueError, match="must be two objects, as each keeps .* 'same' twice"):
        made.compile(one, one)
    with pytest.raises(TypeError, match="learning_rate"):
        made.compile(learning_rate=3)


@pytest.mark.parametrize(("replicas", "expected"), [(1, "auto"), (2, False)])
def test_several_replicas_go_without_xla(monkeypatch, replicas, expected):
    made, seen = trainer(), {}
    monkeypatch.setattr(AdversarialTrainer, "build_optimizers", lambda self: None)
    monkeypatch.setattr(AdversarialTrainer, "optimizer", None, raising=False)
    monkeypatch.setattr(keras.Model, "compile", lambda self, **options: seen.update(options))
    strategy = SimpleNamespace(num_replicas_in_sync=replicas)
    monkeypatch.setattr(tf.distribute, "get_strategy", lambda: strategy)
    made.compile(keras.optimizers.SGD(), keras.optimizers.SGD(), jit_compile="auto")
    assert seen["jit_compile"] == expected


def test_float16_scales_both_losses():
    keras.config.set_dtype_policy("mixed_float16")
    made = trainer()
    keras.config.set_dtype_policy("float32")
    made.compile(jit_compile=False)
    kind = keras.optimizers.LossScaleOptimizer
    assert isinstance(made.generator_optimizer, kind)
    assert isinstance(made.discriminator_optimizer, kind)
    variables = len(made.generator_optimizer.variables)
    made.build_optimizers()
    assert len(made.generator_optimizer.variables) == variables


def test_masks_of_dropout_follow_from_the_seed_and_the_step():
    x = np.ones((4, 3), "float32")

    def made_at(step, seed=0):
        made = trainer(dropout=0.5, seed=seed)
        made.generators["maker"].set_weights([np.eye(3), np.zeros(3)])
        made.step.assign(step)
        assert int(made.begin()) == step and int(made.step.value) == step + 1
        return np.array(made.generators["maker"](x, training=True))

    known = made_at(3)
    np.testing.assert_array_equal(made_at(3), known)
    assert any(not np.array_equal(made_at(*other), known) for other in ((4,), (3, 1)))


def test_the_average_is_what_is_used_where_there_is_one():
    made = trainer()
    made.begin()
    before = made.averages["maker"].network.get_weights()[0]
    made.generators["maker"].set_weights([np.ones((3, 3)), np.ones(3)])
    made.end()
    used = made.inference_generator("maker")
    assert used is made.averages["maker"].network
    np.testing.assert_allclose(used.get_weights()[0], before + 9 / 11 * (1 - before), rtol=1e-5)
    plain = trainer(average=None)
    plain.end()
    assert plain.inference_generator("maker") is plain.generators["maker"]


def test_the_log_weighs_batches_by_their_rows():
    made = trainer()
    for values in ([1.0, 2.0, 3.0], [8.0]):
        mean = global_mean(tf.constant(values))
        parts = {"fake_accuracy": 0.5, "generator_loss": mean, "not_logged": mean}
        found = made.log(parts, place(tf.constant(values)))
    assert float(found["generator_loss"]) == 3.5 and float(found["fake_accuracy"]) == 0.5
    assert list(found) == ["generator_loss", "fake_accuracy"]
    assert [metric.name for metric in made.metrics] == list(found)
