import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.data import DataError
from kmed.export import Bundle
from kmed.tasks.segmentation.whole_case import WholeCase


def bundle(rank, fit, **metadata):
    """A network whose second logit is its normalised input: the mask is where that is above 0."""
    image = keras.Input((*((16,) * rank if fit == "resize" else (None,) * rank), 1))
    layer = keras.layers.Conv3D if rank == 3 else keras.layers.Conv2D
    convolution = layer(2, 1)
    network = keras.Model(image, convolution(image), name="network")
    convolution.set_weights([np.float32([0, 1]).reshape((*(1,) * rank, 1, 2)), np.zeros(2)])
    options = {"size": (16,) * rank} if fit != "resize" else {}
    return Bundle(
        "threshold", preprocessors.ct((0.0, 100.0), rank=rank), network, fit=fit,
        metadata=metadata, **options,
    )  # fmt: skip


def image(shape):
    return np.random.default_rng(0).uniform(-50, 50, (*shape, 1)).astype("float32")


@pytest.mark.parametrize("shape", [(16, 16), (5, 16, 16)])
def test_whole_images_and_slices_of_volumes(shape):
    case = image(shape)
    found = WholeCase(bundle(2, "resize"))(case, (1.0,) * len(shape), probabilities=True)
    np.testing.assert_array_equal(found.labels, case[..., 0] > 0)
    assert found.probabilities.shape == (*shape, 2)


@pytest.mark.parametrize(("rank", "shape"), [(2, (40, 21)), (3, (9, 40, 21)), (2, (3, 40, 21))])
def test_windows(rank, shape):
    case, steps = image(shape), []
    segment = WholeCase(bundle(rank, "pad", window=(16,) * rank), flips=True)
    found = segment(case, (1.0,) * len(shape), progress=lambda *step: steps.append(step))
    np.testing.assert_array_equal(found.labels, case[..., 0] > 0)
    assert steps[-1][0] == steps[-1][1]


def test_resampled_spacing_gives_a_mask_on_the_images_grid():
    case = np.zeros((8, 20, 20, 1), "float32") - 40
    case[2:6, 5:15, 5:15] = 40
    threshold = bundle(3, "pad", window=(16,) * 3)
    threshold.spacing_mm = (2.0, 2.0, 2.0)
    found = WholeCase(threshold)(case, (4.0, 2.0, 2.0))
    np.testing.assert_array_equal(found.labels, case[..., 0] > 0)


def test_other_ranks_and_channels_are_refused():
    with pytest.raises(DataError, match=r"3D images of 1 channel\(s\).*\(16, 16, 1\)"):
        WholeCase(bundle(3, "pad", window=(16,) * 3))(image((16, 16)), (1.0, 1.0))
    with pytest.raises(DataError, match=r"\(16, 16, 3\)"):
        WholeCase(bundle(2, "resize"))(np.zeros((16, 16, 3)), (1.0, 1.0))
