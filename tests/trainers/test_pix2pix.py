import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.ops.structural_similarity import ssim
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.pix2pix import Pix2Pix

layers = keras.layers


def generator(channels=(1, 1), dropout=0.0):
    source = keras.Input((None, None, channels[0]))
    x = layers.Conv2D(16, 3, padding="same", activation="tanh", name="first")(source)
    x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Conv2D(channels[1], 3, padding="same", name="last")(x)
    image = layers.Activation("tanh", dtype="float32", name="image")(x)
    return keras.Model(source, image, name="generator")


def discriminator(channels=2, normalization=False):
    pair = keras.Input((None, None, channels))
    x = layers.Conv2D(16, 4, strides=2, padding="same", name="down")(pair)
    x = layers.BatchNormalization(momentum=0.9, name="norm")(x) if normalization else x
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2D(1, 3, padding="same", dtype="float32", name="logits")(x)
    return keras.Model(pair, x, name="discriminator")


def make(*, dropout=0.0, normalization=False, rates=(0.05, 0.3), baseline=False, **options):
    judge = None if baseline else discriminator(normalization=normalization)
    trainer = Pix2Pix(generator(dropout=dropout), judge, **options)
    optimizers = [keras.optimizers.SGD(rate, momentum=0.9) for rate in rates]
    trainer.compile(*optimizers, jit_compile=False)
    return trainer


def pairs(count=4, seed=0, size=8):
    random = np.random.default_rng(seed)
    source = np.tanh(random.normal(size=(count, size, size, 1))).astype("float32")
    return source, np.tanh(0.8 - 2 * source).astype("float32")


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def step_by_hand(trainer, source, real, rates=(0.05, 0.3), l1_weight=100.0):
    """Weights and log after the published step, written plainly for cross-entropy."""
    make_image, judge = trainer.generators["generator"], trainer.discriminators["discriminator"]
    entropy = tf.nn.sigmoid_cross_entropy_with_logits
    trainer.begin()  # sets the masks of dropout
    fake = make_image(source, training=True)
    weights = [weight.value for weight in judge.trainable_variables]
    with tf.GradientTape() as tape:
        on_fake = judge(tf.concat([source, tf.constant(fake.numpy())], -1), training=True)
        on_real = judge(tf.concat([source, real], -1), training=True)
        loss_d = tf.reduce_mean(entropy(tf.ones_like(on_real), on_real))
        loss_d = 0.5 * (loss_d + tf.reduce_mean(entropy(tf.zeros_like(on_fake), on_fake)))
    after = [w - rates[1] * g for w, g in zip(weights, tape.gradient(loss_d, weights), strict=True)]
    before, after = values(weights), values(after)
    for weight, value in zip(weights, after, strict=True):
        weight.assign(value)
    weights = [weight.value for weight in make_image.trainable_variables]
    trainer.step.assign(0)
    trainer.begin()
    with tf.GradientTape() as tape:
        again = make_image(source, training=True)
        np.testing.assert_array_equal(again, fake)
        logits = judge(tf.concat([source, again], -1), training=True)
        l1 = tf.reduce_mean(tf.abs(again - real))
        loss_g = tf.reduce_mean(entropy(tf.ones_like(logits), logits)) + l1_weight * l1
    gradients = tape.gradient(loss_g, weights)
    expected = values([w - rates[0] * g for w, g in zip(weights, gradients, strict=True)])
    for weight, value in zip(judge.trainable_variables, before, strict=True):
        weight.assign(value)
    trainer.step.assign(0)
    logs = {
        "generator_loss": loss_g,
        "discriminator_loss": loss_d,
        "l1_loss": l1,
        "real_accuracy": np.mean(on_real > 0),
        "fake_accuracy": np.mean(on_fake < 0),
    }
    return [*expected, *after], {name: float(value) for name, value in logs.items()}


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_step_is_the_published_one(dropout):
    # The discriminator first, with half its loss; the generator against the changed one; one
    # pass of the generator for both, whose masks of dropout are on.
    trainer = make(dropout=dropout)
    trainer.run_eagerly = True
    source, real = pairs()
    expected, logged = step_by_hand(trainer, source, real)
    logs = trainer.train_on_batch(source, real, return_dict=True)
    found = values([*trainer.generator_weights, *trainer.discriminator_weights])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert logs == pytest.approx(logged, rel=1e-5)
    assert trainer.step.numpy() == 1


def test_each_optimizer_changes_its_network_alone():
    source, real = pairs()
    for rates in ((0.0, 0.1), (0.1, 0.0)):
        trainer = make(rates=rates)
        trainer.run_eagerly = True
        sides = trainer.generator_weights, trainer.discriminator_weights
        before = [values(side) for side in sides]
        trainer.train_on_batch(source, real)
        for side, old, rate in zip(sides, before, rates, strict=True):
            changed = [np.abs(a - b).max() > 0 for a, b in zip(values(side), old, strict=True)]
            assert all(changed) if rate else not any(changed)


