"""Every row of the catalogue is complete and builds; a new row inherits these tests."""

from __future__ import annotations

import functools

import keras
import numpy as np
import pytest

from kmed import applications, catalog, preprocessors
from kmed.export import (
    Bundle,
    ClassificationDecoder,
    DetectionDecoder,
    EmbeddingDecoder,
    GeneratorBundle,
    ImageDecoder,
    check_agreement,
    check_generator_agreement,
)
from kmed.export.graph import sources
from kmed.layers.instance_normalization import InstanceNormalization
from kmed.tasks import (
    classification,
    detection,
    retrieval,
    segmentation,
    synthesis,
    translation,
)
from kmed.tasks.classification import networks as classifiers
from kmed.tasks.detection import networks as detectors
from kmed.tasks.retrieval import networks as retrievers
from kmed.tasks.segmentation import networks as segmenters
from kmed.tasks.synthesis import networks as synthesizers
from kmed.tasks.translation import networks as translators

ROWS = list(catalog.CATALOG.values())
GENERATIVE = (synthesis, translation)
SHAPE = "input_shape"

# What differs from task to task in the tests that every architecture must pass.


@functools.cache
def built(name):
    """The small network of a row, built once for all tests that only look at it."""
    row = catalog.find(name)
    # An untrained detector's scores nearly tie; which of them do is not left to chance.
    keras.utils.set_random_seed(0)
    return row.builder(**row.small)


def settings_of(row):
    settings = row.task.Settings(**row.settings)
    if row.task in GENERATIVE:
        # A moving average would hide what a few steps change. Batch normalisation of two
        # replicas parts from one's by rounding.
        options = {"filters": 16, "normalization": None}
        if row.task is translation:
            options |= {"layers": 2}
            settings = settings.replaced(network={k: v for k, v in row.small.items() if k != SHAPE})
        size = row.small["input_shape"][:2]
        return settings.replaced(average=None, discriminator=options, size=size)
    return settings.replaced(anchors="paper") if row.task is detection else settings


def compiled(row, network, steps):
    """What is fitted: the network, or the trainer around it."""
    settings = settings_of(row)
    if row.task is detection:
        codec = detectors.codec_of(network, settings)
        return detectors.compiled(network, codec, settings, steps)
    if row.task is retrieval:
        # One network for both modalities, so that a single one is looked at here too.
        return retrievers.compiled({"a": network, "b": network}, settings, steps)
    if row.task is synthesis:
        judge = synthesizers.discriminator(settings, 1, 0)
        return synthesizers.compiled(network, judge, settings, 10**6)
    if row.task is translation:
        # The way back has a network of its own.
        networks = iter([network, row.builder(**row.small)])
        trainer = translators.build(lambda **_: next(networks), settings, {"a": 1, "b": 1}, 1)
        return translators.compiled(trainer, settings, 10**6)
    if row.task is segmentation:
        classes = row.small["classes"]
        segmenters.compile_network(network, settings, steps, classes=classes)
    else:
        classifiers.compile_network(network, settings, steps, kind="multiclass")
    return network


def seen(row, count):
    """What the network itself takes."""
    shape = (row.small["latent"],) if row.task is synthesis else row.small["input_shape"]
    return np.random.default_rng(0).normal(size=(count, *shape)).astype("float32")


def inputs(row, images):
    """What is fitted on: the images, or those of two modalities."""
    if row.task in GENERATIVE:
        images = np.tanh(images)
    return {"a": images, "b": images[..., ::-1, :]} if row.task is retrieval else images


def answers(row, images):
    """What the loss takes, for all images as one batch."""
    if row.task is translation:
        return np.tanh(images[:, ::-1])
    if row.task is retrieval:
        numbers = np.arange(len(images), dtype="int32")
        keys = dict.fromkeys(("key", "patient", "study"), numbers) | {"label": numbers - 100}
        keys["position"] = np.full(len(images), np.nan, "float32")
        return {"a": keys, "b": keys}
    if row.task is segmentation:
        return (images[..., 0] > 0.5).astype("int32")
    if row.task is detection:
        codec = detectors.codec_of(built(row.name), settings_of(row))
        return keras.ops.convert_to_numpy(codec.targets(drawn_objects(row, len(images))))
    return np.arange(len(images), dtype="int32") % row.small["classes"]


def examples(row, images):
    """What is fitted on as one batch; a generator of random numbers takes images alone."""
    if row.task is synthesis:
        return (inputs(row, images),)
    return inputs(row, images), answers(row, images)


