"""What every segmentation loss must do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed import losses

ALL = [
    losses.BorderWeightedCrossEntropy,
    losses.ClassWeightedCrossEntropy,
    losses.DiceCrossEntropy,
    losses.Focal,
    losses.GeneralizedDice,
    losses.SoftDice,
    losses.Tversky,
]
OVERLAP = [losses.DiceCrossEntropy, losses.GeneralizedDice, losses.SoftDice, losses.Tversky]
VOXELWISE = [
    losses.BorderWeightedCrossEntropy,
    losses.ClassWeightedCrossEntropy,
    losses.DiceCrossEntropy,
    losses.Focal,
]


def batch(classes=3, shape=(2, 6, 5), seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), shape).astype("uint8")
    return labels, rng.normal(size=(*shape, classes)).astype("float32")


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