def test_batch_normalization_of_the_discriminator_sees_real_and_fake_apart():
    trainer = make(normalization=True, rates=(0.0, 0.0))
    trainer.run_eagerly = True
    source, real = pairs()
    judge = trainer.discriminators["discriminator"]
    fake = trainer.generators["generator"](source)
    mean = np.zeros(16)
    for image in (fake, real, fake):  # its own two batches, and the generator's turn
        features = judge.get_layer("down")(np.concatenate([source, image], -1))
        mean = 0.9 * mean + 0.1 * np.mean(features, axis=(0, 1, 2))
    trainer.train_on_batch(source, real)
    np.testing.assert_allclose(judge.get_layer("norm").moving_mean, mean, rtol=1e-4, atol=1e-6)


def test_terms_of_the_reconstruction_have_their_weights():
    source, real = pairs(3, size=12)
    trainer = make(average=0.5, l1_weight=3.0, ssim_weight=2.0, gradient_difference_weight=0.5)
    trainer.run_eagerly = True
    logs = trainer.test_on_batch(source, real, return_dict=True)
    fake = trainer.translate(source).numpy()
    assert logs["l1_loss"] == pytest.approx(np.abs(fake - real).mean(), rel=1e-5)
    edges = [abs(abs(np.diff(real, axis=i)) - abs(np.diff(fake, axis=i))).mean() for i in (1, 2)]
    assert logs["gradient_difference_loss"] == pytest.approx(sum(edges), rel=1e-5)
    similarity = [
        float(ssim(real[i : i + 1], fake[i : i + 1], data_range=2.0)[0]) for i in range(3)
    ]
    assert logs["ssim_loss"] == pytest.approx(1 - np.mean(similarity), rel=1e-4)
    logits = trainer.discriminators["discriminator"](np.concatenate([source, fake], -1))
    total = float(np.mean(np.logaddexp(0, -logits.numpy())))
    total += 3 * logs["l1_loss"] + 2 * logs["ssim_loss"] + logs["gradient_difference_loss"] / 2
    assert logs["generator_loss"] == pytest.approx(total, rel=1e-5)
    names = {"generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy", "l1_loss"}
    assert set(logs) == names | {"ssim_loss", "gradient_difference_loss"}
    # Terms without weight are not computed.
    assert set(make().trackers) == names


def test_without_a_discriminator_the_reconstruction_is_learnt():
    source, real = pairs(8)
    trainer = make(baseline=True, l1_weight=1.0, rates=(0.3, 0.0), average=0.9)
    history = trainer.fit(
        source, real, batch_size=8, epochs=25, verbose=0, validation_data=(source, real)
    ).history
    names = {"generator_loss", "l1_loss", "val_generator_loss", "val_l1_loss"}
    assert set(history) == names
    assert history["l1_loss"][-1] < 0.7 * history["l1_loss"][0]
    assert history["generator_loss"] == pytest.approx(history["l1_loss"])
    # What is judged is the average, and without dropout.
    mean = np.abs(trainer.averages["generator"].network(source) - real).mean()
    assert history["val_l1_loss"][-1] == pytest.approx(mean, rel=1e-4)
    assert history["val_l1_loss"][-1] != pytest.approx(np.abs(
        trainer.generators["generator"](source) - real).mean(), rel=1e-4)  # fmt: skip


def test_source_and_image_are_changed_alike_and_otherwise_in_each_call():
    source, real = pairs()
    trainer = make(augmentation=("translation",))
    seen = []
    judge = trainer.discriminators["discriminator"]

    class Watched:
        trainable_variables, losses, layers = judge.trainable_variables, [], judge.layers

        def __call__(self, pair, training):
            seen.append((np.array(pair), training))
            return judge(pair, training=training)

    trainer.run_eagerly = True
    trainer.discriminators = {"discriminator": Watched()}
    trainer._judge(source, source, tf_place(4), tf.constant(3), 0)
    trainer._judge(source, source, tf_place(4), tf.constant(3), 1)
    trainer._judge(source, real, tf_place(4), None, None)
    (first, training), (second, _), (plain, inference) = seen
    np.testing.assert_array_equal(first[..., 0], first[..., 1])
    assert np.abs(first[..., :1] - source).max() > 0.1 and np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(plain, np.concatenate([source, real], -1))
    assert training and not inference


def tf_place(count):
    from kmed.trainers.adversarial import place

    return place(tf.zeros(count))


