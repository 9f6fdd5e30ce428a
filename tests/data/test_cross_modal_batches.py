import numpy as np
import pytest
import tensorflow as tf

from kmed.data import cross_modal_batches as module
from kmed.data.augmentation import Augmentation
from kmed.data.cache import Cache
from kmed.data.cross_modal_batches import (
    cross_modal_batches,
    cross_modal_training_batches,
    cross_modal_validation_batches,
)
from kmed.data.items import CrossModal, Item
from kmed.data.sample import Arrays, Sample
from kmed.data.views import View, views

SLICES = 4


def patient_study(number):
    return {"patient": f"p{number}", "study": f"p{number}"}


@pytest.fixture
def store(tmp_path):
    """Samples and cases; a volume's pixels are 10 times the patient's number, plus the slice."""
    cache = Cache(tmp_path / "cache", lambda image, *_: (image, None, None), {})
    rows, columns = np.meshgrid(np.arange(6.0), np.arange(5.0), indexing="ij")
    pattern = np.sin(2 * rows + columns)[..., None]  # an image that a change does not leave alone

    def made(name, number, flat=True):
        path = tmp_path / f"{name}.npy"
        image = np.full((SLICES, 6, 5, 1), 10.0 * number, "float32")
        image += np.arange(SLICES)[:, None, None, None]
        np.save(path, image if flat else image + pattern)
        read = lambda: Arrays(np.load(path), None, (5.0, 1.0, 1.0), None)  # noqa: E731
        return Sample(id=name, patient=f"p{number}", files=(str(path),), read=read)

    return made, cache


@pytest.fixture
def scans(store):
    """Four patients' slices in CT and T2, of equal pixels; a label for each patient."""
    made, cache = store

    def built(flat=True, patients=4):
        items = {}
        for modality in ("ct", "t2"):
            items[modality] = tuple(
                Item(
                    id=f"{modality}{number}-{index}",
                    key=f"{number}-{index}",
                    sample=sample,
                    slice=index,
                    label=number,
                    position_mm=5.0 * index,
                    **patient_study(number),
                )
                for number in range(patients)
                for sample in [made(f"{modality}{number}", number, flat)]
                for index in range(SLICES)
            )
        found = CrossModal(modalities=("ct", "t2"), items=items)
        return views(found, dict(zip((s.id for s in found.samples), cache.cases(found.samples),
                                     strict=True)))  # fmt: skip

    return built


@pytest.fixture
def captioned(store):
    """Six pictures (slices), each with two sentences that tell its pixel."""
    made, cache = store
    samples = [made(f"image{number}", number) for number in range(6)]
    images, texts = [], []
    for number, sample in enumerate(samples):
        common = patient_study(number) | {"key": f"k{number}"}
        images.append(Item(id=sample.id, sample=sample, slice=0, **common))
        for row in range(2):
            words = f"{number} row{row} one two three four five six seven eight"
            texts.append(Item(id=f"{number}-{row}", text=words, **common))
    found = CrossModal(
        modalities=("image", "text"), items={"image": tuple(images), "text": tuple(texts)}
    )
    return views(found, dict(zip((s.id for s in samples), cache.cases(samples), strict=True)))


def arrays(dataset):
    return [tf.nest.map_structure(lambda tensor: tensor.numpy(), batch) for batch in dataset]


