import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.adversarial import ADVERSARIAL
from kmed.trainers.adversarial import global_rows, place
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.dcgan import DCGAN

LATENT = 4


def generator(normalization=False, classes=None, decay=None):
    """Images of 8 x 8 x 1."""
    layers = keras.layers
    latent = keras.Input((LATENT,), name="latent")
    labels = keras.Input((), dtype="int32", name="labels")
    x = latent
    if classes:
        x = layers.Concatenate()([latent, layers.Embedding(classes, 3)(labels)])
    x = layers.Reshape((4, 4, 16))(layers.Dense(4 * 4 * 16, kernel_regularizer=decay)(x))
    x = layers.BatchNormalization(momentum=0.9, name="g_norm")(x) if normalization else x
    x = layers.Conv2DTranspose(16, 4, 2, "same", activation="relu")(x)
    x = layers.Conv2D(1, 3, padding="same", activation="tanh", dtype="float32")(x)
    return keras.Model({"latent": latent, "labels": labels} if classes else latent, x)


def discriminator(normalization=False, classes=None, decay=None):
    """Logits of these."""
    layers = keras.layers
    image = keras.Input((8, 8, 1), name="image")
    labels = keras.Input((), dtype="int32", name="labels")
    x = layers.Conv2D(16, 4, 2, "same", kernel_regularizer=decay)(image)
    x = layers.BatchNormalization(momentum=0.9, name="d_norm")(x) if normalization else x
    x = layers.Flatten()(layers.LeakyReLU(negative_slope=0.2)(x))
    if classes:
        x = layers.Concatenate()([x, layers.Embedding(classes, 3)(labels)])
    x = layers.Dense(1, dtype="float32")(x)
    return keras.Model({"image": image, "labels": labels} if classes else image, x)


def make(optimizers=None, networks=None, **options):
    """A compiled trainer with the same weights every time."""
    keras.utils.set_random_seed(1)
    trainer = DCGAN(generator(**networks or {}), discriminator(**networks or {}), **options)
    optimizers = optimizers or [keras.optimizers.SGD(0.05) for _ in range(2)]
    trainer.compile(*optimizers, jit_compile=False)
    return trainer


def eager(trainer):
    trainer.run_eagerly = True
    return trainer


def images(count=6, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 8, 8, 1)).astype("float32")


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def assert_equal(a, b, **tolerance):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, **tolerance or {"rtol": 1e-4, "atol": 1e-6})


def latents(trainer, count, step=0, turn=0):
    """What the step draws."""
    where = place(tf.zeros(count))
    return global_rows((LATENT,), where, step, seed=trainer.seed, stream=8 * turn)


def descend(network, loss, rate=0.05):
    """Plain gradient descent on one network's weights; gives the loss."""
    weights = network.trainable_variables
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [weight.value for weight in weights])
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.assign(weight - rate * tf.convert_to_tensor(gradient))
    return float(value)


def softplus(x):
    return tf.reduce_mean(tf.math.softplus(x))


def by_hand(trainer, real, inputs=lambda x: x):
    """The paper's step: the discriminator on real and on generated images, then the generator."""
    one, other = trainer.generator, trainer.discriminator
    real = tf.constant(real)
    latent = inputs(latents(trainer, len(real)), "latent")
    fake = tf.constant(one(latent, training=True))

    def judge(x):
        return other(inputs(x, "image"), training=True)

    def loss():
        return softplus(-judge(real)) + softplus(judge(fake)) + sum(other.losses)

    right = np.mean(judge(real) > 0), np.mean(judge(fake) < 0)
    on_discriminator = descend(other, loss)
    on_generator = descend(
        one, lambda: softplus(-judge(one(latent, training=True))) + sum(one.losses)
    )
    return (on_generator, on_discriminator, *right)


