import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.trainers.adversarial import global_rows, place
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.cyclegan import CycleGAN

layers = keras.layers


def generator(name, channels=(1, 1), dropout=0.0):
    image = keras.Input((8, 8, channels[0]))
    x = layers.Conv2D(16, 3, padding="same", name=f"{name}_first")(image)
    x = layers.GroupNormalization(-1, epsilon=1e-5, center=False, scale=False)(x)
    x = layers.Activation("tanh")(x)
    x = layers.Dropout(dropout)(x) if dropout else x
    x = layers.Conv2D(channels[1], 3, padding="same", name=f"{name}_last")(x)
    x = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(image, x, name=name)


def discriminator(name, channels=1):
    image = keras.Input((8, 8, channels))
    x = layers.Conv2D(16, 4, strides=2, padding="same", name=f"{name}_down")(image)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2D(1, 3, padding="same", dtype="float32", name=f"{name}_logits")(x)
    return keras.Model(image, x, name=name)


RATES = 0.02, 0.1


def make(*, dropout=0.0, rates=RATES, optimizer=keras.optimizers.SGD, **options):
    trainer = CycleGAN(
        (generator("there", dropout=dropout), generator("back", dropout=dropout)),
        (discriminator("of_ct"), discriminator("of_t2")),
        **{"modalities": ("ct", "t2"), "buffer": 3} | options,
    )
    trainer.compile(*(optimizer(rate) for rate in rates), jit_compile=False)
    return trainer


def images(count=4, seed=0):
    random = np.random.default_rng(seed)
    ct, t2 = (random.normal(size=(count, 8, 8, 1)) for _ in range(2))
    return np.tanh(ct).astype("float32"), np.tanh(2 - t2).astype("float32")


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def mean(tensor):
    return tf.reduce_mean(tensor)


def step_by_hand(trainer, a, b, identity, shown):
    """Weights and log after the published step, written plainly; `shown` gives earlier fakes."""
    there, back = trainer.generators["ct_to_t2"], trainer.generators["t2_to_ct"]
    of_a, of_b = trainer.discriminators["ct"], trainer.discriminators["t2"]
    weights = [w.value for net in (there, back) for w in net.trainable_variables]
    with tf.GradientTape() as tape:
        fake_b, fake_a = there(a), back(b)
        cycle_a, cycle_b = mean(abs(back(fake_b) - a)), mean(abs(there(fake_a) - b))
        same_a, same_b = mean(abs(back(a) - a)), mean(abs(there(b) - b))
        fool_a, fool_b = mean((of_a(fake_a) - 1) ** 2), mean((of_b(fake_b) - 1) ** 2)
        loss_g = fool_a + fool_b + 10 * (cycle_a + cycle_b) + 10 * identity * (same_a + same_b)
    slopes = tape.gradient(loss_g, weights)
    expected = [w - RATES[0] * slope for w, slope in zip(weights, slopes, strict=True)]
    weights = [w.value for net in (of_a, of_b) for w in net.trainable_variables]
    seen_a, seen_b = shown("ct", fake_a.numpy()), shown("t2", fake_b.numpy())
    with tf.GradientTape() as tape:
        loss_a = 0.5 * (mean((of_a(a) - 1) ** 2) + mean(of_a(seen_a) ** 2))
        loss_b = 0.5 * (mean((of_b(b) - 1) ** 2) + mean(of_b(seen_b) ** 2))
        loss_d = loss_a + loss_b
    slopes = tape.gradient(loss_d, weights)
    expected += [w - RATES[1] * slope for w, slope in zip(weights, slopes, strict=True)]
    logs = {
        "generator_loss": loss_g,
        "discriminator_loss": loss_d,
        "cycle_loss": (cycle_a + cycle_b) / 2,
        "real_accuracy": np.mean([of_a(a) > 0.5, of_b(b) > 0.5]),
        "fake_accuracy": np.mean([of_a(seen_a) < 0.5, of_b(seen_b) < 0.5]),
    }
    if identity:
        logs["identity_loss"] = (same_a + same_b) / 2
    return values(expected), {name: float(value) for name, value in logs.items()}


