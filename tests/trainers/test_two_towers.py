import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.applications.text_tower import text_tower
from kmed.layers.unit_length import UnitLength
from kmed.losses.infonce import InfoNCELoss
from kmed.losses.sigmoid_pairs import SigmoidLoss
from kmed.losses.triplet_all import TripletAllLoss
from kmed.ops.relations import relations
from kmed.trainers.checkpoints import Checkpoints
from kmed.trainers.two_towers import TwoTowers

FIELDS = {"key": "int32", "patient": "int32", "study": "int32", "label": "int32"}


def tower(name, dropout=0.0, normalization=False, decay=None, dimension=6):
    """A small network of images."""
    layers = keras.layers
    image = keras.Input((6, 6, 1))
    x = layers.Conv2D(16, 3, strides=2, kernel_regularizer=decay, name=f"{name}_conv")(image)
    if normalization:
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
    x = layers.Flatten()(layers.Activation("tanh")(x))
    x = layers.Dropout(dropout, seed=5)(x) if dropout else x
    x = layers.Dense(dimension, dtype="float32", name=f"{name}_embedding")(x)
    return keras.Model(image, UnitLength()(x), name=name)


def make(loss=None, optimizer=None, shared=False, options=None, **trainer):
    """A compiled trainer with the same weights every time."""
    keras.utils.set_random_seed(1)
    first = tower("one", **options or {})
    towers = {"t1": first, "t2": first if shared else tower("two", **options or {})}
    trainer = TwoTowers(towers, loss or InfoNCELoss(temperature=0.5), **trainer)
    trainer.compile(optimizer or keras.optimizers.SGD(0.1), jit_compile=False)
    return trainer


def pairs(count=8, seed=0):
    """Images that match with noise, three of each patient, 4 mm apart, with labels and without."""
    random = np.random.default_rng(seed)
    image = random.normal(size=(count, 6, 6, 1)).astype("float32")
    number = np.arange(count)
    label = np.where(number % 4 == 3, -1, number % 2)
    keys = {"key": number, "patient": number // 3, "study": number // 3, "label": label}
    keys = {name: keys[name].astype(type_) for name, type_ in FIELDS.items()}
    keys["position"] = (4.0 * number).astype("float32")
    x = {"t1": image, "t2": image + 0.3 * random.normal(size=image.shape).astype("float32")}
    return x, {"t1": keys, "t2": keys}


def values(variables):
    return [keras.ops.convert_to_numpy(variable).copy() for variable in variables]


def assert_equal(a, b, **tolerance):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, **tolerance or {"rtol": 1e-5, "atol": 1e-6})


def step_by_hand(trainer, x, y, rate, embed=None, **options):
    """Weights and loss of one plain step: everything on one tape, both directions."""
    with tf.GradientTape() as tape:
        rows = (embed or trainer)(x)
        losses = []
        for a, b in (("t1", "t2"), ("t2", "t1")):
            learned = {what: weight.value for what, weight in trainer.scalars.items()}
            found = relations(y[a], y[b], **options)
            losses.append(trainer.objective.cross(rows[a], rows[b], *found, **learned))
        loss = sum(losses) / 2 + sum(p for net in trainer._networks() for p in net.losses)
    weights = trainer.trainable_variables
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    after = [w - rate * g for w, g in zip(values(weights), gradients, strict=True)]
    return [np.array(value) for value in after], float(loss)


@pytest.mark.parametrize("chunks", [1, 3])
@pytest.mark.parametrize("loss", [InfoNCELoss, SigmoidLoss, TripletAllLoss])
def test_a_step_is_that_of_one_tape_over_the_whole_batch(loss, chunks):
    options = {"near_mm": 4.0, "same_patient": False}
    trainer = make(loss(), options={"decay": "l2"}, relations=options, chunks=chunks)
    trainer.run_eagerly = True
    x, y = pairs()
    expected, value = step_by_hand(trainer, x, y, 0.1, **options)
    logs = trainer.train_on_batch(x, y, return_dict=True)
    assert logs["loss"] == pytest.approx(value, rel=1e-5)
    assert_equal(values(trainer.trainable_variables), expected)
    assert ("scale" in logs) == ("log_scale" in trainer.objective.learnable)