def drawn_objects(row, images):
    """Objects of all sizes: a level of a detector that has none learns nothing."""
    random = np.random.default_rng(1)
    side = row.small["input_shape"][0]
    sides = np.repeat(np.linspace(0.07, 1.0, 12) * side, 2).reshape(1, 12, 2)
    corners = random.uniform(0, 1, (images, 12, 2)) * (side - sides)
    boxes = np.concatenate([corners, corners + sides], axis=-1).astype("float32")
    return {"boxes": boxes, "labels": random.integers(0, 3, (images, 12)).astype("int32")}


def small_bundle(row):
    labels = [f"class {i}" for i in range(row.small.get("classes", 0))]
    network = built(row.name)
    decoder = None
    if row.task is classification:
        decoder = ClassificationDecoder("multiclass")
    if row.task is detection:
        codec = detectors.codec_of(network, settings_of(row))
        decoder = DetectionDecoder(codec, row.small["input_shape"][:2])
    if row.task is retrieval:
        decoder = EmbeddingDecoder()
    if row.task in GENERATIVE:
        decoder = ImageDecoder(0.0, 4000.0)
    metadata = {"task": row.task.__name__.rpartition(".")[2]}
    if row.task is synthesis:
        return GeneratorBundle(row.name, network, decoder, metadata=metadata)
    return Bundle(
        row.name, preprocessors.xray(), network, labels=labels, decoder=decoder, metadata=metadata
    )


every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
FIRST_OF_TASK = list({row.task: row for row in reversed(ROWS)}.values())
# Deep graphs take minutes to build for two replicas, and their rounding grows with each step.
DEEP = ("resnet34", "resnet50", "resnet101", "resnet152", "fcn_resnet50")
# Normalisations and choices by score make their rounding grow with each step.
PARTING = (*DEEP, "resnet18", "ssd", "yolov3", "yolov3_spp", "yolov3_tiny", "faster_rcnn")
PARTING += ("cyclegan",)
# The mere order of a batch changes their gradients by 1 to 9 % in float32, by less than 1e-6 in
# float64, and by 2e-6 in float32 without batch normalisation: nothing but rounding.
DOUBLE = ("yolov3", "yolov3_spp")
# Run by hand, since they take minutes: yolov3_tiny and ssd300 stand for the detectors.
SLOW = (*DEEP, "yolov3", "yolov3_spp", "faster_rcnn", "ssd512")


def test_rows_are_found_by_their_names():
    assert [row.name for row in ROWS] == list(catalog.CATALOG)
    assert all(catalog.find(row.name) is row for row in ROWS)


@pytest.mark.parametrize("name", ["unett", "", "UNET"])
def test_an_unknown_name_is_told_with_the_known_ones(name):
    with pytest.raises(ValueError, match=f"no {name!r}; it has .*unet"):
        catalog.find(name)


@every_row
def test_a_row_says_what_it_is(row):
    assert row.name == row.name.lower() and row.name.isidentifier()
    assert row.title and any(character.isdigit() for character in row.paper)
    assert callable(row.builder) and row.builder.__name__ in dir(applications)


@every_row
def test_a_small_network_builds_and_runs(row):
    network = built(row.name)
    assert isinstance(network, keras.Model)
    outputs = network(0 * seen(row, 1))
    for output in keras.tree.flatten(outputs):
        assert np.isfinite(keras.ops.convert_to_numpy(output)).all()


@every_row
def test_a_row_has_its_flow_and_settings_that_hold(row):
    for name in ("train", "evaluate", "predict", "export"):
        assert callable(getattr(row.task, name))
    settings = row.task.Settings(**row.settings)
    assert settings.name == row.name


@every_row
def test_a_network_is_the_same_after_saving(row, tmp_path):
    network = built(row.name)
    network.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    image = seen(row, 2)
    for first, second in zip(
        *(keras.tree.flatten(n(image)) for n in (network, again)), strict=True
    ):
        np.testing.assert_array_equal(first, second)


@every_row
def test_one_step_of_fit_changes_the_weights_and_gives_a_number(row):
    network = row.builder(**row.small)
    freeze_biases_before_normalisations(network)
    fitted = compiled(row, network, 10)
    fitted.run_eagerly = row.name in DEEP
    shape = row.small["input_shape"]
    image = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in network.trainable_weights]
    for _ in range(3):  # the rate of the very first step of a warm-up is 0
        loss = fitted.train_on_batch(*examples(row, image))
    assert np.isfinite(loss).all()
    pairs = zip(network.trainable_weights, before, strict=True)
    changed = {weight.path: np.abs(weight - old).max() for weight, old in pairs}
    assert not [path for path, change in changed.items() if not change > 0]


