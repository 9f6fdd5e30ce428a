from __future__ import annotations

import numpy as np
import pytest

from kmed.applications.cyclegan import authors_names, cyclegan_generator
from kmed.weights.cyclegan_pix2pix import load_cyclegan_pix2pix

SMALL = {"blocks": 1, "filters": 2}


@pytest.fixture(scope="module")
def checkpoint(golden_weights):
    """Weights of a small generator, by the authors' names."""
    return golden_weights(cyclegan_generator((8, 8, 3), **SMALL), authors_names(1))


def image(channels=3):
    return np.random.default_rng(0).uniform(-1, 1, (1, 8, 8, channels)).astype("float32")


def test_reads_the_authors_file_of_today_and_of_old(checkpoint, pth_file):
    # Old instance normalisations kept statistics; `module.` is of several GPUs.
    old = {f"module.{name}": array for name, array in checkpoint.items()}
    old |= {f"module.model.2.running_{what}": np.ones(2, "float32") for what in ("mean", "var")}
    old["module.model.2.num_batches_tracked"] = np.array([3], "int64")
    paths = pth_file(checkpoint), pth_file(old, "latest_net_G.pth")
    networks = [cyclegan_generator((8, 8, 3), **SMALL, weights=path) for path in paths]
    for network in networks:
        theirs = checkpoint["model.1.weight"]  # (out, in, row, column)
        np.testing.assert_array_equal(
            network.get_layer("stem_conv").kernel, theirs.transpose(2, 3, 1, 0)
        )
        # A transposed convolution's is (in, out, row, column) there.
        theirs = checkpoint["model.11.weight"]
        np.testing.assert_array_equal(
            network.get_layer("up0_conv").kernel, theirs.transpose(2, 3, 1, 0)
        )
    np.testing.assert_array_equal(*(network(image()) for network in networks))


def test_keeps_the_statistics_of_batch_normalisation(golden_weights):
    network = cyclegan_generator((8, 8, 3), **SMALL, normalization="batch")
    arrays = golden_weights(network, authors_names(1))
    fit = load_cyclegan_pix2pix(network, arrays, authors_names(1))
    assert len(fit.loaded) == len(network.weights) == len(arrays)
    np.testing.assert_array_equal(
        network.get_layer("stem_norm").moving_mean, arrays["model.2.running_mean"]
    )


def test_grey_images_take_the_sum_over_colours(checkpoint):
    network = cyclegan_generator((8, 8, 1), **SMALL)
    before = network.get_layer("image_conv").kernel.numpy()
    with pytest.warns(UserWarning) as warned:
        load_cyclegan_pix2pix(network, checkpoint, authors_names(1))
    texts = " ".join(str(one.message) for one in warned)
    assert "adapted from RGB to 1 channels" in texts and '"image_conv" stays' in texts
    np.testing.assert_array_equal(network.get_layer("image_conv").kernel, before)


def test_own_files_and_none(tmp_path):
    first = cyclegan_generator((8, 8, 1), **SMALL)
    first.save_weights(tmp_path / "a.weights.h5")
    second = cyclegan_generator((8, 8, 1), **SMALL, weights=tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(first(image(1)), second(image(1)))
    assert load_cyclegan_pix2pix(first, None, None) is None


def test_refuses_what_does_not_fit(checkpoint, tmp_path, pth_file):
    network = cyclegan_generator((8, 8, 3), blocks=2, filters=2)
    before = network.get_weights()
    with pytest.raises(ValueError, match=r"does not fit the network \"cyclegan_generator\""):
        load_cyclegan_pix2pix(network, checkpoint, authors_names(2))
    for ours, old in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, old)
    with pytest.raises(ValueError, match="no network of the structure"):
        cyclegan_generator((8, 8, 3), **SMALL, padding="zero", weights=pth_file(checkpoint))
    with pytest.raises(FileNotFoundError):
        cyclegan_generator((8, 8, 3), **SMALL, weights=tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"`weights` must be None.*received '.*a.txt'"):
        cyclegan_generator((8, 8, 3), **SMALL, weights=tmp_path / "a.txt")