def test_a_resumed_training_ends_where_a_whole_one_does(tmp_path):
    source, real = pairs(8)
    data = tf.data.Dataset.from_tensor_slices((source, real)).batch(4)

    def train(folder, epochs):
        keras.utils.set_random_seed(0)
        trainer = Pix2Pix(generator(dropout=0.5), discriminator(), average=0.9)
        trainer.compile(jit_compile=False)
        saved = Checkpoints(tmp_path / folder, monitor="val_l1_loss")
        first = saved.restore(trainer)
        trainer.fit(
            data, validation_data=data, epochs=epochs, initial_epoch=first, shuffle=False,
            verbose=0, callbacks=[saved],
        )  # fmt: skip
        state = [*trainer.weights, *trainer.generator_optimizer.variables]
        return values([*state, *trainer.discriminator_optimizer.variables]), saved

    whole, log = train("whole", 3)
    train("parts", 2)
    resumed, other = train("parts", 3)
    assert len(whole) == len(resumed) > 30
    for one, another in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, another)
    losses = [[row["generator_loss"] for row in one.rows] for one in (log, other)]
    assert losses[0] == losses[1]


def test_float16_stays_finite_and_learns():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = Pix2Pix(generator(), discriminator(), l1_weight=10.0)
    trainer.compile(jit_compile=False)
    source, real = pairs(4)
    data = tf.data.Dataset.from_tensors((source, real)).repeat(100)
    history = trainer.fit(data, epochs=2, verbose=0, shuffle=False).history
    assert np.isfinite([history[name] for name in history]).all()
    assert all(np.isfinite(value).all() for value in values(trainer.weights))
    assert history["l1_loss"][1] < history["l1_loss"][0]
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert trainer.translate(source).dtype == "float32"


def test_rebuilds_from_its_file(tmp_path):
    source, real = pairs()
    trainer = make(loss="hinge", ssim_weight=0.0, average=0.5, l1_weight=2.0, seed=3, name="t1_t2")
    trainer.run_eagerly = True
    trainer.train_on_batch(source, real)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    for one, other in zip(again.weights, trainer.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    names = ("l1_weight", "average", "seed", "name", "augmentation", "gradient_difference_weight")
    configs = again.get_config(), trainer.get_config()
    assert [configs[0][name] for name in names] == [configs[1][name] for name in names]
    assert type(again.objective) is type(trainer.objective)
    np.testing.assert_array_equal(again.translate(source), trainer.translate(source))


def test_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"must take 1 \+ 2 channels.* received one of 2"):
        Pix2Pix(generator((1, 2)), discriminator(2))
    with pytest.raises(ValueError, match="`ssim_weight` must be at least 0; received -1"):
        Pix2Pix(generator(), discriminator(), ssim_weight=-1.0)
    with pytest.raises(ValueError, match="without a discriminator a weight must be above 0"):
        Pix2Pix(generator(), l1_weight=0.0)
    with pytest.raises(ValueError, match="augmentation must be a sequence"):
        Pix2Pix(generator(), discriminator(), augmentation=("colour",))
    trainer = make()
    trainer.run_eagerly = True
    with pytest.raises(ValueError, match=r"a batch must be \(source .* and None"):
        trainer.train_on_batch(pairs()[0])


def on_devices(path):
    """Train on one and on two logical processors, and save what becomes."""
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy, synchronize_batch_norm

    # Batches of eight and of three, which two replicas share as 4 + 4 and 2 + 1.
    data = tf.data.Dataset.from_tensor_slices(pairs(11)).batch(8)
    histories = {}
    for devices in (1, 2):
        keras.utils.set_random_seed(1)
        with strategy(devices).scope():
            trainer = make(
                average=0.8, augmentation=("brightness", "translation"), l1_weight=5.0,
                gradient_difference_weight=0.5, normalization=True,
            )  # fmt: skip
            synchronize_batch_norm(trainer.discriminators["discriminator"], devices)
        history = trainer.fit(data, epochs=3, verbose=0, shuffle=False, validation_data=data)
        histories[devices] = history.history
        np.savez(f"{path}/{devices}.npz", *values(trainer.weights))
    print(json.dumps(histories))


def test_two_replicas_end_where_one_does(run_isolated, tmp_path):
    # oneDNN sums in an order that depends on the threads.
    printed = run_isolated(on_devices, str(tmp_path), env={"TF_ENABLE_ONEDNN_OPTS": "0"})
    one, two = json.loads(printed.splitlines()[-1]).values()
    assert "val_fake_accuracy" in one
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)
    with np.load(tmp_path / "1.npz") as a, np.load(tmp_path / "2.npz") as b:
        assert len(a.files) == len(b.files) >= 13
        for name in a:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-5, atol=1e-6)