@pytest.mark.parametrize("classes", [None, 3])
def test_a_step_is_the_papers(classes):
    options = {"networks": {"classes": classes, "decay": "l2"}, "average": None, "seed": 5}
    trainer, other = eager(make(**options)), make(**options)
    labels = tf.range(6) % 3 if classes else None

    def inputs(x, name):
        return {name: x, "labels": labels} if classes else x

    expected = by_hand(other, images(), inputs)
    logs = trainer.train_on_batch(images(), labels, return_dict=True)
    names = ("generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy")
    np.testing.assert_allclose([logs[name] for name in names], expected, rtol=1e-4)
    assert_equal(values(trainer.generator.weights), values(other.generator.weights))
    assert_equal(values(trainer.discriminator.weights), values(other.discriminator.weights))
    assert int(trainer.step.value) == 1


def test_each_step_trains_one_network():
    before = make()
    rates = {"generator": (0.05, 0.0), "discriminator": (0.0, 0.05)}
    for moved, still in (("generator", "discriminator"), ("discriminator", "generator")):
        trainer = eager(make([keras.optimizers.SGD(rate) for rate in rates[moved]]))
        trainer.train_on_batch(images())
        assert_equal(values(getattr(trainer, still).weights),
                     values(getattr(before, still).weights), rtol=0)  # fmt: skip
        one, other = (values(getattr(which, moved).weights) for which in (trainer, before))
        assert all(np.abs(a - b).max() > 0 for a, b in zip(one, other, strict=True))


def test_real_and_generated_images_are_normalised_apart():
    trainer = eager(make(networks={"normalization": True}, average=None))
    reference = make(networks={"normalization": True}, average=None)
    # Each call sees one kind: real ones, generated ones, and these again in the generator's step.
    fake = reference.generator(latents(reference, 6), training=True)
    reference.discriminator(images(), training=True)
    reference.discriminator(fake, training=True)
    trainer.discriminator_optimizer.learning_rate = 0.0
    trainer.train_on_batch(images())
    reference.discriminator(fake, training=True)
    for network, name in (("generator", "g_norm"), ("discriminator", "d_norm")):
        one, other = (getattr(which, network).get_layer(name) for which in (trainer, reference))
        np.testing.assert_allclose(one.moving_mean, other.moving_mean, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(one.moving_variance, other.moving_variance, rtol=1e-4)


def test_the_penalty_is_that_of_the_paper():
    trainer = make(loss="wasserstein", gradient_penalty=10.0)
    real, fake = images(), images(seed=1)
    portion = np.random.default_rng(2).uniform(size=(6, 1, 1, 1)).astype("float32")
    found = trainer._penalty(tf.constant(real), fake, None, lambda what, shape: portion)
    # By differences in every one of the 64 values of a pixel, image by image.
    between = portion * real + (1 - portion) * fake
    expected = []
    for image in between:
        steps = np.eye(64, dtype="float32").reshape(64, 8, 8, 1) * 0.05
        up, down = (np.array(trainer.discriminator(image + s * steps)) for s in (1, -1))
        expected.append((np.linalg.norm((up - down) / 0.1) - 1) ** 2)
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.005)
    logs = eager(trainer).train_on_batch(real, return_dict=True)
    plain = eager(make(loss="wasserstein")).train_on_batch(real, return_dict=True)
    assert logs["discriminator_loss"] == pytest.approx(
        plain["discriminator_loss"] + 10 * logs["gradient_penalty"], rel=1e-4
    )
    assert "gradient_penalty" not in plain


def test_turns_of_the_discriminator_have_images_of_their_own():
    trainer = eager(make(discriminator_steps=3, loss="least_squares", average=None))
    other, real = make(loss="least_squares", average=None), images(9)
    judge = other.discriminator
    for turn in range(3):
        latent, part = latents(other, 3, turn=turn), real[turn::3]
        fake = tf.constant(other.generator(latent))
        descend(judge, lambda part=part, fake=fake: tf.reduce_mean((judge(part) - 1) ** 2)
                + tf.reduce_mean(judge(fake) ** 2))  # fmt: skip
    descend(other.generator, lambda: tf.reduce_mean((judge(other.generator(latent)) - 1) ** 2))
    trainer.train_on_batch(real)
    # One step for three turns, and nothing else has changed.
    assert_equal(values(trainer.discriminator.weights), values(judge.weights))
    assert int(trainer.generator_optimizer.iterations) == 1
    assert int(trainer.discriminator_optimizer.iterations) == 3