@pytest.mark.parametrize("identity", [0.5, 0.0])
def test_a_step_is_the_published_one(identity):
    trainer = make(identity_weight=identity, seed=5)
    trainer.run_eagerly = True
    held = {"ct": [], "t2": []}
    for step in range(3):  # a buffer of three is filled by the first step

        def shown(modality, fakes, step=step):
            draws = global_rows(
                (2,), place(fakes), step, seed=5, stream=("ct", "t2").index(modality),
                draw="uniform",
            ).numpy()  # fmt: skip
            result, past = [], held[modality]
            for fake, (exchange, which) in zip(fakes, draws, strict=True):
                if len(past) < 3:
                    past.append(fake)
                elif exchange >= 0.5:
                    fake, past[int(3 * which)] = past[int(3 * which)], fake
                result.append(fake)
            return np.stack(result)

        a, b = images(2, seed=step)
        expected, logged = step_by_hand(trainer, a, b, identity, shown)
        trainer.reset_metrics()
        logs = trainer.train_on_batch(a, b, return_dict=True)
        found = values([*trainer.generator_weights, *trainer.discriminator_weights])
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
        assert logs == pytest.approx(logged, rel=1e-5)
        for modality, buffer in trainer.buffers.items():
            np.testing.assert_allclose(
                buffer.images[: len(held[modality])], held[modality], rtol=1e-5, atol=1e-6
            )


def test_each_optimizer_changes_its_networks_alone():
    for rates in ((0.0, 0.1), (0.1, 0.0)):
        trainer = make(rates=rates)
        trainer.run_eagerly = True
        sides = trainer.generator_weights, trainer.discriminator_weights
        before = [values(side) for side in sides]
        trainer.train_on_batch(*images())
        for side, old, rate in zip(sides, before, rates, strict=True):
            found = values(side)
            # The instance norm takes away the bias before it, whose gradient is rounding.
            changed = [np.abs(x - y).max() > 1e-8 for x, y in zip(found, old, strict=True)]
            assert sum(changed) >= len(side) - 2 if rate else not any(changed)


def test_discriminators_judge_fakes_of_their_own_modality_and_no_copy_without_a_buffer():
    trainer = make(buffer=0, rates=(0.0, 0.0))
    trainer.run_eagerly = True
    a, b = images()
    logs = trainer.train_on_batch(a, b, return_dict=True)
    fake_a, fake_b = trainer.translate(b, "t2_to_ct"), trainer.translate(a, "ct_to_t2")
    of_a, of_b = trainer.discriminators["ct"], trainer.discriminators["t2"]
    terms = [(of_a(a) - 1) ** 2, of_a(fake_a) ** 2, (of_b(b) - 1) ** 2, of_b(fake_b) ** 2]
    expected = sum(float(mean(term)) for term in terms) / 2
    assert logs["discriminator_loss"] == pytest.approx(expected, rel=1e-5)
    assert not trainer.buffers["ct"].weights
    # The same is what validation logs, and of what augmentation does not change.
    trainer.augmentation = ("translation",)
    assert trainer.test_on_batch(a, b, return_dict=True) == pytest.approx(
        {name: float(value) for name, value in logs.items()}, rel=1e-5
    )
    changed = trainer.train_on_batch(a, b, return_dict=True)
    assert abs(changed["discriminator_loss"] - expected) > 1e-5


def test_averages_of_both_generators_translate():
    trainer = make(average=0.5)
    trainer.run_eagerly = True
    a, b = images()
    trainer.train_on_batch(a, b)
    for way, x in (("ct_to_t2", a), ("t2_to_ct", b)):
        averaged = trainer.averages[way].network
        assert trainer.inference_generator(way) is averaged
        found = trainer.translate(x, way)
        np.testing.assert_array_equal(found, averaged(x))
        assert np.abs(found - trainer.generators[way](x)).max() > 1e-4
    assert set(trainer({"ct": a})) == {"ct_to_t2"}
    with pytest.raises(ValueError, match=r"`direction` must be one of .*ct_to_t2.* received 't2'"):
        trainer.translate(a, "t2")


