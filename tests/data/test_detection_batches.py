import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from kmed.data import detection_batches
from kmed.data.box_augmentation import BoxAugmentation
from kmed.data.cache import Cache
from kmed.data.detection_batches import detection_training_batches, detection_validation_batches
from kmed.data.sample import Arrays, Objects, Sample

SIZE = (32, 48)
STILL = {"contrast": 0.0, "brightness": 0.0, "zoom_out": 1.0, "crop": None}


def given(objects):
    return objects


def options(**changes):
    return {"targets": given, "epochs": 1, "batch_size": 4} | changes


@pytest.fixture
def make(tmp_path):
    """Cases with up to three painted boxes, whose last channel holds their number.

    With `channels`, there is one box in each instead, painted in the channel of its number.
    """

    def made(count, size=SIZE, channels=None):
        random = np.random.default_rng(count)
        objects, samples = [], []
        for number in range(count):
            labels = np.arange(min(number, 3)) if channels is None else np.array([number])
            start = random.integers(0, 16, (len(labels), 2))
            boxes = np.concatenate([start, start + random.integers(8, 16, start.shape)], -1)
            image = np.zeros((*size, channels or 4), "float32")
            if channels is None:
                image[..., 3] = number
            for label, (x1, y1, x2, y2) in zip(labels, boxes, strict=True):
                image[y1:y2, x1:x2, label] = 1
            path = tmp_path / f"{size[0]}-{channels}-{number}.npy"
            np.save(path, image)
            samples.append(_sample(path))
            objects.append(Objects(boxes=boxes, labels=labels))
        store = Cache(tmp_path / "cache", lambda image, *_: (image, None, None), {})
        return store.cases(samples), objects

    return made


def _sample(path):
    def read():
        return Arrays(np.load(path), None, (1.0, 1.0), None)

    return Sample(id=path.stem, patient=path.stem, files=(str(path),), read=read)


def arrays(dataset):
    return [tf.nest.map_structure(lambda tensor: tensor.numpy(), batch) for batch in dataset]


def numbers(batches):
    return [int(round(float(image[..., 3].mean()))) for images, _ in batches for image in images]


def same(first, second):
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


def painted(image, box, label):
    """What is painted in one piece around the centre of a box."""
    pieces, _ = ndimage.label(image[..., label] > 0.5)
    x, y = ((box[:2] + box[2:]) / 2).astype(int)
    assert pieces[y, x]
    rows, columns = np.nonzero(pieces == pieces[y, x])
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def agree(images, objects):
    """Find every box again where it is painted; gives the number of boxes."""
    found = 0
    for image, boxes, labels in zip(images, objects["boxes"], objects["labels"], strict=True):
        real = labels >= 0
        assert (np.diff(real.astype(int)) <= 0).all()  # padding comes last
        assert not boxes[~real].any() and (labels[~real] == -1).all()
        for box, label in zip(boxes[real], labels[real], strict=True):
            np.testing.assert_allclose(box, painted(image, box, label), atol=0.7)
            found += 1
    return found


def test_every_image_comes_once_with_its_boxes(make):
    cases, objects = make(8)
    dataset, steps = detection_training_batches(cases, objects, **options(epochs=2))
    batches = arrays(dataset)
    assert steps == 2 and len(batches) == 4
    images, truth = batches[0]
    assert images.shape == (4, *SIZE, 4) and images.dtype == np.float32
    assert truth["boxes"].shape == (4, 3, 4) and truth["boxes"].dtype == np.float32
    assert truth["labels"].shape == (4, 3) and truth["labels"].dtype == np.int32
    assert dataset.element_spec[0].shape == (4, *SIZE, 4)
    for part in (batches[:2], batches[2:]):
        assert sorted(numbers(part)) == list(range(8))
    assert numbers(batches[:2]) != numbers(batches[2:])
    for images, truth in batches:
        for number, boxes, labels in zip(
            numbers([(images, truth)]), truth["boxes"], truth["labels"], strict=True
        ):
            count = min(number, 3)
            np.testing.assert_allclose(boxes[:count], objects[number].boxes, atol=1e-4)
            np.testing.assert_array_equal(labels[:count], objects[number].labels)
            assert not boxes[count:].any() and (labels[count:] == -1).all()


