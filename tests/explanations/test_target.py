import numpy as np
import pytest
import tensorflow as tf

from kmed.explanations.target import target_of

LOGITS = tf.constant([[1.0, 3.0, 2.0], [5.0, -1.0, 0.0]])


def test_classifier():
    target = target_of(LOGITS, 2)
    assert target.score.numpy().tolist() == [3, 5] and target.class_index.tolist() == [1, 0]
    assert target_of({"logits": LOGITS}, 2, class_index=2).score.numpy().tolist() == [2, 0]
    assert target_of([LOGITS], 2).score.numpy().tolist() == [3, 5]
    assert target_of(LOGITS[:, 1:2], 2).score.numpy().tolist() == [3, 1]
    assert target_of(LOGITS[:, 1:2], 2, class_index=0).score.numpy().tolist() == [-3, 1]


def test_segmenter_adds_the_logits_of_its_pixels():
    logits = np.random.default_rng(0).normal(size=(3, 4, 5, 3)).astype("float32")
    logits[2, ..., 0] = 50  # nothing but background
    target = target_of(tf.constant(logits), 2)
    labels = logits.argmax(axis=-1)
    for i in range(2):
        c = 1 + np.bincount(labels[i].ravel(), minlength=3)[1:].argmax()
        assert target.class_index[i] == c
        np.testing.assert_allclose(target.score[i], logits[i, labels[i] == c, c].sum(), rtol=1e-5)
    assert target.class_index[2] == -1 and target.score[2] == 0
    again = target_of(
        tf.constant(logits[:2]), 2, class_index=target.class_index[:2], mask=target.mask[:2]
    )
    np.testing.assert_allclose(again.score, target.score[:2])


def test_segmenter_of_one_logit():
    logits = tf.constant([[[[2.0], [-1.0]], [[3.0], [0.0]]]])
    assert target_of(logits, 2).score.numpy().tolist() == [5]
    assert target_of(logits, 2, class_index=0).score.numpy().tolist() == [1]
    assert target_of(logits, 2, class_index=1, mask=[[1, 1], [0, 1]]).score.numpy().tolist() == [1]


def test_refused():
    with pytest.raises(ValueError, match=r"\(B, D, H, W, K\).*of shape \[\(2, 3\), \(2, 3\)\]"):
        target_of([LOGITS, LOGITS], 3)
    with pytest.raises(ValueError, match="`class_index`"):
        target_of(LOGITS, 2, class_index=-1)
    with pytest.raises(ValueError, match="`class_index`"):
        target_of(LOGITS, 2, class_index=1.0)
