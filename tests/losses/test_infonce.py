import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.infonce import InfoNCELoss


def unit(*shape, seed):
    x = np.random.default_rng(seed).normal(size=shape)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def one_to_one(count):
    return np.eye(count, dtype=bool), ~np.eye(count, dtype=bool)


def clip(images, texts, scale):
    """The pseudocode of the paper's figure 3, with loops; one direction."""
    values = []
    for i, image in enumerate(images):
        logits = [scale * image @ text for text in texts]
        values.append(-logits[i] + np.log(sum(np.exp(logit) for logit in logits)))
    return np.mean(values)


def test_follows_clip():
    images, texts = unit(7, 5, seed=0), unit(7, 5, seed=1)
    loss, pairs = InfoNCELoss(), one_to_one(7)
    assert loss.learnable == {"log_scale": pytest.approx(np.log(1 / 0.07))}
    both = [loss.cross(images, texts, *pairs), loss.cross(texts, images, *pairs)]
    expected = [clip(images, texts, 1 / 0.07), clip(texts, images, 1 / 0.07)]
    np.testing.assert_allclose(both, expected, rtol=1e-6)
    learnt = loss.cross(images, texts, *pairs, log_scale=np.log(3.0))
    np.testing.assert_allclose(learnt, clip(images, texts, 3.0), rtol=1e-6)


def test_several_captions_share_the_target():
    image, texts = unit(1, 5, seed=0), unit(3, 5, seed=1)
    found = InfoNCELoss(0.5).cross(image, texts, [[True, True, False]], [[False, False, True]])
    logits = 2 * (image @ texts.T)[0]
    expected = np.log(np.exp(logits).sum()) - logits[:2].mean()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_scale_is_capped_and_comes_back():
    images, pairs = unit(7, 5, seed=0), one_to_one(7)
    loss = InfoNCELoss(maximum_scale=20.0)
    np.testing.assert_allclose(
        loss.cross(images, images, *pairs, log_scale=9.0), clip(images, images, 20.0), rtol=1e-5
    )
    gradients = []
    for texts in (images, -images):  # a larger scale is better; a smaller one is
        log_scale = tf.Variable(9.0)
        with tf.GradientTape() as tape:
            value = loss.cross(images, texts, *pairs, log_scale=log_scale)
        gradients.append(float(tape.gradient(value, log_scale)))
    assert gradients[0] == 0 and gradients[1] > 0
    fixed = InfoNCELoss(0.001, learnable=False, maximum_scale=20.0)
    assert fixed.learnable == {}
    np.testing.assert_allclose(
        fixed.cross(images, images, *pairs), clip(images, images, 20.0), rtol=1e-5
    )
    with pytest.raises(ValueError, match="learns nothing"):
        fixed.cross(images, images, *pairs, log_scale=1.0)


@pytest.mark.parametrize("settings", [{"temperature": 0.0}, {"maximum_scale": -1.0}])
def test_settings_are_checked(settings):
    with pytest.raises(ValueError, match="must be above 0; received"):
        InfoNCELoss(**settings)