@pytest.mark.parametrize(
    "augmentation",
    [
        BoxAugmentation(**STILL | {"flip": "all"}),
        BoxAugmentation(**STILL | {"zoom_out": 2.0, "crop": "ssd"}),
        BoxAugmentation(
            **STILL | {"mosaic": 0.7, "jitter": 0.3, "scale": (0.6, 1.5), "flip": "all"}
        ),
        BoxAugmentation(**STILL | {"mosaic": 0.5, "sizes": [(32, 48), (64, 64), (48, 40)]}),
    ],
    ids=["flips", "ssd", "mosaic", "sizes"],
)
def test_boxes_move_with_their_image(make, augmentation):
    # Each object has a channel of its own, so that it is found again in a mosaic.
    cases, objects = make(8, channels=8)
    dataset, _ = detection_training_batches(
        cases, objects, augmentation=augmentation, max_boxes=6, **options(epochs=6)
    )
    known = np.concatenate([each.boxes for each in objects])
    found, moved, sizes = 0, 0, set()
    for images, truth in arrays(dataset):
        sizes.add(images.shape[1:3])
        found += agree(images, truth)
        boxes = truth["boxes"][truth["labels"] >= 0]
        moved += (np.abs(boxes[:, None] - known).max(-1).min(-1) > 1e-3).sum()
        assert (boxes >= 0).all() and (boxes[:, 2:] <= np.array(images.shape[2:0:-1]) + 1e-3).all()
    assert found > 24 and moved > 10
    assert sizes == set(augmentation.sizes or [SIZE])
    unknown = dataset.element_spec[0].shape
    assert unknown == (4, *(SIZE if not augmentation.sizes else (None, None)), 8)


def test_mosaics_show_objects_of_several_images(make):
    cases, objects = make(8, channels=8)
    change = BoxAugmentation(**STILL | {"mosaic": 1.0, "flip": "none"})
    for rows, more in ((6, True), (1, False)):
        dataset, _ = detection_training_batches(
            cases, objects, augmentation=change, max_boxes=rows, **options(epochs=4)
        )
        batches = arrays(dataset)
        counts = np.concatenate([(truth["labels"] >= 0).sum(-1) for _, truth in batches])
        assert (counts.max() > 1) == more
        # A mosaic with more objects than rows is not made: none of its objects would be missed.
        for images, truth in batches:
            shown = (images > 0.5).any((1, 2))
            for image, labels in zip(shown, truth["labels"], strict=True):
                assert set(labels[labels >= 0]) <= set(np.flatnonzero(image))
                assert more or image.sum() >= 1


@pytest.mark.parametrize(
    "augmentation",
    [None, BoxAugmentation(noise=0.1, mosaic=0.5, sizes=[(16, 16), (24, 24)])],
    ids=["plain", "changed"],
)
def test_a_resumed_training_sees_the_same_batches(make, augmentation):
    cases, objects = make(6)
    given = options(epochs=3, seed=4, augmentation=augmentation, max_boxes=9)
    dataset, steps = detection_training_batches(cases, objects, **given)
    whole = arrays(dataset)
    same(whole, arrays(dataset))
    resumed, _ = detection_training_batches(cases, objects, first_epoch=2, **given)
    same(whole[2 * steps :], arrays(resumed))
    if augmentation is None:
        other, _ = detection_training_batches(cases, objects, **given | {"seed": 5})
        assert numbers(arrays(other)) != numbers(whole)


def test_targets_see_the_whole_batch(make):
    cases, objects = make(6)

    def targets(objects):
        assert objects["boxes"].shape[1:] == (3, 4)
        return tf.reduce_sum(tf.cast(objects["labels"] >= 0, tf.int32))

    dataset, _ = detection_training_batches(cases, objects, **options(targets=targets))
    batches = arrays(dataset)
    expected = [sum(min(k, 3) for k in numbers([batch])) for batch in batches]
    assert [target for _, target in batches] == expected


