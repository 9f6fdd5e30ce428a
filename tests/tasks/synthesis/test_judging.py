import keras
import numpy as np

from kmed.tasks.extractors import FeatureSpace
from kmed.tasks.synthesis.judging import ValidationDistance


def test_the_distance_of_two_normal_distributions():
    """Shifted by 3 in each of two features, of equal covariance: 2 * 3**2."""
    image = keras.Input((1, 2, 1))
    space = FeatureSpace("values", keras.Model(image, keras.layers.Flatten()(image)))
    random = np.random.default_rng(0)
    real = random.normal(size=(4000, 1, 2, 1)).astype("float32")
    asked = []

    def draw(count, labels, seed):
        asked.append((count, labels, seed))
        return random.normal(3, 1, size=(count, 1, 2, 1)).astype("float32")

    labels = np.array([0, 1, 1])
    judge = ValidationDistance(draw, space, real, labels=labels, count=5000, seed=4)
    logs = {}
    judge.on_epoch_end(0, logs)
    assert abs(logs["val_fid"] - 18) < 0.7
    count, of_class, seed = asked[0]
    assert (count, seed) == (5000, 4)
    np.testing.assert_array_equal(of_class[:6], [0, 1, 1, 0, 1, 1])
