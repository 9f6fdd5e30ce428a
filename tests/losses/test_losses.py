"""What every segmentation loss must do, and MONAI's values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed import losses

ALL = [
    losses.BorderWeightedCrossEntropy,
    losses.DiceCrossEntropy,
    losses.Focal,
    losses.GeneralizedDice,
    losses.SoftDice,
    losses.Tversky,
]
OVERLAP = [losses.DiceCrossEntropy, losses.GeneralizedDice, losses.SoftDice, losses.Tversky]
VOXELWISE = [losses.BorderWeightedCrossEntropy, losses.DiceCrossEntropy, losses.Focal]


def batch(classes=3, shape=(2, 6, 5), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), shape).astype("uint8")
    return labels, rng.normal(size=(*shape, classes)).astype("float32")


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    ("loss", "golden"),
    [
        (losses.SoftDice(include_background=True, absent="formula"), "dice_loss"),
        (losses.DiceCrossEntropy(include_background=True, absent="formula"), "dice_ce_loss"),
        (losses.GeneralizedDice(smooth=1e-5), "generalized_dice_loss"),
        (losses.Tversky(include_background=True, absent="formula"), "tversky_loss_0.3_0.7"),
    ],
)
def test_equals_monai(goldens, loss, golden):
    values = np.load(goldens / "monai.npz")
    logits = np.moveaxis(values["logits_nchw"], 1, -1)
    labels = values["labels_n1hw"][:, 0]
    assert float(loss(labels, logits)) == pytest.approx(float(values[golden]), abs=1e-6)


def test_generalized_dice_differs_from_monai_only_by_its_constant(goldens):
    values = np.load(goldens / "monai.npz")
    logits = np.moveaxis(values["logits_nchw"], 1, -1)
    ours = float(losses.GeneralizedDice()(values["labels_n1hw"][:, 0], logits))
    assert 1e-5 < abs(ours - float(values["generalized_dice_loss"])) < 1e-3
    # 64^3 voxels, half of them in each class, logits that tell nothing: the Dice is 1/2, and
    # MONAI's constant hides it.
    labels = np.zeros((1, 64, 64, 64), "uint8")
    labels[:, :32] = 1
    flat = np.zeros((1, 64, 64, 64, 2), "float32")
    assert float(losses.GeneralizedDice()(labels, flat)) == pytest.approx(0.5, abs=1e-4)
    assert float(losses.GeneralizedDice(smooth=1e-5)(labels, flat)) < 0.35


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("classes", [1, 2, 4])
@pytest.mark.parametrize("shape", [(3, 6, 5), (3, 4, 6, 5)])
def test_one_value_per_example_whatever_the_layout_of_labels(loss, classes, shape):
    labels, logits = batch(classes, shape)
    values = loss(reduction=None)(labels, logits)
    assert tuple(values.shape) == (3,)
    np.testing.assert_allclose(loss(reduction=None)(labels[..., None], logits), values)
    alone = [float(loss()(labels[i : i + 1], logits[i : i + 1])) for i in range(3)]
    np.testing.assert_allclose(values, alone, rtol=1e-5)
    assert float(loss()(labels, logits)) == pytest.approx(np.mean(alone), rel=1e-5)
    weighted = loss()(labels, logits, sample_weight=np.array([1.0, 0.0, 2.0]))
    assert float(weighted) == pytest.approx((alone[0] + 2 * alone[2]) / 3, rel=1e-5)


@pytest.mark.parametrize("loss", ALL)
def test_one_logit_equals_two_with_the_same_difference(loss):
    labels, logits = batch(2)
    one = logits[..., 1:] - logits[..., :1]
    settings = {"include_background": False} if loss in OVERLAP else {}
    np.testing.assert_allclose(
        loss(**settings)(labels, one), loss(**settings)(labels, logits), rtol=1e-5
    )


@pytest.mark.parametrize("loss", OVERLAP)
@pytest.mark.parametrize("background", [False, True])
def test_two_classes_equal_three_of_which_one_never_happens(loss, background):
    # The sigmoid path against the softmax path.
    labels, logits = batch(2)
    third = np.concatenate([logits, np.full((*logits.shape[:-1], 1), -1e4, "float32")], -1)
    settings = {"include_background": background}
    if loss is not losses.GeneralizedDice:
        settings["absent"] = "ignore"
    np.testing.assert_allclose(
        loss(**settings)(labels, third), loss(**settings)(labels, logits), rtol=1e-5
    )


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_half_precision_is_finite_with_its_gradient(loss, classes, kind, sign):
    labels = np.zeros((2, 4, 4), "int32")
    labels[0, 1] = 1
    hot = np.repeat(labels[..., None] * 2.0 - 1, classes, -1) * np.linspace(-1, 1, classes + 1)[1:]
    logits = tf.cast(sign * 300 * hot, kind)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = loss()(labels, logits)
    assert np.isfinite(float(value))
    assert np.isfinite(tf.cast(tape.gradient(value, logits), "float32")).all()


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_gradient_equals_finite_differences(loss, classes):
    labels, logits = batch(classes, (1, 2, 3), seed=5)
    tensor = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = loss()(labels, tensor)
    gradient = tape.gradient(value, tensor).numpy()
    step = 1e-2
    for index in np.ndindex(logits.shape):
        up, down = logits.copy(), logits.copy()
        up[index] += step
        down[index] -= step
        slope = (float(loss()(labels, up)) - float(loss()(labels, down))) / (2 * step)
        assert gradient[index] == pytest.approx(slope, abs=2e-4)


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("classes", [2, 3])
def test_ignored_voxels_change_nothing(loss, classes):
    labels, logits = batch(classes, (2, 4, 4))
    cropped = loss()(labels[:, :3], logits[:, :3])
    labels[:, 3] = 255
    assert float(loss(ignore_class=255)(labels, logits)) == pytest.approx(float(cropped), rel=1e-5)
    everything = loss(ignore_class=255)(np.full_like(labels, 255), logits)
    assert np.isfinite(float(everything))


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("wrong", [-1, 3])
def test_a_label_that_is_no_class_gives_nan_for_its_example_only(loss, classes, wrong):
    labels, logits = batch(classes)
    labels = labels.astype("int32")
    labels[0, 0, 0] = wrong
    values = np.asarray(loss(reduction=None)(labels, logits))
    assert np.isnan(values[0]) and np.isfinite(values[1])


@pytest.mark.parametrize("loss", ALL)
def test_xla_and_graph_with_unknown_sizes_agree_with_eager(loss):
    labels, logits = batch(3)
    expected = float(loss()(labels, logits))
    for settings in ({"jit_compile": True}, {}):
        signature = [
            tf.TensorSpec([None, None, None], tf.uint8),
            tf.TensorSpec([None, None, None, 3], tf.float32),
        ]
        if settings:
            signature = None
        function = tf.function(loss(), input_signature=signature, **settings)
        assert float(function(labels, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", ALL)
def test_config_round_trip(loss):
    original = loss(ignore_class=7, reduction="sum", name="mine")
    again = keras.losses.deserialize(keras.losses.serialize(original))
    assert type(again) is loss
    assert again.get_config() == original.get_config()
    assert again.ignore_class == 7
    assert keras.saving.get_registered_name(loss) == f"kmed>{loss.__name__}"


def test_settings_survive_the_round_trip():
    for original in (
        losses.SoftDice(include_background=True, smooth=2.0, squared=True, absent="ignore"),
        losses.DiceCrossEntropy(dice_weight=0.5, cross_entropy_weight=2.0, squared=True),
        losses.Tversky(alpha=0.1, beta=0.2, gamma=0.75, absent="formula"),
        losses.GeneralizedDice(include_background=False, smooth=1.0),
        losses.Focal(alpha=(0.1, 0.9), gamma=3.0),
    ):
        again = keras.losses.deserialize(keras.losses.serialize(original))
        labels, logits = batch(2)
        assert float(again(labels, logits)) == float(original(labels, logits))


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        ((2, 4, 4, 3), (2, 4, 4, 3), "one-hot"),
        ((2, 4, 5), (2, 4, 4, 3), "must have the shape of `y_pred`"),
        ((2, 4), (2, 4, 4, 3), "must have the shape of `y_pred`"),
        ((2, 4), (2, 4, 3), "must be logits of shape"),
    ],
)
def test_refuses_shapes_that_do_not_belong_together(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        losses.SoftDice()(np.zeros(labels), np.zeros(logits))


@pytest.mark.parametrize("loss", [losses.SoftDice, losses.GeneralizedDice, losses.Tversky])
def test_refuses_weights_per_voxel_where_they_have_no_meaning(loss):
    labels, logits = batch()
    with pytest.raises(ValueError, match="one `sample_weight` per example"):
        loss()(labels, logits, sample_weight=np.ones(labels.shape))


@pytest.mark.parametrize("loss", VOXELWISE)
def test_weights_per_voxel_of_another_shape_are_refused(loss):
    labels, logits = batch()
    with pytest.raises(ValueError, match="shape of `y_true`"):
        loss()(labels, logits, sample_weight=np.ones((2, 6)))


def test_refuses_settings_out_of_range():
    with pytest.raises(ValueError, match="absent"):
        losses.SoftDice(absent="zero")
    with pytest.raises(ValueError, match="smooth"):
        losses.GeneralizedDice(smooth=-1)
    with pytest.raises(ValueError, match="gamma"):
        losses.Tversky(gamma=0)
    with pytest.raises(ValueError, match="gamma"):
        losses.Focal(gamma=-1)
    with pytest.raises(ValueError, match="dice_weight"):
        losses.DiceCrossEntropy(dice_weight=-1)


@pytest.mark.parametrize("absent", ["fraction", "ignore", "formula"])
@pytest.mark.parametrize("squared", [False, True])
def test_soft_dice_by_plain_loops(absent, squared):
    labels, logits = batch(4, (3, 5, 5))
    labels[1][labels[1] == 2] = 0  # class 2 is absent from the second example
    p, power = softmax(logits), 2 if squared else 1
    expected = []
    for b in range(3):
        per_class = []
        for k in (1, 2, 3):
            inter = total = volume = count = 0.0
            for i in range(5):
                for j in range(5):
                    g = float(labels[b, i, j] == k)
                    inter += p[b, i, j, k] * g
                    total += p[b, i, j, k] ** power + g
                    volume += p[b, i, j, k]
                    count += g
            if count == 0 and absent == "fraction":
                per_class.append(volume / 25)
            elif count or absent == "formula":
                per_class.append(1 - (2 * inter + 1e-5) / (total + 1e-5))
        expected.append(np.mean(per_class))
    loss = losses.SoftDice(squared=squared, absent=absent, reduction=None)
    np.testing.assert_allclose(loss(labels, logits), expected, rtol=1e-5)


def test_an_absent_class_that_is_nearly_absent_costs_nearly_nothing():
    labels = np.zeros((1, 32, 32), "uint8")
    logits = np.full((1, 32, 32, 1), -5.0, "float32")  # p = 0.0067 everywhere
    assert float(losses.SoftDice()(labels, logits)) == pytest.approx(1 / (1 + np.exp(5)), rel=1e-4)
    assert float(losses.Tversky()(labels, logits)) < 0.01
    assert float(losses.SoftDice(absent="ignore")(labels, logits)) == 0
    assert float(losses.SoftDice(absent="formula")(labels, logits)) > 0.99
    assert float(losses.GeneralizedDice(include_background=False)(labels, logits)) < 0.01


def test_tversky_of_one_half_is_dice_and_gamma_is_an_exponent():
    labels, logits = batch(3)
    half = losses.Tversky(alpha=0.5, beta=0.5, smooth=0.0, absent="formula", reduction=None)
    dice = losses.SoftDice(smooth=0.0, absent="formula", reduction=None)
    np.testing.assert_allclose(half(labels, logits), dice(labels, logits), rtol=1e-5)
    one = losses.Tversky(reduction=None)(labels[:1], logits[:1, ..., :1] * 0 + 0.3)
    focal = losses.Tversky(gamma=0.75, reduction=None)(labels[:1] % 2, logits[:1, ..., :1] * 0)
    plain = losses.Tversky(reduction=None)(labels[:1] % 2, logits[:1, ..., :1] * 0)
    assert float(focal[0]) == pytest.approx(float(plain[0]) ** 0.75, rel=1e-5)
    assert np.isnan(float(one[0])) == bool((labels[0] > 1).any())


def test_cross_entropies_equal_keras():
    labels, logits = batch(3)
    reference = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights = np.random.default_rng(1).uniform(0, 5, labels.shape).astype("float32")
    loss = losses.BorderWeightedCrossEntropy()
    assert float(loss(labels, logits)) == pytest.approx(float(reference(labels, logits)), rel=1e-5)
    for shaped in (weights, weights[..., None]):
        assert float(loss(labels, logits, shaped)) == pytest.approx(
            float(reference(labels, logits, weights)), rel=1e-5
        )
    binary = keras.losses.BinaryCrossentropy(from_logits=True)
    labels, logits = batch(1)
    assert float(loss(labels, logits)) == pytest.approx(
        float(binary(labels[..., None], logits)), rel=1e-5
    )


def test_voxel_weights_reach_the_cross_entropy_and_not_the_dice():
    labels, logits = batch(3)
    weights = np.full(labels.shape, 3.0, "float32")
    value = float(losses.DiceCrossEntropy()(labels, logits, weights))
    dice = float(losses.SoftDice()(labels, logits))
    entropy = float(losses.BorderWeightedCrossEntropy()(labels, logits))
    assert value == pytest.approx(dice + 3 * entropy, rel=1e-5)


@pytest.mark.parametrize("alpha", [0.25, (0.2, 0.5, 0.3)])
def test_focal_equals_keras_on_one_hot_vectors(alpha):
    labels, logits = batch(3)
    reference = keras.losses.CategoricalFocalCrossentropy(
        alpha=alpha if isinstance(alpha, float) else list(alpha), gamma=2.0, from_logits=True
    )
    expected = float(reference(np.eye(3)[labels], logits))
    assert float(losses.Focal(alpha=alpha)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_fit_takes_the_weight_map_as_sample_weight():
    labels, images = batch(1, (4, 8, 8))
    weights = np.ones(labels.shape, "float32")
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3, padding="same")(inputs))
    model.compile(
        "sgd",
        losses.BorderWeightedCrossEntropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
        jit_compile=False,
    )
    plain = model.evaluate(images, labels, verbose=0)[0]
    doubled = model.evaluate(images, labels, sample_weight=2 * weights, verbose=0)[0]
    assert doubled == pytest.approx(2 * plain, rel=1e-5)
    model.fit(images, labels, sample_weight=weights, batch_size=2, verbose=0)


def two_replicas():
    """Runs in a process of its own, because logical devices can be set up only once."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from kmed.metrics import MeanDice

    labels, images = batch(1, (8, 8, 8))
    labels[0] = 0

    def train(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(3)
            inputs = keras.Input((8, 8, 1))
            model = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
            model.compile(
                keras.optimizers.SGD(0.5),
                losses.DiceCrossEntropy(),
                metrics=[MeanDice(3)],
                jit_compile=False,
            )
        history = model.fit(images, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
        return model.get_weights(), history.history

    one = train(tf.distribute.get_strategy())
    two = train(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    for a, b in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for name in ("loss", "dice"):
        np.testing.assert_allclose(one[1][name], two[1][name], rtol=1e-5)


def test_two_replicas_train_and_report_as_one(run_isolated):
    run_isolated(two_replicas)