def test_chunks_repeat_their_masks_of_dropout():
    trainer = make(options={"dropout": 0.5}, chunks=3)
    trainer.run_eagerly = True
    x, y = pairs()

    def in_chunks(x):
        parts = []
        for chunk, (begin, end) in enumerate(((0, 2), (2, 5), (5, 8))):
            trainer._reseed(chunk)
            part = {what: rows[begin:end] for what, rows in x.items()}
            parts.append(trainer(part, training=True))
        return {what: tf.concat([part[what] for part in parts], axis=0) for what in x}

    expected, _ = step_by_hand(trainer, x, y, 0.1, in_chunks)
    whole, _ = step_by_hand(trainer, x, y, 0.1)
    trainer.train_on_batch(x, y)
    after = values(trainer.trainable_variables)
    assert_equal(after, expected)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(after, whole, strict=True))


def test_masks_of_dropout_follow_from_the_seed_and_the_step():
    x, _ = pairs()
    first, second = (make(options={"dropout": 0.5}, seed=seed) for seed in (0, 1))

    def embedded(trainer, step, chunk=0):
        trainer.optimizer.iterations.assign(step)
        trainer._reseed(chunk)
        return np.array(trainer(x, training=True)["t1"])

    known = embedded(first, 7)
    for other in (embedded(first, 8), embedded(first, 7, 1), embedded(second, 7)):
        assert np.abs(other - known).max() > 0.01
    np.testing.assert_array_equal(embedded(first, 7), known)


def test_averages_of_batch_normalization_move_once_with_each_chunk():
    trainer = make(options={"normalization": True}, chunks=2)
    trainer.run_eagerly = True
    x, y = pairs()
    layer = trainer.towers["t2"].get_layer("two_norm")
    features = trainer.towers["t2"].get_layer("two_conv")(x["t2"])
    mean = np.zeros(16)
    for part in (features[:4], features[4:]):
        mean = 0.99 * mean + 0.01 * np.mean(part, axis=(0, 1, 2))
    trainer.train_on_batch(x, y)
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-4, atol=1e-7)


def test_a_shared_tower_has_the_gradients_of_both_and_stays_shared(tmp_path):
    trainer = make(shared=True, memory=4)
    trainer.run_eagerly = True
    x, y = pairs()
    expected, _ = step_by_hand(trainer, x, y, 0.1)
    trainer.train_on_batch(x, y)
    assert_equal(values(trainer.trainable_variables), expected)
    trainer.save(tmp_path / "trainer.keras")
    again = keras.saving.load_model(tmp_path / "trainer.keras")
    assert again.towers["t1"] is again.towers["t2"] and list(again.towers) == ["t1", "t2"]
    assert_equal(values(again.weights), values(trainer.weights), rtol=0)
    one, other = again.get_config(), trainer.get_config()
    assert one | {"towers": None} == other | {"towers": None}
    np.testing.assert_array_equal(again(x)["t2"], trainer(x)["t2"])


@pytest.mark.parametrize("direction", ["first", "second"])
def test_one_direction_has_the_anchors_of_one_modality(direction):
    trainer = make(TripletAllLoss(margin=0.5), directions=direction)
    x, y = pairs()
    rows = trainer(x)
    anchors, gallery = (rows["t1"], rows["t2"]) if direction == "first" else rows.values()
    if direction == "second":
        anchors, gallery = gallery, anchors
    same = np.eye(8, dtype=bool)
    distance = np.linalg.norm(anchors[:, None] - gallery[None], axis=-1)
    # Slices of one patient with one label are no counterexamples.
    patient, label = y["t1"]["patient"], y["t1"]["label"]
    excluded = (patient[:, None] == patient) & (label[:, None] == label) & (label >= 0)
    triplets = distance[same][:, None] - distance + 0.5
    triplets = triplets[~same & ~excluded]
    expected = triplets[triplets > 0].mean()
    assert trainer.test_on_batch(x, y, return_dict=True)["loss"] == pytest.approx(
        expected, rel=1e-5
    )


