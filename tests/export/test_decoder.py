"""Decoder against scipy's softmax and cases by hand."""

import numpy as np
import pytest
from scipy.special import expit, softmax

from kmed.export.decoder import ClassificationDecoder, SegmentationDecoder
from kmed.metrics.decisions import decisions
from kmed.ops.class_targets import KINDS


def test_classes_are_softmax_and_argmax():
    logits = np.random.default_rng(0).normal(0, 3, (2, 5, 6, 4)).astype("float32")
    decoded = SegmentationDecoder()(logits)
    expected = softmax(logits.astype("float64"), axis=-1)
    np.testing.assert_allclose(decoded["probabilities"], expected, atol=1e-6)
    np.testing.assert_array_equal(decoded["labels"], expected.argmax(-1))
    assert decoded["labels"].dtype == "int32"


def test_one_logit_is_a_sigmoid_above_one_half():
    logits = np.array([-2.0, 0.0, 1e-3, 30.0], "float32").reshape(1, 2, 2, 1)
    decoded = SegmentationDecoder()(logits)
    np.testing.assert_allclose(decoded["probabilities"], expit(logits), atol=1e-6)
    assert np.ravel(decoded["labels"]).tolist() == [0, 0, 1, 1]


def test_a_tie_is_the_first_class():
    assert np.ravel(SegmentationDecoder()(np.zeros((1, 1, 1, 3)))["labels"]).tolist() == [0]


def classified(kind, logits, **options):
    decoded = ClassificationDecoder(kind, **options)(np.asarray(logits, "float32"))
    return np.asarray(decoded["labels"]), np.asarray(decoded["probabilities"])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_the_decisions_of_the_metrics(kind):
    random = np.random.default_rng(0)
    classes = {"binary": 2}.get(kind, 4)
    logits = random.normal(0, 2, (50, classes - (kind == "ordinal")))
    thresholds = {"binary": [0.7, 0.3], "multilabel": [0.1, 0.4, 0.6, 0.9]}.get(kind)
    labels, probabilities = classified(kind, logits, thresholds=thresholds, temperature=1.7)
    assert probabilities.shape == (50, classes) and labels.dtype == "int32"
    np.testing.assert_array_equal(labels, decisions(probabilities, kind, thresholds))
    decoder = ClassificationDecoder(kind, thresholds=thresholds)
    assert decoder.classes(logits) == classes
    assert decoder.margins(probabilities).shape == labels.shape
    assert (decoder.margins(probabilities) >= 0).all()


def test_the_temperature_divides_the_logits():
    _, probabilities = classified("multiclass", [[2.0, 0.0, 1.0]], temperature=2.0)
    np.testing.assert_allclose(probabilities, softmax([[1.0, 0.0, 0.5]], axis=-1), atol=1e-6)
    _, probabilities = classified("multilabel", [[2.0, 0.0]], temperature=4.0)
    np.testing.assert_allclose(probabilities, expit([[0.5, 0.0]]), atol=1e-6)


def test_margins_are_the_distances_from_another_label():
    binary = ClassificationDecoder("binary", thresholds=[0.7, 0.3])
    np.testing.assert_allclose(binary.margins(np.array([[0.6, 0.4]])), [0.1])
    several = ClassificationDecoder("multilabel", thresholds=[0.3, 0.5])
    np.testing.assert_allclose(several.margins(np.array([[0.6, 0.4]])), [[0.3, 0.1]])
    ordinal = ClassificationDecoder("ordinal")
    np.testing.assert_allclose(ordinal.margins(np.array([[0.2, 0.35, 0.45]])), [0.05])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (["binray"], {}, "`kind` must be one of"),
        (["binary"], {"temperature": 0.0}, "`temperature` must be above 0"),
        (["ordinal"], {"thresholds": [0.5]}, "a ordinal decoder has no thresholds"),
    ],
)
def test_what_a_decoder_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        ClassificationDecoder(*arguments, **options)
    with pytest.raises(ValueError, match="one for each of 2 classes; received"):
        classified("binary", [[0.0, 1.0]], thresholds=[0.5])