def test_a_resumed_training_ends_where_a_whole_one_does(tmp_path):
    data = tf.data.Dataset.from_tensor_slices(images(4)).batch(2)

    def train(folder, epochs):
        keras.utils.set_random_seed(0)
        trainer = make(dropout=0.3, average=0.9, optimizer=keras.optimizers.Adam)
        trainer.run_eagerly = True  # tracing thrice would take most of the time
        saved = Checkpoints(tmp_path / folder, monitor="cycle_loss")
        first = saved.restore(trainer)
        trainer.fit(
            data, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0, callbacks=[saved]
        )
        state = [*trainer.weights, *trainer.generator_optimizer.variables]
        return values([*state, *trainer.discriminator_optimizer.variables]), saved

    whole, log = train("whole", 3)
    train("parts", 2)
    resumed, other = train("parts", 3)
    assert len(whole) == len(resumed) > 60
    for one, another in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, another)
    losses = [[row["generator_loss"] for row in one.rows] for one in (log, other)]
    assert losses[0] == losses[1]


def test_float16_stays_finite_and_learns():
    keras.config.set_dtype_policy("mixed_float16")
    trainer = make(optimizer=keras.optimizers.Adam, rates=(2e-3, 2e-3))
    data = tf.data.Dataset.from_tensors(images(2)).repeat(100)
    history = trainer.fit(data, epochs=2, verbose=0, shuffle=False).history
    assert np.isfinite([history[name] for name in history]).all()
    assert all(np.isfinite(value).all() for value in values(trainer.weights))
    assert history["cycle_loss"][1] < history["cycle_loss"][0]
    for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert trainer.translate(images()[0], "ct_to_t2").dtype == "float32"


def test_rebuilds_from_its_file(tmp_path):
    trainer = make(average=0.5, loss="hinge", cycle_weight=3.0, identity_weight=0.25, seed=2)
    trainer.run_eagerly = True
    a, b = images()
    trainer.train_on_batch(a, b)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    for one, other in zip(again.weights, trainer.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.buffers["t2"].filled.numpy() == 3
    parts = {"generators": None, "discriminators": None}
    assert again.get_config() | parts == trainer.get_config() | parts
    for way, x in (("ct_to_t2", a), ("t2_to_ct", b)):
        np.testing.assert_array_equal(again.translate(x, way), trainer.translate(x, way))


def test_networks_may_be_given_by_name():
    there, back = generator("there", (1, 3)), generator("back", (3, 1))
    of_t2, of_ct = discriminator("of_t2", 3), discriminator("of_ct", 1)
    trainer = CycleGAN(
        {"t2_to_ct": back, "ct_to_t2": there}, {"t2": of_t2, "ct": of_ct},
        modalities=("ct", "t2"), identity_weight=0.0,
    )  # fmt: skip
    assert list(trainer.generators) == ["ct_to_t2", "t2_to_ct"]
    assert trainer.buffers["t2"].images.shape == (50, 8, 8, 3)
    with pytest.raises(ValueError, match="`identity_weight` needs modalities of as many channels"):
        CycleGAN((there, back), (of_ct, of_t2), modalities=("ct", "t2"))


def on_devices(path):
    """Train on one and on two logical processors, and save what becomes."""
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy

    # Batches of four and of three, which two replicas share as 2 + 2 and 2 + 1.
    data = tf.data.Dataset.from_tensor_slices(images(7)).batch(4)
    histories = {}
    for devices in (1, 2):
        keras.utils.set_random_seed(1)
        with strategy(devices).scope():
            trainer = make(average=0.8, buffer=5, augmentation=("brightness", "translation"))
        histories[devices] = trainer.fit(data, epochs=3, verbose=0, shuffle=False).history
        np.savez(f"{path}/{devices}.npz", *values(trainer.weights))
    print(json.dumps(histories))


def test_two_replicas_end_where_one_does(run_isolated, tmp_path):
    # oneDNN sums in an order that depends on the threads.
    printed = run_isolated(on_devices, str(tmp_path), env={"TF_ENABLE_ONEDNN_OPTS": "0"})
    one, two = json.loads(printed.splitlines()[-1]).values()
    assert "identity_loss" in one
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)
    with np.load(tmp_path / "1.npz") as a, np.load(tmp_path / "2.npz") as b:
        assert len(a.files) == len(b.files) > 25
        for name in a:
            np.testing.assert_allclose(b[name], a[name], rtol=1e-5, atol=1e-6)
