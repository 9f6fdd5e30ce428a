import numpy as np
import pytest

from kmed.data.augmentation import Augmentation
from kmed.data.cache import Cache
from kmed.data.items import CrossModal, Item
from kmed.data.sample import Arrays, Sample
from kmed.data.translation_batches import (
    translation_training_batches,
    translation_validation_batches,
)
from kmed.data.views import View, views

NONE = {"rotation_degrees": 0, "zoom": 0, "elastic": 0, "contrast": 0, "brightness": 0, "noise": 0}


@pytest.fixture
def sides(tmp_path):
    """Views of two modalities of volumes; pixels tell patient and slice, t2's are the negative."""

    def built(counts=(4, 4), size=(8, 8), slices=2, channels=1, pattern=False, same_keys=True):
        cache = Cache(tmp_path / "cache", lambda image, *_: (image, None, None), {"p": pattern})
        ramp = np.linspace(0, 0.08, size[0] * size[1]).reshape(*size, 1) if pattern else 0
        items, samples = {}, []
        for sign, name, count in zip((1, -1), ("t1", "t2"), counts, strict=True):
            items[name] = []
            for number in range(count):
                values = np.arange(slices)[:, None, None, None] / 100 + (number + 1) / 10
                image = (sign * (values + ramp) * np.ones((*size, channels))).astype("float32")
                path = tmp_path / f"{name}{number}-{size}{slices}{channels}{pattern}.npy"
                np.save(path, image)
                sample = Sample(
                    id=path.stem, patient=f"p{number}", files=(str(path),),
                    read=lambda path=path: Arrays(np.load(path), None, (1.0, 1.0, 1.0), None),
                )  # fmt: skip
                samples.append(sample)
                items[name] += [
                    Item(
                        id=f"{sample.id}/{i}", patient=sample.patient, study=sample.patient,
                        key=f"{'' if same_keys else name}{number}/{i}", sample=sample, slice=i,
                    )
                    for i in range(slices)
                ]  # fmt: skip
        found = CrossModal(modalities=("t1", "t2"), items=items)
        cases = dict(zip((s.id for s in samples), cache.cases(samples), strict=True))
        return tuple(views(found, cases).values())

    return built


def batches(sides, **options):
    options = {"paired": True, "batch_size": 2, "epochs": 1} | options
    dataset, steps = translation_training_batches(*sides, **options)
    return [tuple(np.array(x) for x in batch) for batch in dataset], steps


def values(images):
    return np.concatenate([image[:, 0, 0, 0] for image in images]).round(3)


def test_pairs_show_one_place_and_an_epoch_shows_all(sides):
    found, steps = batches(sides(), batch_size=3, epochs=2)
    assert steps == 3 and len(found) == 6
    one, other = values(b[0] for b in found), values(b[1] for b in found)
    np.testing.assert_array_equal(one, -other)
    assert len(set(one[:8])) == len(set(one[9:17])) == 8  # every slice before one comes again
    assert list(one[:9]) != list(one[9:])
    for batch in found:
        assert [x.shape for x in batch] == [(3, 8, 8, 1)] * 2
        assert batch[0].dtype == np.float32 and len(set(batch[0][:, 0, 0, 0])) == 3


def test_apart_both_are_drawn_by_themselves(sides):
    found, steps = batches(sides((3, 6)), paired=False, batch_size=1, epochs=4)
    assert steps == 12 and len(found) == 48  # the modality with more images, once an epoch
    one, other = values(b[0] for b in found), values(b[1] for b in found)
    assert len(set(one[:6])) == len(set(one[6:12])) == 6  # the other one twice
    assert all(len(set(other[e * 12 : e * 12 + 12])) == 12 for e in range(4))
    # Among 48 independent pairs of 6 and 12 slices, 48 / 12 show one place; all would be 48.
    assert np.sum(one == -other) <= 12
    assert len(set(zip(one, other, strict=True))) > 20


def test_apart_keys_need_not_match(sides):
    apart = sides((2, 2), same_keys=False)
    assert len(batches(apart, paired=False)[0]) == 2
    with pytest.raises(ValueError, match="no key in common: there are no pairs"):
        batches(apart)
    with pytest.raises(ValueError, match="no key in common"):
        translation_validation_batches(*apart, batch_size=1)


def test_more_in_a_batch_than_there_are(sides):
    found, _ = batches(sides((1, 2)), paired=False, batch_size=7)
    assert found[0][0].shape == (7, 8, 8, 1)
    with pytest.raises(ValueError, match="received 7 with 2 pairs"):
        batches(sides((1, 2)), batch_size=7)


