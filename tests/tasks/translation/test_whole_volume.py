"""A translator whose network is known exactly, over images and volumes of any size."""

import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.data import DataError
from kmed.export import Bundle, ImageDecoder
from kmed.tasks.translation.whole_volume import WholeVolume

LOW, HIGH = -100.0, 300.0  # of the source
RANGE = (0.0, 50.0)  # of the target


def bundle(rank=2, fit="pad", size=(16, 16), channels=1, outputs=1, prepare=None, **metadata):
    """The network gives -0.5 times its input; of several channels -0.5 times the first."""
    sides = size if fit == "resize" else (None,) * rank
    image = keras.Input((*sides[:rank], channels))
    layer = (keras.layers.Conv2D, keras.layers.Conv3D)[rank - 2](outputs, 1, use_bias=False)
    network = keras.Model(image, layer(image), name="network")
    kernel = np.zeros((*(1,) * rank, channels, outputs))
    kernel[..., 0, :] = -0.5
    layer.set_weights([kernel])
    prepare = prepare or preprocessors.intensity(LOW, HIGH, channels=channels, rank=rank)
    return Bundle(
        "negative", prepare, network, labels=(), decoder=ImageDecoder(*RANGE), fit=fit,
        size=size[:rank], metadata=metadata,
    )  # fmt: skip


def picture(shape, channels=1):
    values = np.random.default_rng(0).uniform(-300, 500, (*shape, channels))
    return values.astype("int16")


def expected(image):
    scaled = (np.clip(image[..., :1].astype("float64"), LOW, HIGH) - LOW) / (HIGH - LOW) * 2 - 1
    return RANGE[0] + (-0.5 * scaled + 1) / 2 * (RANGE[1] - RANGE[0])


@pytest.mark.parametrize("shape", [(16, 16), (21, 13), (11, 7, 19)])
def test_pictures_and_slices_of_volumes(shape):
    image, steps = picture(shape), []
    translate = WholeVolume(bundle())
    assert translate.window is None
    found = translate(image, progress=lambda *step: steps.append(step))
    assert found.dtype == np.float32 and found.shape == image.shape
    np.testing.assert_allclose(found, expected(image), atol=1e-4)
    assert steps == ([(8, 11), (11, 11)] if len(shape) == 3 else [(1, 1)])


def test_resized_images_come_back_on_their_own_grid():
    image = np.full((3, 24, 40, 1), 100, "int16")
    found = WholeVolume(bundle(fit="resize"))(image)
    np.testing.assert_allclose(found, expected(image), atol=1e-4)


@pytest.mark.parametrize(("rank", "shape"), [(2, (40, 21)), (3, (9, 40, 21)), (2, (3, 10, 21))])
def test_windows_are_blended_into_the_same_image(rank, shape):
    image, steps = picture(shape), []
    translate = WholeVolume(bundle(rank, size=(16,) * 3, window=[16] * rank))
    found = translate(image, progress=lambda *step: steps.append(step))
    assert found.shape == image.shape
    np.testing.assert_allclose(found, expected(image), atol=1e-3)
    assert steps[-1][0] == steps[-1][1]


def test_a_window_sees_no_more_than_itself():
    """The mean of each window: far from a bright half, it is not seen."""
    image = keras.Input((None, None, 1))
    mean = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    network = keras.Model(image, keras.layers.Add()([image * 0, mean]), name="network")
    prepare = preprocessors.intensity(-1.0, 1.0)
    one = Bundle(
        "mean", prepare, network, labels=(), decoder=ImageDecoder(-1.0, 1.0), fit="pad",
        size=(16, 16), metadata={"window": (16, 16)},
    )  # fmt: skip
    case = np.zeros((16, 64, 1), "float32")
    case[:, 32:] = 1
    found = WholeVolume(one)(case)
    assert abs(found[:, :16]).max() < 1e-6 and abs(found[:, 48:] - 1).max() < 1e-6
    assert (np.diff(found[8, :, 0]) >= -1e-6).all()  # no seams
    whole = Bundle(
        "mean", prepare, network, labels=(), decoder=ImageDecoder(-1.0, 1.0), fit="pad",
        size=(16, 16),
    )  # fmt: skip
    np.testing.assert_allclose(WholeVolume(whole)(case), 0.5, atol=1e-6)


def test_a_3d_network_of_voxels_as_they_are_has_a_window_of_its_size():
    translate = WholeVolume(bundle(3, size=(8, 16, 16)))
    assert translate.window == (8, 16, 16)
    image = picture((5, 30, 16))
    np.testing.assert_allclose(translate(image), expected(image), atol=1e-3)
    assert WholeVolume(bundle(3, "resize", size=(8, 16, 16))).window is None


def test_statistics_of_the_whole_image_are_those_of_the_whole_image():
    image = picture((40, 21)).astype("float32")
    windowed = WholeVolume(bundle(prepare=preprocessors.xray(), window=(16, 16)))(image)
    standard = (image - image.mean()) / image.std()
    np.testing.assert_allclose(windowed, (-0.5 * standard + 1) / 2 * RANGE[1], atol=1e-2)


def test_channels_in_and_out():
    image = picture((9, 12), channels=3)
    found = WholeVolume(bundle(channels=3, outputs=2))(image)
    assert found.shape == (9, 12, 2)
    np.testing.assert_allclose(found, np.repeat(expected(image), 2, axis=-1), atol=1e-4)


def test_a_slice_does_not_depend_on_its_neighbours():
    translate, image = WholeVolume(bundle()), picture((11, 7, 19))
    alone = np.stack([translate(plane) for plane in image])
    np.testing.assert_allclose(translate(image), alone, atol=1e-5)


def test_memory_mapped_volumes(tmp_path):
    image = picture((11, 7, 19))
    np.save(tmp_path / "volume.npy", image)
    mapped = np.load(tmp_path / "volume.npy", mmap_mode="r")
    np.testing.assert_allclose(WholeVolume(bundle())(mapped), expected(image), atol=1e-4)


def test_what_does_not_fit_is_said():
    translate = WholeVolume(bundle())
    with pytest.raises(DataError, match=r"2D images of 1 channel\(s\).*\(8, 8, 3\)"):
        translate(picture((8, 8), channels=3))
    with pytest.raises(DataError, match=r"\(0, 8, 8, 1\)"):
        translate(picture((0, 8, 8)))
    with pytest.raises(DataError, match=r"3D images.*\(8, 8, 1\)"):
        WholeVolume(bundle(3, size=(16,) * 3))(picture((8, 8)))
    broken = picture((8, 8)).astype("float32")
    broken[0, 0] = np.nan
    with pytest.raises(DataError, match="is not finite"):
        translate(broken)
    with pytest.raises(ValueError, match=r"`overlap` must be in \[0, 1\); received 1.0"):
        WholeVolume(bundle(), overlap=1.0)
    with pytest.raises(ValueError, match=r"`window` needs 2 multiples of 1.*\(16, 16, 16\)"):
        WholeVolume(bundle(window=(16, 16, 16)))
    segments = Bundle(
        "labels", preprocessors.intensity(LOW, HIGH), bundle(outputs=2).network, fit="pad"
    )
    with pytest.raises(ValueError, match="must give an image.*labels gives"):
        WholeVolume(segments)
