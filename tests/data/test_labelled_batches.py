import numpy as np
import pytest

from kmed.data import labelled, labelled_batches
from kmed.data.augmentation import Augmentation
from kmed.data.cache import Cache
from kmed.data.labelled_batches import labelled_training_batches, labelled_validation_batches
from kmed.data.sample import Arrays, Sample

TWO = {"classes": 2, "kind": "binary", "epochs": 2, "batch_size": 4}


@pytest.fixture
def make(tmp_path):
    """Cases whose pixels are 10 times their number, plus the slice."""

    def made(count, shape=(6, 5)):
        def sample(number):
            path = tmp_path / f"{len(shape)}-{number}.npy"
            image = np.full((*shape, 1), 10.0 * number, "float32")
            if len(shape) == 3:
                image += np.arange(shape[0])[:, None, None, None]
            np.save(path, image)

            def read():
                return Arrays(np.load(path), None, (1.0,) * len(shape), None)

            return Sample(id=path.stem, patient=path.stem, files=(str(path),), read=read)

        store = Cache(tmp_path / "cache", lambda image, *_: (image, None, None), {})
        return store.cases([sample(number) for number in range(count)])

    return made


def arrays(dataset):
    return [(images.numpy(), targets.numpy()) for images, targets in dataset]


def numbers(batches):
    return np.concatenate([images[:, 0, 0, 0] for images, _ in batches]) / 10


def same(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_every_image_comes_once_with_its_label(make):
    targets = np.array([0, 1, 1, 0, 1, 0, 0, 1])
    dataset, steps = labelled_training_batches(make(8), targets, **TWO)
    batches = arrays(dataset)
    assert steps == 2 and len(batches) == 4
    assert batches[0][0].shape == (4, 6, 5, 1) and batches[0][1].dtype == np.int32
    for part in (batches[:2], batches[2:]):
        assert sorted(numbers(part)) == list(range(8))
        labels = np.concatenate([labels for _, labels in part])
        np.testing.assert_array_equal(labels, targets[numbers(part).astype(int)])
    assert list(numbers(batches[:2])) != list(numbers(batches[2:]))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampling": "balanced"},
        {"mixup": 0.3, "cutmix": 1.0, "augmentation": Augmentation(elastic=0)},
    ],
)
def test_a_resumed_training_sees_the_same_batches(make, options):
    cases, targets = make(9), [0, 0, 0, 0, 0, 1, 1, 0, 0]
    options = TWO | {"seed": 4} | options
    dataset, steps = labelled_training_batches(cases, targets, **options)
    whole = arrays(dataset)
    same(whole, arrays(dataset))
    resumed, _ = labelled_training_batches(cases, targets, first_epoch=1, **options)
    same(whole[steps:], arrays(resumed))


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_another_seed_gives_another_order(make, sampling):
    cases, targets = make(9), [0, 0, 0, 0, 0, 1, 1, 0, 0]
    orders = []
    for seed in (1, 1, 2):
        options = TWO | {"seed": seed, "sampling": sampling}
        orders.append(
            list(numbers(arrays(labelled_training_batches(cases, targets, **options)[0])))
        )
    assert orders[0] == orders[1] != orders[2]


def test_balanced_classes_come_equally_often(make):
    targets = np.array([0] * 7 + [1] * 2 + [2])
    options = {"classes": 3, "kind": "ordinal", "batch_size": 5, "epochs": 3, "seed": 1}
    dataset, steps = labelled_training_batches(
        make(10), targets, sampling="balanced", steps_per_epoch=4, **options
    )
    batches = arrays(dataset)
    assert steps == 4
    for first in range(0, 12, 4):
        epoch = batches[first : first + 4]
        counts = np.bincount(np.concatenate([labels for _, labels in epoch]), minlength=3)
        assert sorted(counts) == [6, 7, 7]  # 20 images
        seen = np.bincount(numbers(epoch).astype(int), minlength=10)
        assert seen[:7].max() <= 1 and np.ptp(seen[7:9]) <= 1 and seen[9] == counts[2]


def test_balanced_by_the_rarest_label(make):
    # Label 1 is the rarest (2 of 8), label 0 is on 5, two have none: three groups.
    targets = [(1, 0), (1, 0), (1, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 0)]
    dataset, _ = labelled_training_batches(
        make(8), targets, classes=2, kind="multilabel", batch_size=12, epochs=1,
        steps_per_epoch=1, sampling="balanced",
    )  # fmt: skip
    [(images, labels)] = arrays(dataset)
    seen = np.bincount((images[:, 0, 0, 0] / 10).astype(int), minlength=8)
    assert seen[:4].tolist() == [1] * 4 and seen[4:].tolist() == [2] * 4
    assert labels.dtype == np.float32 and labels.shape == (12, 2) and labels[:, 1].sum() == 4