def test_past_embeddings_are_further_examples_from_a_step_on():
    trainer = make(memory=10, memory_start=2)
    past = {"t1": [], "t2": []}
    for step in range(4):
        x, y = pairs(6, seed=step)
        for keys in y.values():
            keys["key"] = keys["key"] + 4 * step  # two items of each batch come again
            keys["position"] = keys["position"] + np.float32(16 * step)
            keys["label"] = np.full(6, -1, "int32")
        scale = np.exp(trainer.scalars["log_scale"].numpy())
        rows = {what: np.array(value) for what, value in trainer(x).items()}
        now = {what: list(zip(rows[what], y[what]["key"], strict=True)) for what in x}
        entropies = []
        for a, b in (("t1", "t2"), ("t2", "t1")):
            gallery = now[b] + (past[b][-10:] if step >= 2 else [])
            for anchor, key in now[a]:
                logits = [scale * anchor @ vector for vector, _ in gallery]
                same = [
                    one for one, (_, other) in zip(logits, gallery, strict=True) if other == key
                ]
                entropies.append(np.log(np.sum(np.exp(logits))) - np.mean(same))
        for what, items in now.items():
            past[what] += items
        trainer.reset_metrics()
        logs = trainer.train_on_batch(x, y, return_dict=True)
        assert logs["loss"] == pytest.approx(np.mean(entropies), rel=1e-5)
        assert logs["scale"] == pytest.approx(np.exp(trainer.scalars["log_scale"].numpy()))
    assert trainer.test_on_batch(x, y, return_dict=True)["loss"] != logs["loss"]


def test_recall_counts_anchors_whose_match_is_nearer_than_all_counterexamples():
    trainer = make(shared=True)
    x, y = pairs()
    x["t2"] = x["t2"][[1, 0, 2, 3, 4, 5, 6, 7]]  # so that some are not found
    y["t1"] = y["t1"] | {"key": np.int32([0, 1, 2, 3, 4, 99, 6, 7])}  # one without a match
    similarity = trainer(x)["t1"].numpy() @ trainer(x)["t2"].numpy().T
    patient, label = y["t1"]["patient"], y["t1"]["label"]
    alike = (patient[:, None] == patient) & (label[:, None] == label) & (label >= 0)
    hits = []
    for scores, excluded in ((similarity, alike), (similarity.T, alike.T)):
        for i in (0, 1, 2, 3, 4, 6, 7):
            rivals = [scores[i, j] for j in range(8) if j != i and not excluded[i, j]]
            hits.append(scores[i, i] > max(rivals))
    logs = trainer.test_on_batch(x, y, return_dict=True)
    assert 0 < np.mean(hits) < 1
    assert logs["recall_at_1"] == pytest.approx(np.mean(hits))


def test_a_resumed_training_ends_where_a_whole_one_does(tmp_path):
    x, y = pairs(16)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)

    def train(folder, epochs):
        trainer = make(optimizer=keras.optimizers.Adam(0.01), options={"dropout": 0.5}, memory=12)
        saved = Checkpoints(tmp_path / folder, monitor="val_recall_at_1", mode="max")
        first = saved.restore(trainer)
        trainer.fit(
            data, validation_data=data, epochs=epochs, initial_epoch=first, shuffle=False,
            verbose=0, callbacks=[saved],
        )  # fmt: skip
        return trainer, saved

    whole, log = train("whole", 3)
    train("parts", 2)
    resumed, other = train("parts", 3)
    assert_equal(values(resumed.weights), values(whole.weights), rtol=0)
    assert resumed.memories["t1"].read()[2].numpy().sum() == 12
    losses = [[row["loss"] for row in one.rows] for one in (log, other)]
    assert losses[0] == losses[1]
    whole.load_weights(log.best_weights)


def test_text_and_images_meet():
    sentences = ["a bright lesion", "no lesion", "", "bright bright liver"]
    vectorize = keras.layers.TextVectorization(vocabulary=["lesion", "bright", "liver"],
                                               output_sequence_length=4)  # fmt: skip
    words = text_tower(vocabulary_size=5, length=4, dimension=6, width=8, heads=2, layers=1)
    string = keras.Input((), dtype="string")
    towers = {"image": tower("image"), "text": keras.Model(string, words(vectorize(string)))}
    trainer = TwoTowers(towers, InfoNCELoss(), chunks=2)
    trainer.compile(keras.optimizers.Adam(0.03), jit_compile=False)
    x, y = pairs(4)
    data = tf.data.Dataset.from_tensors(
        ({"image": x["t1"], "text": np.array(sentences)}, {"image": y["t1"], "text": y["t2"]})
    )
    history = trainer.fit(data.repeat(20), epochs=2, shuffle=False, verbose=0).history
    assert history["loss"][1] < 0.5 * history["loss"][0] and history["recall_at_1"][1] > 0.9
    found = trainer.predict({"text": tf.constant(sentences)}, verbose=0)
    assert found["text"].shape == (4, 6)