def test_intensities_change_and_boxes_do_not(make):
    cases, objects = make(4)
    change = BoxAugmentation(flip="none", zoom_out=1, crop=None, contrast=0.3, brightness=0.3)
    [(images, truth)] = arrays(
        detection_training_batches(cases, objects, augmentation=change, **options())[0]
    )
    ground = images[:, -1, -1, 0]  # where no object is
    gain = images[..., :3].max((1, 2, 3)) - ground
    assert len(np.unique(ground.round(4))) == 4 and np.abs(ground).max() <= 0.3
    assert ((gain > 0.69) & (gain < 1.31) | (gain == 0)).all()
    order = [int(np.flatnonzero([len(o.labels) == (row >= 0).sum() for o in objects])[0])
             for row in truth["labels"]]  # fmt: skip
    assert sorted(order) == [0, 1, 2, 3]
    for number, boxes in zip(order, truth["boxes"], strict=True):
        np.testing.assert_allclose(boxes[: len(objects[number])], objects[number].boxes, atol=1e-4)


def test_difficult_objects_are_left_out(make):
    cases, objects = make(4)
    objects[3] = Objects(
        boxes=objects[3].boxes, labels=[5, 6, 7], difficult=np.array([True, False, True])
    )
    [(_, truth)] = arrays(detection_validation_batches(cases, objects, targets=given, batch_size=4))
    assert truth["labels"].tolist() == [[-1, -1], [0, -1], [0, 1], [6, -1]]


def test_validation_is_in_order_and_unchanged(make):
    cases, objects = make(5)
    dataset = detection_validation_batches(cases, objects, targets=given, batch_size=2)
    batches = arrays(dataset)
    assert [len(images) for images, _ in batches] == [2, 2, 1]
    assert numbers(batches) == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(batches[1][1]["boxes"][1], objects[3].boxes)
    for batch in batches:
        agree(*batch)
    same(batches, arrays(dataset))
    some = detection_validation_batches(
        cases, objects, targets=given, batch_size=2, images=3, max_boxes=7
    )
    assert numbers(arrays(some)) == [0, 1, 2] and arrays(some)[0][1]["labels"].shape == (2, 7)


def test_negatives_alone_make_batches(make):
    cases, _ = make(2)
    empty = [Objects(boxes=np.zeros((0, 4)), labels=[])] * 2
    dataset, _ = detection_training_batches(
        cases, empty, augmentation=BoxAugmentation(), **options(batch_size=2)
    )
    [(images, truth)] = arrays(dataset)
    assert truth["labels"].tolist() == [[-1], [-1]] and np.isfinite(images).all()


def test_large_data_sets_stay_on_disk(make, monkeypatch):
    cases, objects = make(6)
    kept = arrays(detection_training_batches(cases, objects, **options())[0])
    monkeypatch.setattr(detection_batches, "_KEPT_BYTES", 0)
    assert detection_batches._Loader(cases, objects, None).kept is None
    same(kept, arrays(detection_training_batches(cases, objects, **options())[0]))


def test_refuses_what_does_not_fit(make):
    cases, objects = make(4)
    broken = objects[:3] + [Objects(boxes=np.ones((1, 4)), labels=[-1])]
    for these, theirs, changes, message in (
        (cases, objects[:2], {}, "the objects of each case; received 2 for 4 cases"),
        (cases, objects, {"max_boxes": 2}, "`max_boxes` must be at least 3, .* in image 3"),
        (cases, broken, {}, r"`objects\[3\]` must have a box and a label of 0 or greater"),
        ([], [], {}, "must not be empty"),
        (cases[:3], objects[:3], {"augmentation": BoxAugmentation(mosaic=0.1)}, "four images"),
        ([*cases[:3], *make(1, (16, 16))[0]], objects, {}, "one common size"),
    ):
        with pytest.raises(ValueError, match=message):
            detection_training_batches(these, theirs, **options(**changes))
    with pytest.raises(ValueError, match="`max_boxes` must be at least 3"):
        detection_validation_batches(cases, objects, targets=given, batch_size=1, max_boxes=1)