def test_mixed_targets_are_soft(make):
    options = {"kind": "multiclass", "classes": 3, "batch_size": 6, "epochs": 1}
    cases, targets = make(6), [0, 1, 2, 0, 1, 2]
    [(images, labels)] = arrays(labelled_training_batches(cases, targets, mixup=1.0, **options)[0])
    assert labels.shape == (6, 3) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-5)
    assert ((labels > 0.01) & (labels < 0.99)).any() and images.shape == (6, 6, 5, 1)
    [(_, plain)] = arrays(labelled_validation_batches(cases, targets, batch_size=6, one_hot=3))
    np.testing.assert_array_equal(plain, np.eye(3, dtype="float32")[targets])
    with pytest.raises(ValueError, match="`mixup` must be 0 for kind='ordinal'"):
        labelled_training_batches(cases, targets, mixup=1.0, **options | {"kind": "ordinal"})


def test_volumes_and_their_slices(make):
    cases, targets = make(2, (3, 6, 5)), [0, 1]
    options = {"classes": 2, "kind": "binary", "epochs": 1}
    dataset, _ = labelled_training_batches(cases, targets, rank=3, batch_size=2, **options)
    assert arrays(dataset)[0][0].shape == (2, 3, 6, 5, 1)
    dataset, steps = labelled_training_batches(cases, targets, rank=2, batch_size=6, **options)
    [(images, labels)] = arrays(dataset)
    assert steps == 1 and sorted(images[:, 0, 0, 0]) == [0, 1, 2, 10, 11, 12]
    np.testing.assert_array_equal(labels, images[:, 0, 0, 0] >= 10)


def test_validation_is_in_order(make):
    dataset = labelled_validation_batches(make(5), [0, 1, 1, 0, 2], batch_size=2)
    batches = arrays(dataset)
    assert [len(labels) for _, labels in batches] == [2, 2, 1]
    assert list(numbers(batches)) == [0, 1, 2, 3, 4]
    assert np.concatenate([labels for _, labels in batches]).tolist() == [0, 1, 1, 0, 2]
    same(batches, arrays(dataset))
    some = labelled_validation_batches(make(5), [(0, 1)] * 5, batch_size=2, images=3)
    assert [labels.tolist() for _, labels in arrays(some)] == [[[0, 1]] * 2, [[0, 1]]]


def test_large_data_sets_stay_on_disk(make, monkeypatch):
    cases, targets = make(6), [0, 1] * 3
    kept = arrays(labelled_training_batches(cases, targets, **TWO)[0])
    monkeypatch.setattr(labelled_batches, "_KEPT_BYTES", 0)
    assert labelled_batches._Loader(cases, np.array(targets), 2).kept is None
    same(kept, arrays(labelled_training_batches(cases, targets, **TWO)[0]))


def test_refuses_what_does_not_fit(make):
    cases = make(3)
    for targets, options, message in (
        ([0, 1], {}, "one label per case; received 2 for 3"),
        ([0, 1, 2], {}, "must be from 0 to 1"),
        ([0, 1, 1], {"sampling": "equal"}, "`sampling` must be one of"),
        ([0, 1, 1], {"rank": 3}, "`rank` 3 takes images of 3 axes"),
    ):
        with pytest.raises(ValueError, match=message):
            labelled_training_batches(cases, targets, **TWO | options)
    with pytest.raises(ValueError, match="must be from 0 to 1"):
        labelled_validation_batches(cases, [0, 1, 2], batch_size=1, one_hot=2)
    with pytest.raises(ValueError, match="must not be empty"):
        labelled_validation_batches([], [0], batch_size=1)
    with pytest.raises(ValueError, match="one common size"):
        labelled_validation_batches([*cases, *make(1, (4, 4))], [0] * 4, batch_size=1)


def test_pneumonia(shared_data, tmp_path):
    found = labelled(shared_data / "data" / "pneumoniamnist")
    samples = found.split.validation
    store = Cache(tmp_path, lambda image, *_: (image, None, None), {})
    targets = [sample.label for sample in samples]
    dataset, steps = labelled_training_batches(
        store.cases(samples), targets, classes=2, kind="binary", batch_size=128, epochs=1,
        sampling="balanced",
    )  # fmt: skip
    labels = np.concatenate([labels for _, labels in arrays(dataset)])
    assert steps == 5 and np.bincount(labels).tolist() == [320, 320]  # of 135 and 389