def test_float16_scales_the_loss_and_skips_what_overflows():
    keras.config.set_dtype_policy("mixed_float16")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 2.0**60)
    trainer = make(optimizer=optimizer, memory=8)
    assert isinstance(make().optimizer, keras.optimizers.LossScaleOptimizer)
    x, y = pairs()
    before = values(trainer.trainable_variables)
    trainer.run_eagerly = True
    trainer.train_on_batch(x, y)
    assert_equal(values(trainer.trainable_variables), before, rtol=0)
    assert float(optimizer.dynamic_scale) == 2.0**59
    optimizer.dynamic_scale.assign(256.0)
    logs = trainer.train_on_batch(x, y, return_dict=True)
    assert np.isfinite(logs["loss"]) and trainer(x)["t1"].dtype == "float32"
    # What a step in float32 does, whose memory the skipped step filled with the same.
    keras.config.set_dtype_policy("float32")
    reference = make(memory=8)
    reference.run_eagerly = True
    reference.train_on_batch(x, y)
    for weight, value in zip(reference.trainable_variables, before, strict=True):
        weight.assign(value)
    reference.train_on_batch(x, y)
    change, expected = (
        [a - b for a, b in zip(values(one.trainable_variables), before, strict=True)]
        for one in (trainer, reference)
    )
    assert_equal(change, expected, rtol=0.05, atol=2e-4)


def test_refuses_batches_without_a_modality_or_a_key():
    trainer = make()
    trainer.run_eagerly = True
    x, y = pairs()
    with pytest.raises(ValueError, match=r"`x` must be .*; received \['t1'\]"):
        trainer.train_on_batch({"t1": x["t1"]}, y)
    with pytest.raises(ValueError, match='`y."t1".` must have .* it lacks label'):
        trainer.train_on_batch(x, {what: {n: v for n, v in y[what].items() if n != "label"}
                                   for what in y})  # fmt: skip


def on_devices(path):
    """Train on one and on two logical processors, in each precision, and save what becomes."""
    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed.distribute import strategy, synchronize_batch_norm

    x, y = pairs(11)
    # Batches of eight and of three, which two replicas share as 4 + 4 and 2 + 1.
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    histories = {}
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        for devices in (1, 2):
            with strategy(devices).scope():
                optimizer = keras.optimizers.SGD(0.2, momentum=0.9)
                if policy == "mixed_float16":  # from where the whole batch does not overflow
                    optimizer = keras.optimizers.LossScaleOptimizer(optimizer, 64.0)
                normalized = {"normalization": policy == "float32", "decay": "l2"}
                trainer = make(
                    None, optimizer, options=normalized, memory=9, memory_start=1,
                    relations={"near_mm": 4.0},
                )  # fmt: skip
                for network in trainer.towers.values():
                    synchronize_batch_norm(network, devices)
            judged = data if policy == "float32" else None  # tracing takes most of the time
            history = trainer.fit(data, epochs=2, verbose=0, shuffle=False, validation_data=judged)
            histories[f"{policy}{devices}"] = history.history
            np.savez(f"{path}/{policy}{devices}.npz", *values(trainer.weights))
    print(json.dumps(histories))


def test_two_replicas_end_where_one_does(run_isolated, tmp_path):
    # oneDNN sums in an order that depends on the threads.
    env = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    printed = run_isolated(on_devices, str(tmp_path), env=env, timeout=900)
    histories = json.loads(printed.splitlines()[-1])
    # Half precision rounds the parts of a gradient, and their sum in another place.
    tolerances = {"float32": 1e-5, "mixed_float16": 2e-3}
    for policy, tolerance in tolerances.items():
        one, two = (histories[f"{policy}{devices}"] for devices in (1, 2))
        for name in one:
            np.testing.assert_allclose(two[name], one[name], rtol=tolerance, err_msg=name)
        with np.load(tmp_path / f"{policy}1.npz") as a, np.load(tmp_path / f"{policy}2.npz") as b:
            assert len(a.files) == len(b.files) > 20
            for name in a:
                np.testing.assert_allclose(b[name], a[name], rtol=tolerance, atol=tolerance)
