import keras
import numpy as np
import pytest

from kmed.data.items import CrossModal, Item
from kmed.data.views import views
from kmed.tasks.retrieval.judging import ValidationRecall, errors_mm, has_positions, relevance

KEYS = {
    "key": np.array([0, 1, 2]),
    "study": np.array([0, 0, 1]),
    "label": np.array([5, -1, 5]),
    "position": np.array([0.0, 3.0, 0.0]),
}


def test_what_is_relevant_by_hand():
    options = {"match": "key", "tolerance_mm": 0.0}
    rows = np.arange(3)
    np.testing.assert_array_equal(relevance(KEYS, KEYS, **options)(rows), np.eye(3, dtype=bool))
    near = relevance(KEYS, KEYS, match="key", tolerance_mm=3.0)(rows[:2])
    assert near.astype(int).tolist() == [[1, 1, 0], [1, 1, 0]]
    labels = relevance(KEYS, KEYS, match="label", tolerance_mm=0.0)(rows)
    assert labels.astype(int).tolist() == [[1, 0, 1], [0, 0, 0], [1, 0, 1]]


def test_errors_end_at_the_study():
    errors = errors_mm(KEYS, KEYS)(np.array([1]))
    assert errors.tolist() == [[3.0, 0.0, np.inf]]
    assert has_positions(KEYS)
    assert not has_positions({"position": np.full(2, np.nan)})


def test_the_recall_of_validation():
    words = ("lung", "brain", "knee", "heart")
    items = {
        name: tuple(Item(id=w, patient=w, study=w, key=w, text=w) for w in order)
        for name, order in (("a", words), ("b", words[::-1]))
    }
    found = views(CrossModal(modalities=("a", "b"), items=items))
    text = keras.Input((), dtype="string")
    ids = keras.layers.StringLookup(vocabulary=list(words), num_oov_indices=0)(text)
    right = keras.Model(text, keras.ops.one_hot(ids, 4))
    wrong = keras.Model(text, keras.ops.one_hot((ids + 1) % 4, 4))
    for tower, expected in ((right, 1.0), (wrong, (0 + 1 + 1) / 3)):
        judge = ValidationRecall(
            {"a": right, "b": tower}, found, batch_size=3, match="key", tolerance_mm=0.0
        )
        logs = {}
        judge.on_epoch_end(0, logs)
        # The wrong tower's match stands last of four: within 5 and 10, not first.
        assert logs["val_recall"] == pytest.approx(expected)