def test_augmentation_changes_what_the_discriminator_sees_and_lets_gradients_through():
    plain, changed = (
        eager(make(augmentation=names, average=None))
        for names in ((), ("brightness", "contrast", "translation", "cutout"))
    )
    logs = [one.train_on_batch(images(), return_dict=True) for one in (plain, changed)]
    assert logs[0]["discriminator_loss"] != logs[1]["discriminator_loss"]
    before, after = (values(one.generator.trainable_variables)[0] for one in (make(), changed))
    assert np.abs(after - before).max() > 0


def test_generates_with_the_average(tmp_path):
    trainer = make(networks={"classes": 3}, average=0.9)
    trainer.averages["generator"].network.set_weights(
        [0.5 * w for w in trainer.generator.get_weights()]
    )
    found = trainer.generate(labels=[0, 1, 2, 0, 1], seed=3, batch_size=2)
    latent = np.random.default_rng(3).standard_normal((5, LATENT)).astype("float32")
    again = trainer.generate(latent, np.array([0, 1, 2, 0, 1]))
    assert found.shape == (5, 8, 8, 1) and found.dtype == np.float32
    np.testing.assert_allclose(found, again, rtol=1e-5, atol=1e-6)
    # The first images are the same, however many there are; other classes have others.
    np.testing.assert_allclose(trainer.generate(labels=[0, 1], seed=3), found[:2], atol=1e-6)
    assert np.abs(trainer.generate(labels=[1, 1], seed=3)[0] - found[0]).max() > 1e-4
    x = {"latent": tf.constant(latent), "labels": tf.constant([0, 1, 2, 0, 1])}
    assert np.abs(trainer.generator(x) - found).max() > 1e-4
    np.testing.assert_allclose(trainer(x), found, atol=1e-6)
    with pytest.raises(ValueError, match="need `labels`"):
        trainer.generate(count=3)


def test_a_trainer_is_saved_whole(tmp_path):
    trainer = eager(make(None, {"classes": 3}, loss="hinge", average=0.9, seed=3))
    labels = np.arange(6) % 3
    trainer.train_on_batch(images(), labels)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    assert_equal(values(again.weights), values(trainer.weights), rtol=0)
    one, other = again.get_config(), trainer.get_config()
    networks = ("generator", "discriminator")
    assert {k: v for k, v in one.items() if k not in networks} == {
        k: v for k, v in other.items() if k not in networks
    }
    assert isinstance(again.objective, ADVERSARIAL["hinge"])
    logs = [eager(which).train_on_batch(images(), labels) for which in (trainer, again)]
    np.testing.assert_allclose(*logs, rtol=1e-6)


def test_a_resumed_training_ends_where_a_whole_one_does(tmp_path):
    data = tf.data.Dataset.from_tensor_slices(images(16)).batch(8)

    def train(folder, epochs):
        adam = [keras.optimizers.Adam(0.01, beta_1=0.5) for _ in range(2)]
        trainer = make(adam, {"normalization": True}, average=0.9)
        saved = Checkpoints(tmp_path / folder, monitor="generator_loss")
        first = saved.restore(trainer)
        trainer.fit(
            data, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0, callbacks=[saved]
        )
        return trainer, saved

    whole, log = train("whole", 3)
    train("parts", 2)
    resumed, other = train("parts", 3)
    for what in ("weights", "variables"):
        assert_equal(values(getattr(resumed, what)), values(getattr(whole, what)), rtol=0)
    for what in ("generator_optimizer", "discriminator_optimizer"):
        states = [values(getattr(one, what).variables) for one in (resumed, whole)]
        assert len(states[0]) > 10
        assert_equal(*states, rtol=0)
    assert int(resumed.step.value) == 6
    np.testing.assert_array_equal(resumed.generate(count=2), whole.generate(count=2))

    def without_time(rows):
        return [{name: row[name] for name in row if name != "seconds"} for row in rows]

    assert without_time(log.rows) == without_time(other.rows)
    whole.load_weights(log.best_weights)


