import keras
import numpy as np
import pytest
import tensorflow as tf

from kmed.losses.triplet_all import TripletAllLoss
from kmed.losses.triplet_hard import TripletHardLoss
from kmed.losses.triplet_semihard import TripletSemiHardLoss

TRIPLETS = [TripletAllLoss, TripletHardLoss, TripletSemiHardLoss]


@keras.saving.register_keras_serializable("kmed_tests")
def manhattan(x):
    return tf.reduce_sum(tf.abs(x[:, None] - x[None]), axis=-1)


@pytest.mark.parametrize("triplet", TRIPLETS)
def test_a_function_may_be_the_distance(triplet):
    # On a line, the sum of absolute differences is the L2 distance.
    labels, x = [0, 0, 1, 1, 2], np.float32([[0.0], [1.0], [1.25], [3.0], [0.5]])
    loss = triplet(distance_metric=manhattan)
    np.testing.assert_allclose(loss(labels, x), triplet()(labels, x), rtol=1e-6)
    positive = np.array([[True, False], [False, True]])
    sides = x[:2], x[2:4], positive, ~positive
    np.testing.assert_allclose(loss.cross(*sides), triplet().cross(*sides), rtol=1e-6)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert again.distance_metric is manhattan


@pytest.mark.parametrize("triplet", TRIPLETS)
def test_settings_are_kept_and_checked(triplet):
    config = triplet(0.2, distance_metric="squared-L2", name="mine").get_config()
    assert config["margin"] == 0.2 and config["distance_metric"] == "squared-L2"
    assert config["name"] == "mine" and ("soft" in config) == (triplet is not TripletSemiHardLoss)
    with pytest.raises(ValueError, match="`margin` must be 0 or more; received -1"):
        triplet(-1.0)
    with pytest.raises(ValueError, match="`distance_metric` must be one of .*received 'cosine'"):
        triplet(distance_metric="cosine")
