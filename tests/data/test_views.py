import numpy as np
import pytest

from kmed.data import views as module
from kmed.data.cache import Cache
from kmed.data.items import CrossModal, Item
from kmed.data.sample import Arrays, DataError, Sample
from kmed.data.views import View, views
from kmed.ops.relations import relations


@pytest.fixture
def make(tmp_path):
    """A sample and its case; the pixels are 10 times a number, plus the slice."""
    store = Cache(tmp_path / "cache", lambda image, *_: (image, None, None), {})

    def made(name, number=0, shape=(3, 4, 5), channels=1):
        path = tmp_path / f"{name}.npy"
        image = np.full((*shape, channels), 10.0 * number, "float32")
        if len(shape) == 3:
            image += np.arange(shape[0])[:, None, None, None]
        np.save(path, image)
        read = lambda: Arrays(np.load(path), None, (1.0,) * len(shape), None)  # noqa: E731
        sample = Sample(id=name, patient=name[0], files=(str(path),), read=read)
        return sample, store.cases([sample])[0]

    return made


def slices(sample, study, *indices, label=None):
    return tuple(
        Item(
            id=f"{sample.id}-{index}",
            patient=sample.patient,
            study=study,
            key=f"{study}-{index}",
            sample=sample,
            slice=index,
            label=label,
            position_mm=5.0 * index,
        )
        for index in indices
    )


def text(id, key=None, words="", **options):
    return Item(id=id, patient=id[0], study=id, key=key or id, text=words, **options)


def test_numbers_are_shared_and_say_what_matches(make):
    t1, _ = make("b-t1")
    t2, _ = make("b-t2")
    other, _ = make("a-t2")
    found = CrossModal(
        modalities=("t2", "t1"),  # the first is not the first of the alphabet
        items={
            "t1": slices(t1, "s1", 2, 1, label=4),
            "t2": slices(other, "s0", 0) + slices(t2, "s1", 1, 2, 0),
        },
    )
    made = views(found)
    assert list(made) == ["t2", "t1"] and len(made["t1"]) == 2
    t1, t2 = made["t1"].keys, made["t2"].keys
    assert t2["key"].tolist() == [0, 2, 3, 1] and t1["key"].tolist() == [3, 2]
    assert t2["patient"].tolist() == [0, 1, 1, 1] == t2["study"].tolist()
    assert t1["label"].tolist() == [4, 4] and t2["label"].tolist() == [-1] * 4
    assert t2["position"].tolist() == [0, 5, 10, 0]
    types = {name: array.dtype for name, array in t1.items()}
    assert types == dict.fromkeys(["key", "patient", "study", "label"], "int32") | {
        "position": "float32"
    }
    positive, negative = relations(t1, t2, near_mm=5.0)
    assert np.array(positive).astype(int).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    assert np.array(negative).astype(int).tolist() == [[1, 0, 0, 1], [1, 0, 0, 0]]


def test_slices_volumes_and_pictures_are_read(make):
    (first, one), (second, two) = make("b1", 1), make("c2", 2)
    cases = {"b1": one, "c2": two}
    view = View.of(slices(first, "b", 2, 0) + slices(second, "c", 1), cases)
    assert view.shape == (4, 5, 1) and not view.text
    images = view.read(np.array([1, 2, 0, 1]))
    assert images.shape == (4, 4, 5, 1) and images.dtype == np.float32
    np.testing.assert_array_equal(images[:, 0, 0, 0], [10, 21, 12, 10])
    whole = View.of([Item(id="v", patient="b", study="b", key="b", sample=first)], cases)
    assert whole.shape == (3, 4, 5, 1) and np.isnan(whole.keys["position"]).all()
    np.testing.assert_array_equal(whole.read([0])[0, :, 0, 0, 0], [10, 11, 12])
    picture, case = make("p", 7, shape=(4, 5))
    plain = View.of([Item(id="p", patient="p", study="p", key="p", sample=picture)], {"p": case})
    assert plain.shape == (4, 5, 1) and (plain.read([0, 0]) == 70).all()


def test_large_data_stay_on_disk(make, monkeypatch):
    (first, one), (second, two) = make("b1", 1), make("c2", 2)
    items = slices(first, "b", 2, 0) + slices(second, "c", 1) + slices(first, "b", 1)
    cases = {"b1": one, "c2": two}
    kept = View.of(items, cases).read([3, 2, 1, 0])
    monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    assert module._Images(items, cases).kept is None
    np.testing.assert_array_equal(View.of(items, cases).read([3, 2, 1, 0]), kept)


def test_an_image_of_several_items_is_kept_once(make):
    picture, case = make("p", 7, shape=(4, 5))
    items = [
        Item(id=f"p{number}", patient="p", study="p", key=f"p{number}", sample=picture)
        for number in range(3)
    ]
    assert module._Images(items, {"p": case}).kept.shape == (1, 4, 5, 1)
    assert (View.of(items, {"p": case}).read([2, 0]) == 70).all()


def test_sentences():
    view = View.of([text("a", words="Fluid, größer"), text("b")])
    assert view.text and view.shape is None
    assert [read.decode() for read in view.read([1, 0])] == ["", "Fluid, größer"]


@pytest.mark.parametrize("kept", [True, False])
def test_refuses_other_channels(make, monkeypatch, kept):
    (first, one), (second, two) = make("b1", 1), make("c2", 2, channels=3)
    if not kept:
        monkeypatch.setattr(module, "_KEPT_BYTES", 0)
    with pytest.raises(ValueError, match="images of 1 and of 3 channels"):
        View.of(slices(first, "b", 0) + slices(second, "c", 0), {"b1": one, "c2": two})


def test_refuses_what_does_not_fit(make):
    (first, one), (small, two) = make("b1", 1), make("c2", 2, shape=(3, 4, 4))
    items = slices(first, "b", 2)
    for chosen, cases, message in (
        (items, {}, "no case of sample 'b1'"),
        (slices(first, "b", 3), {"b1": one}, r"slice 3 of a volume.*\(3, 4, 5\)"),
        (items + slices(small, "c", 0), {"b1": one, "c2": two}, "one common size"),
        ([*items, text("a")], {"b1": one}, "received 1 texts among 2 items"),
        ([Item(id="n", patient="n", study="n", key="n")], {}, "'n' must have either.*neither"),
        ([Item(**vars(items[0]) | {"text": "a"})], {}, "must have either.*both"),
        ([], {}, "no items"),
    ):
        with pytest.raises(ValueError, match=message):
            View.of(chosen, cases)
    with pytest.raises(ValueError, match="made without `cases`"):
        View.of(items).read([0])
    empty = CrossModal(modalities=("t1", "t2"), items={"t1": items, "t2": ()})
    with pytest.raises(DataError, match="no items of 't2'"):
        views(empty)