def test_float16_stays_finite_and_skips_what_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    scaled = [
        keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3, beta_1=0.5), scale)
        for scale in (2.0**60, 2.0**15)
    ]
    trainer = make(scaled, {"classes": 3})
    before = values(trainer.generator.trainable_variables)
    trainer.train_on_batch(images(), np.arange(6) % 3)
    assert_equal(values(trainer.generator.trainable_variables), before, rtol=0)
    assert float(scaled[0].dynamic_scale) == 2.0**59
    scaled[0].dynamic_scale.assign(2.0**12)
    data = tf.data.Dataset.from_tensor_slices((images(8), np.arange(8) % 3)).batch(4).repeat()
    logs = trainer.fit(data, steps_per_epoch=100, epochs=2, verbose=0, shuffle=False).history
    assert np.isfinite([logs[name] for name in logs]).all()
    assert all(np.isfinite(value).all() for value in values(trainer.weights))
    # Nearly all were taken, and all count: the latent numbers of the next step are others.
    assert int(scaled[0].iterations) > 190 and int(trainer.step.value) == 201
    assert trainer.generate(labels=[2]).dtype == np.float32


def test_refuses_what_does_not_fit():
    trainer = eager(make())
    with pytest.raises(ValueError, match="take no `labels`"):
        trainer.train_on_batch(images(2), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"float32 in \[-1, 1\]"):
        trainer.train_on_batch(np.zeros((2, 8, 8, 1), "uint8"))
    with pytest.raises(ValueError, match="without batch normalisation"):
        make(networks={"normalization": True}, gradient_penalty=10.0)


def on_devices(path):
    """Train on one and on two logical processors, plain and with everything, and save."""
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy, synchronize_batch_norm

    # Batches of eight and of three, which two replicas share as 4 + 4 and 2 + 1.
    batches = (images(11), np.arange(11) % 3)
    changes = ("contrast", "translation")
    cases = {
        "penalty": (
            {"classes": 3, "decay": "l2"},
            {"loss": "wasserstein", "gradient_penalty": 10.0, "discriminator_steps": 2}
            | {"augmentation": changes},
        ),
        "normalized": ({"normalization": True}, {}),
    }
    histories = {}
    for case, (networks, options) in cases.items():
        given = batches if "classes" in networks else batches[0]
        data = tf.data.Dataset.from_tensor_slices(given).batch(8)
        for devices in (1, 2):
            with strategy(devices).scope():
                sgd = [keras.optimizers.SGD(0.01, momentum=0.5) for _ in range(2)]
                trainer = make(sgd, networks, average=0.9, **options)
                for network in (trainer.generator, trainer.discriminator):
                    synchronize_batch_norm(network, devices)
            history = trainer.fit(data, epochs=2, verbose=0, shuffle=False)
            histories[f"{case}{devices}"] = history.history
            np.savez(f"{path}/{case}{devices}.npz", *values(trainer.weights))
    print(json.dumps(histories))


def test_two_replicas_end_where_one_does(run_isolated, tmp_path):
    # oneDNN sums in an order that depends on the threads.
    env = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    printed = run_isolated(on_devices, str(tmp_path), env=env, timeout=900)
    histories = json.loads(printed.splitlines()[-1])
    assert len(histories) == 4
    for case in ("penalty", "normalized"):
        one, two = histories[f"{case}1"], histories[f"{case}2"]
        for name in one:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=f"{case} {name}")
        with np.load(tmp_path / f"{case}1.npz") as a, np.load(tmp_path / f"{case}2.npz") as b:
            assert len(a.files) == len(b.files) >= 20
            for name in a:
                np.testing.assert_allclose(b[name], a[name], rtol=1e-5, atol=1e-5, err_msg=case)