@every_row
def test_saved_model_and_tflite_agree_with_keras(row, tmp_path):
    path = small_bundle(row).save(tmp_path)
    if row.task is synthesis:
        assert set(check_generator_agreement(path)) == {"saved_model", "tflite"}  # to 1e-4
        return
    random = np.random.default_rng(0)
    size = row.small["input_shape"][0]
    images = [random.uniform(0, 4000, shape) for shape in ((size, size, 1), (45, 30, 1))]
    # Before training the activations of deep residual networks grow with each block, and with
    # them what rounding does to a probability.
    tolerance = 1e-3 if row.name in DEEP else 1e-4
    found = check_agreement(path, images, tolerance=tolerance)
    assert set(found) == {"saved_model", "tflite"}
    if row.task is detection:
        assert max(one["max_box_difference"] for one in found.values()) < 1e-3
    elif row.task is translation:
        assert max(one["max_difference"] for one in found.values()) < 1e-4
    elif row.task is retrieval:
        assert max(one["max_difference"] for one in found.values()) < 1e-5
    else:
        assert max(one["max_probability_difference"] for one in found.values()) < tolerance


# Which flow a bundle names depends on nothing but the row's task.
@pytest.mark.parametrize("row", FIRST_OF_TASK, ids=lambda row: row.name)
def test_bundles_know_their_task(row, tmp_path):
    bundle = small_bundle(row)
    options = {} if row.task is synthesis else {"tflite": False}
    path = bundle.save(tmp_path, **options)
    assert catalog.task_of(path) is catalog.task_of(path.parent) is row.task
    bundle.metadata["task"] = "alchemy"
    with pytest.raises(ValueError, match="the task 'alchemy'"):
        catalog.task_of(bundle.save(tmp_path, **options))


def freeze_biases_before_normalisations(network):
    """Their gradient is nothing but rounding, which Adam blows up to whole steps."""
    layers = {layer.name: layer for layer in network.layers}
    for name, inputs in sources(network).items():
        if isinstance(layers.get(name), (keras.layers.BatchNormalization, InstanceNormalization)):
            for source in inputs:
                if getattr(layers.get(source), "use_bias", False):
                    layers[source].bias.trainable = False


def train_on_one_and_two(name, folder):
    """Train a small network on one and on two logical processors."""
    import tensorflow as tf

    [processor] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        processor, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    from kmed import distribute

    if name in DOUBLE:
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
    row = catalog.find(name)
    random = np.random.default_rng(0)
    steps = 2 if name in PARTING else 10  # the first has rate 0
    images = random.normal(size=(8 * steps, *row.small["input_shape"])).astype("float32")
    batches = [examples(row, part) for part in np.split(images, steps)]
    whole = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    data = tf.data.Dataset.from_tensor_slices(whole).batch(8)
    for devices in (1, 2):
        keras.utils.set_random_seed(0)
        strategy = distribute.strategy(devices)
        assert strategy.num_replicas_in_sync == devices
        with strategy.scope():
            network = row.builder(**row.small)
            distribute.synchronize_batch_norm(network, devices)
            freeze_biases_before_normalisations(network)
            fitted = compiled(row, network, 10)
            # Adam's own 1e-7 makes whole steps of gradients that are nothing but rounding, which
            # is as large as the loss: YOLO's is a sum over all boxes.
            for optimizer in {fitted.optimizer, getattr(fitted, "discriminator_optimizer", None)}:
                if optimizer is not None:
                    optimizer.epsilon = 0.1 if name.startswith("yolov3") else 1e-3
        history = fitted.fit(data, epochs=1, verbose=0, shuffle=False).history
        logs = {name: values[0] for name, values in history.items()}
        np.savez(f"{folder}/{devices}.npz", *network.get_weights(), **logs)


@pytest.mark.parametrize(
    "row",
    [pytest.param(r, marks=pytest.mark.slow if r.name in SLOW else ()) for r in ROWS],
    ids=lambda row: row.name,
)
def test_two_replicas_train_as_one(row, run_isolated, tmp_path):
    run_isolated(train_on_one_and_two, row.name, str(tmp_path))
    one, two = (_arrays(tmp_path / f"{devices}.npz") for devices in (1, 2))
    assert set(one) == set(two)
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=2e-4, atol=2e-5, err_msg=name)


def _arrays(path):
    with np.load(path) as file:
        return dict(file)