def same(first, second):
    tf.nest.assert_same_structure(first, second)
    for a, b in zip(tf.nest.flatten(first), tf.nest.flatten(second), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_pair_comes_once_an_epoch(scans):
    made = scans()
    dataset, steps = cross_modal_training_batches(made, batch_size=8, epochs=2, seed=1)
    batches = arrays(dataset)
    assert steps == 2 and len(batches) == 4
    numbers = []
    for x, y in batches:
        assert list(x) == list(y) == ["ct", "t2"]
        for name in x:
            assert x[name].shape == (8, 6, 5, 1) and x[name].dtype == np.float32
            # The keys are those of the images: patient and slice are seen in the pixels.
            pixel = x[name][:, 0, 0, 0]
            np.testing.assert_array_equal(y[name]["patient"], pixel // 10)
            np.testing.assert_array_equal(y[name]["label"], pixel // 10)
            np.testing.assert_array_equal(y[name]["position"], 5 * (pixel % 10))
            np.testing.assert_array_equal(y[name]["key"], pixel // 10 * SLICES + pixel % 10)
        np.testing.assert_array_equal(x["ct"], x["t2"])
        numbers.append(y["ct"]["key"])
    for epoch in (numbers[:2], numbers[2:]):
        assert sorted(np.concatenate(epoch)) == list(range(16))
    assert numbers[0].tolist() != numbers[2].tolist()
    spec = dataset.element_spec
    assert spec[0]["ct"].shape == (8, 6, 5, 1) and spec[1]["t2"]["position"].dtype == tf.float32


@pytest.mark.parametrize(
    "options",
    [
        {"augmentation": Augmentation(elastic=0)},
        {"sampler": "labels", "per_label": 2, "steps_per_epoch": 3},
    ],
)
def test_a_resumed_training_sees_the_same_batches(scans, options):
    made = scans(flat=False)
    options = {"batch_size": 6, "epochs": 3, "seed": 4} | options
    dataset, steps = cross_modal_training_batches(made, **options)
    whole = arrays(dataset)
    same(whole, arrays(dataset))
    resumed, _ = cross_modal_training_batches(made, first_epoch=1, **options)
    assert steps == 3
    same(whole[steps:], arrays(resumed))
    other, _ = cross_modal_training_batches(made, **options | {"seed": 5, "augmentation": None})
    assert (arrays(other)[0][1]["ct"]["key"] != whole[0][1]["ct"]["key"]).any()


def test_the_images_of_a_pair_are_changed_independently(scans):
    made = scans(flat=False)
    options = {"batch_size": 8, "epochs": 1, "seed": 2}
    [(plain, _), *_] = arrays(cross_modal_training_batches(made, **options)[0])
    np.testing.assert_array_equal(plain["ct"], plain["t2"])
    change = Augmentation(flip="none", rotation_degrees=0, zoom=0, elastic=0, noise=0)
    [(both, _), *_] = arrays(cross_modal_training_batches(made, augmentation=change, **options)[0])
    differences = [both["ct"] - both["t2"], both["ct"] - plain["ct"], both["t2"] - plain["t2"]]
    assert all(np.abs(d).max(axis=(1, 2, 3)).min() > 1e-4 for d in differences)
    one, _ = cross_modal_training_batches(made, augmentation={"t2": change}, **options)
    [(single, _), *_] = arrays(one)
    np.testing.assert_array_equal(single["ct"], plain["ct"])
    np.testing.assert_array_equal(single["t2"], both["t2"])


def test_labels_in_both_modalities(scans):
    dataset, steps = cross_modal_training_batches(
        scans(), batch_size=6, epochs=1, sampler="labels", per_label=3
    )
    assert steps == 3
    for _, y in arrays(dataset):
        for keys in y.values():
            assert sorted(np.bincount(keys["label"], minlength=4)) == [0, 0, 3, 3]
            assert len(set(keys["key"])) == 6


def test_captions_belong_to_their_images(captioned):
    dataset, steps = cross_modal_training_batches(captioned, batch_size=6, epochs=10)
    assert steps == 1
    rows = set()
    for x, y in arrays(dataset):
        words = [sentence.decode().split() for sentence in x["text"]]
        assert [int(w[0]) for w in words] == (x["image"][:, 0, 0, 0] / 10).astype(int).tolist()
        np.testing.assert_array_equal(y["text"]["key"], y["image"]["key"])
        rows |= {(w[0], w[1]) for w in words}
        assert np.isnan(y["text"]["position"]).all() and (y["image"]["label"] == -1).all()
    assert len(rows) == 12  # each caption of each image has come


def test_words_are_left_out_at_random(captioned):
    options = {"batch_size": 6, "epochs": 10, "word_dropout": 0.4, "seed": 3}
    dataset, _ = cross_modal_training_batches(captioned, **options)
    batches = arrays(dataset)
    same(batches[5:], arrays(cross_modal_training_batches(captioned, first_epoch=5, **options)[0]))
    sentences = [s.decode().split() for x, _ in batches for s in x["text"]]
    order = "row0 row1 one two three four five six seven eight".split()
    places = [[order.index(word) for word in words if word in order] for words in sentences]
    assert all(place == sorted(place) for place in places)
    # 60 sentences of 10 words, each kept with probability 0.6: 360, standard deviation 12.
    assert abs(sum(map(len, sentences)) - 360) < 4 * 12


def test_one_word_stays():
    sentences = tf.constant(["one", "", " ", "größer  als", "a b c d"])
    left = module._without_words(sentences, 0.999, tf.constant([1, 2])).numpy()
    assert [len(sentence.split()) for sentence in left] == [1, 0, 0, 1, 1]
    assert left[3].decode() in ("größer", "als")


def test_everything_once_in_order(scans, captioned):
    view = scans()["t2"]
    batches = arrays(cross_modal_batches(view, batch_size=5))
    assert [len(x) for x in batches] == [5, 5, 5, 1]
    numbers = [10 * patient + index for patient in range(4) for index in range(SLICES)]
    np.testing.assert_array_equal(np.concatenate(batches)[:, 0, 0, 0], numbers)
    [sentences] = arrays(cross_modal_batches(captioned["text"], batch_size=100))
    assert [s.decode() for s in sentences] == [i.text for i in captioned["text"].items]


def test_validation_pairs_are_fixed(scans, captioned):
    dataset = cross_modal_validation_batches(scans(), batch_size=5)
    batches = arrays(dataset)
    assert [len(x["ct"]) for x, _ in batches] == [5, 5, 5, 1]
    same(batches, arrays(dataset))
    for x, y in batches:
        np.testing.assert_array_equal(x["ct"], x["t2"])
        np.testing.assert_array_equal(y["ct"]["key"], y["t2"]["key"])
    assert sorted(np.concatenate([y["ct"]["key"] for _, y in batches])) == list(range(16))
    # No batch is one patient's alone, as they would be in order.
    assert all(len(set(y["ct"]["patient"])) > 1 for x, y in batches[:3])
    [(x, _)] = arrays(cross_modal_validation_batches(captioned, batch_size=8, images=4))
    assert len(x["text"]) == 4 and all(b"row0" in sentence for sentence in x["text"])


def test_refuses_what_does_not_fit(scans):
    made = scans()
    for options, message in (
        ({"sampler": "random"}, "`sampler` must be one of"),
        ({"word_dropout": 1.0}, r"`word_dropout` must be in \[0, 1\)"),
        ({"batch_size": 17}, "received 17 with 16 pairs"),
        ({"augmentation": {"mr": None}}, "`augmentation` names 'mr'; the modalities are"),
    ):
        with pytest.raises(ValueError, match=message):
            cross_modal_training_batches(made, **{"batch_size": 4, "epochs": 1} | options)
    with pytest.raises(ValueError, match="two modalities; received"):
        cross_modal_training_batches({"ct": made["ct"]}, batch_size=4, epochs=1)
    blind = View.of(made["ct"].items)
    with pytest.raises(ValueError, match="made without `cases`"):
        cross_modal_batches(blind, batch_size=4)
