import numpy as np
import pytest

from kmed.data.augmentation import Augmentation
from kmed.data.cache import Cache
from kmed.data.pipeline import training_batches, validation_batches
from kmed.data.sample import Arrays, Sample


def cases(folder, shapes, *, weighted=False):
    """Images whose value is `100 * case + d` (volumes) and whose mask marks one corner."""

    def sample(number, shape):
        path = folder / f"{number}.npy"
        image = np.full((*shape, 1), 100.0 * number, "float32")
        if len(shape) == 3:
            image += np.arange(shape[0])[:, None, None, None]
        np.save(path, image)
        mask = np.zeros(shape, "uint8")
        mask[(slice(0, 2),) * len(shape)] = 1

        def read():
            return Arrays(np.load(path), mask, (1.0,) * len(shape), None)

        return Sample(id=str(number), patient=str(number), files=(str(path),), read=read)

    def prepare(image, mask, spacing_mm):
        return image, mask, mask * 3.0 if weighted else None

    store = Cache(folder / "cache", prepare, {"weighted": weighted})
    return store.cases([sample(number, shape) for number, shape in enumerate(shapes)])


def arrays(dataset):
    return [tuple(part.numpy() for part in batch) for batch in dataset]


def test_every_image_comes_once_an_epoch(tmp_path):
    batches, steps = training_batches(cases(tmp_path, [(8, 8)] * 6), batch_size=3, epochs=2)
    batches = arrays(batches)
    assert steps == 2
    assert len(batches) == 4
    orders = [
        [x[i, 0, 0, 0] for x, _ in part for i in range(3)] for part in (batches[:2], batches[2:])
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == [0, 100, 200, 300, 400, 500]
    assert orders[0] != orders[1]


def test_later_epochs_do_not_depend_on_where_the_training_started(tmp_path):
    data = cases(tmp_path, [(8, 8)] * 5)
    options = {"batch_size": 2, "epochs": 4, "augmentation": Augmentation(), "seed": 3}
    whole, steps = training_batches(data, **options)
    resumed, _ = training_batches(data, first_epoch=2, **options)
    for first, second in zip(arrays(whole)[2 * steps :], arrays(resumed), strict=True):
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)


def test_another_seed_gives_other_batches(tmp_path):
    data = cases(tmp_path, [(8, 8)] * 6)
    options = {"batch_size": 6, "epochs": 1, "augmentation": Augmentation()}
    [first] = arrays(training_batches(data, seed=1, **options)[0])
    [second] = arrays(training_batches(data, seed=2, **options)[0])
    assert np.abs(first[0] - second[0]).max() > 1


def test_slices_of_volumes(tmp_path):
    data = cases(tmp_path, [(3, 8, 8), (2, 8, 8)])
    batches, steps = training_batches(data, batch_size=5, epochs=1)
    [(images, masks)] = arrays(batches)
    assert steps == 1
    assert sorted(images[:, 0, 0, 0]) == [0, 1, 2, 100, 101]
    assert masks.shape == (5, 8, 8)


def test_foreground_patches_hold_foreground(tmp_path):
    data = cases(tmp_path, [(16, 24, 32)] * 2)
    options = {"rank": 3, "patch_shape": (4, 6, 8), "batch_size": 8, "epochs": 1}
    sure, _ = training_batches(data, foreground=1.0, steps_per_epoch=4, **options)
    for images, masks in arrays(sure):
        assert images.shape == (8, 4, 6, 8, 1)
        assert masks.any(axis=(1, 2, 3)).all()
    never, _ = training_batches(data, foreground=0.0, steps_per_epoch=4, **options)
    assert np.mean([masks.any(axis=(1, 2, 3)).mean() for _, masks in arrays(never)]) < 0.5


def test_patches_larger_than_the_image_repeat_its_edge(tmp_path):
    data = cases(tmp_path, [(4, 6, 8)])
    options = {"rank": 3, "patch_shape": (8, 8, 8), "batch_size": 1, "epochs": 1}
    [(images, _)] = arrays(training_batches(data, **options)[0])
    np.testing.assert_array_equal(images[0, :, 0, 0, 0], [0, 0, 0, 1, 2, 3, 3, 3])


def test_margin_cuts_the_mask_and_the_weight(tmp_path):
    data = cases(tmp_path, [(16, 16)], weighted=True)
    options = {"patch_shape": (20, 20), "margin": 4, "batch_size": 1, "epochs": 1}
    for batches in (training_batches(data, steps_per_epoch=8, **options)[0],):
        for images, masks, weights in arrays(batches):
            assert images.shape == (1, 20, 20, 1)
            assert masks.shape == weights.shape == (1, 12, 12)
            np.testing.assert_array_equal(weights, masks * 3.0)


def test_every_pixel_can_be_in_the_output_of_a_network_with_a_margin(tmp_path):
    data = cases(tmp_path, [(16, 16)])
    options = {"patch_shape": (20, 20), "margin": 6, "batch_size": 64, "epochs": 1}
    [(_, masks)] = arrays(training_batches(data, steps_per_epoch=1, foreground=0.0, **options)[0])
    # Outputs of 8 x 8 start anywhere from 0 to 8: the corner is in it for a start of 0 or 1.
    corners = masks[:, 0, 0].sum()
    assert 0 < corners < 20


def test_validation_is_the_same_every_time(tmp_path):
    data = cases(tmp_path, [(16, 16, 16)] * 3)
    options = {"rank": 3, "patch_shape": (8, 8, 8), "batch_size": 2}
    dataset = validation_batches(data, **options)
    first, second = arrays(dataset), arrays(dataset)
    assert [len(images) for images, _ in first] == [2, 1]
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_refuses_what_does_not_fit(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 4, 1)))
    sample = Sample(
        id="a",
        patient="a",
        files=(str(path),),
        read=lambda: Arrays(np.load(path), None, (1.0, 1.0), None),
    )
    unmasked = Cache(tmp_path / "without", lambda image, *_: (image, None, None), {})
    with pytest.raises(ValueError, match="`cases` must have masks"):
        training_batches(unmasked.cases([sample]), batch_size=1, epochs=1)
    with pytest.raises(ValueError, match="must not be empty"):
        validation_batches([], batch_size=1)
    with pytest.raises(ValueError, match="one common size"):
        validation_batches(cases(tmp_path, [(8, 8), (8, 9)]), batch_size=1)
    with pytest.raises(ValueError, match=r"`foreground` must be in \[0, 1\]; received 2"):
        validation_batches(cases(tmp_path, [(8, 8)]), batch_size=1, foreground=2)
