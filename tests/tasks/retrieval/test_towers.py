import shutil

import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.data import Arrays, DataError, Sample
from kmed.data.items import Item
from kmed.export import Bundle, EmbeddingDecoder
from kmed.tasks.retrieval.towers import (
    embeddings,
    load_tower,
    partner_folder,
    slices,
    tower_name,
)


@pytest.fixture(scope="module")
def tower():
    image = keras.Input((8, 8, 1))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(image))
    network = keras.Model(image, keras.ops.normalize(x), name="tower")
    facts = {
        "task": "retrieval", "modality": "t1", "partner": "t2", "partner_name": "brain-t2",
        "training": "abc",
    }  # fmt: skip
    return Bundle(
        "brain-t1", preprocessors.mr(), network, labels=(), decoder=EmbeddingDecoder(),
        metadata=facts,
    )  # fmt: skip


def volume(reads, shape=(6, 9, 8, 1), modality=None):
    image = np.random.default_rng(0).uniform(50, 90, shape).astype("float32")
    image[0] = 0  # shows nothing
    image[:, 0] = 0  # air

    def read():
        reads.append(1)
        return Arrays(image, None, (2.0, 1.0, 1.0), np.diag([1.0, 1.0, 2.0, 1.0])[:, [2, 1, 0, 3]])

    return Sample(id="v", patient="p", files=("v.nii",), read=read, modality=modality), image


def test_a_volume_is_read_once_for_all_its_items(tower):
    reads = []
    sample, image = volume(reads)
    items = [
        Item(id=f"v{i}", patient="p", study="v", key=f"v{i}", sample=sample, slice=i)
        for i in (1, 4)
    ]
    found = embeddings(tower, items)
    assert len(reads) == 1 and found.dtype == "float32"
    expected = [tower.answer(image[i])["embedding"] for i in (1, 4)]
    np.testing.assert_array_equal(found, expected)


def test_slices_that_show_something(tower):
    reads = []
    sample, image = volume(reads)
    found = list(slices(tower, sample))
    assert [index for index, *_ in found] == [1, 2, 3, 4, 5] and len(reads) == 1
    assert [position for _, position, _ in found] == pytest.approx([2.0, 4.0, 6.0, 8.0, 10.0])
    np.testing.assert_array_equal(found[2][2], tower.answer(image[3])["embedding"])
    assert [index for index, *_ in slices(tower, sample, every_mm=4.0)] == [1, 3, 5]


def test_what_a_tower_does_not_take(tower):
    with pytest.raises(DataError, match="v.nii: the bundle brain-t1 takes pictures or slices of 1"):
        list(slices(tower, volume([], (6, 9, 8, 3))[0]))
    with pytest.raises(DataError, match="of modality CT"):
        list(slices(tower, volume([], modality="CT")[0]))


def test_the_partner_is_the_tower_of_the_same_training(tower, tmp_path):
    one = tower.save(tmp_path, tflite=False)
    assert load_tower(one).metadata == tower.metadata
    with pytest.raises(FileNotFoundError, match="copy the folders of both"):
        partner_folder(one)
    other = tmp_path / tower_name("brain", "t2")
    for version, training in ((1, "abc"), (2, "another")):
        folder = other / str(version)
        shutil.copytree(one, folder)
        facts = folder / "bundle.json"
        facts.write_text(facts.read_text().replace('"abc"', f'"{training}"'))
    assert partner_folder(one) == other / "1"
    facts = one / "bundle.json"
    facts.write_text(facts.read_text().replace('"retrieval"', '"segmentation"'))
    with pytest.raises(ValueError, match="no tower of a retrieval system"):
        load_tower(one)
