"""Decoder against scipy's softmax and cases by hand."""

import numpy as np
from scipy.special import expit, softmax

from kmed.export.decoder import SegmentationDecoder


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