@pytest.mark.parametrize("paired", [True, False])
def test_an_epoch_depends_on_its_number_alone(sides, paired):
    options = {"paired": paired, "augmentation": Augmentation(), "crop": (6, 5), "seed": 3}
    both = sides(pattern=True)
    whole, steps = batches(both, epochs=3, **options)
    later, _ = batches(both, epochs=3, first_epoch=2, **options)
    for a, b in zip(whole[2 * steps :], later, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    other, _ = batches(both, epochs=3, **options | {"seed": 4})
    assert not np.array_equal(whole[0][0], other[0][0])


def test_pairs_are_deformed_and_cut_alike(sides):
    change = Augmentation(**NONE | {"rotation_degrees": 30, "zoom": 0.2, "elastic": 0.03})
    found, _ = batches(sides(pattern=True), augmentation=change, crop=(5, 6), epochs=3)
    for one, other in found:
        assert one.shape == other.shape == (2, 5, 6, 1)
        np.testing.assert_allclose(one, -other, atol=1e-6)
    cuts = {tuple(x.ravel().round(4)) for one, _ in found for x in one}
    assert len(cuts) == 24  # no two are changed alike


def test_apart_each_is_deformed_by_itself(sides):
    change = Augmentation(flip="none", **NONE | {"rotation_degrees": 90})
    both = sides((1, 1), slices=1, pattern=True)
    found, _ = batches(both, paired=False, batch_size=1, epochs=4, augmentation=change)
    for one, other in found:
        assert np.abs(one + other).max() > 1e-3
    cut, _ = batches(both, paired=False, batch_size=1, epochs=9, crop=(4, 4))
    assert any(np.abs(one + other).max() > 1e-3 for one, other in cut)


def test_only_the_source_of_a_pair_changes_its_intensities(sides):
    change = Augmentation(flip="none", **NONE | {"contrast": 0.5, "brightness": 3, "noise": 0.1})
    both = sides(pattern=True)
    plain, _ = batches(both, epochs=2)
    changed, _ = batches(both, epochs=2, augmentation=change)
    for (one, other), (one_now, other_now) in zip(plain, changed, strict=True):
        np.testing.assert_allclose(other_now, other, atol=1e-6)
        assert np.abs(one_now - one).min(axis=(1, 2, 3)).max() > 1e-3
        assert np.abs(one_now).max() <= 1
    apart, _ = batches(both, paired=False, epochs=2, augmentation=change)
    calm, _ = batches(both, paired=False, epochs=2)
    for now, before in zip(apart, calm, strict=True):
        np.testing.assert_allclose(np.array(now), np.array(before), atol=1e-6)


@pytest.mark.parametrize(("flip", "ways"), [("none", 1), ("horizontal", 2), ("all", 4)])
def test_mirroring_alone_is_exact(sides, flip, ways):
    both = sides((1, 1), slices=1, pattern=True)
    ((one, other),) = batches(both, batch_size=1)[0]
    images = {axes: np.flip(one, axes) for axes in ((), (2,), (1,), (1, 2))}
    change = Augmentation(flip=flip, **NONE)
    found, _ = batches(both, batch_size=1, epochs=24, augmentation=change)
    seen = [[axes for axes, image in images.items() if np.array_equal(image, now)]
            for now, _ in found]  # fmt: skip
    assert len({axes for (axes,) in seen}) == ways
    assert all(set(axes) <= {2} for (axes,) in seen) or flip == "all"
    for (axes,), (_, target) in zip(seen, found, strict=True):
        np.testing.assert_array_equal(target, np.flip(other, axes))


def test_volumes_are_cut_along_three_axes(tmp_path):
    samples = []
    for name, channels in (("a", 1), ("b", 2)):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(0).random((6, 7, 8, channels)))
        samples.append(
            Sample(
                id=name,
                patient="p",
                files=(str(tmp_path / f"{name}.npy"),),
                read=lambda n=name: Arrays(np.load(tmp_path / f"{n}.npy"), None, (1, 1, 1), None),
            )  # fmt: skip
        )
    cases = Cache(tmp_path / "c", lambda image, *_: (image, None, None), {}).cases(samples)
    items = {s.id: (Item(id="i", patient="p", study="p", key="p", sample=s),) for s in samples}
    found = CrossModal(modalities=("a", "b"), items=items)
    both = views(found, {s.id: case for s, case in zip(samples, cases, strict=True)})
    dataset, _ = translation_training_batches(
        *both.values(), paired=True, batch_size=1, epochs=1, crop=(4, 4, 4),
        augmentation=Augmentation(),
    )  # fmt: skip
    ((one, other),) = dataset
    assert one.shape == (1, 4, 4, 4, 1) and other.shape == (1, 4, 4, 4, 2)


def test_validation_shows_each_pair_once_in_order(sides):
    dataset = translation_validation_batches(*sides((3, 5)), batch_size=4)
    for _ in range(2):
        found = [tuple(np.array(x) for x in batch) for batch in dataset]
        assert [len(one) for one, _ in found] == [4, 2]
        one, other = values(b[0] for b in found), values(b[1] for b in found)
        np.testing.assert_allclose(one, [0.1, 0.11, 0.2, 0.21, 0.3, 0.31], rtol=1e-6)
        np.testing.assert_array_equal(one, -other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` must be 1 or more; received 0"),
        ({"crop": (9, 4)}, r"received \(9, 4\) for images of \(8, 8\)"),
        ({"crop": (4,)}, "a positive length for each axis"),
        ({"crop": (0, 4)}, "a positive length for each axis"),
    ],
)
def test_arguments_that_are_refused(sides, options, message):
    with pytest.raises(ValueError, match=message):
        batches(sides(), **options)


def test_views_that_are_refused(sides):
    (one, _), (_, large) = sides(), sides(size=(8, 10))
    with pytest.raises(ValueError, match=r"must be of one size.*\(8, 8\) and \(8, 10\)"):
        batches((one, large))
    assert batches((one, large), paired=False)[0][0][1].shape == (2, 8, 10, 1)
    told = View.of((Item(id="i", patient="p", study="p", key="p", text="a"),))
    with pytest.raises(ValueError, match="`target` must be a view of images.*received sentences"):
        batches((one, told))
    with pytest.raises(ValueError, match="`source` must be .* received one without cases"):
        batches((View.of(one.items), one))
