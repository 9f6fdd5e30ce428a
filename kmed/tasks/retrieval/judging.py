"""How well towers find, judged on items that they do not learn from."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from kmed.data.cross_modal_batches import cross_modal_batches
from kmed.data.views import View
from kmed.metrics.ranking import Table
from kmed.metrics.retrieval import query_scores


def relevance(a: Mapping, b: Mapping, *, match: str, tolerance_mm: float) -> Table:
    """Tell which items of a gallery answer which query.

    Args:
        a: keys of the queries, as `kmed.ops.relations.relations` takes them.
        b: keys of the gallery.
        match: "key" or "label".
        tolerance_mm: with "key", a slice of the same study up to this distance answers too.

    Returns:
        A function from numbers of queries `(n,)` to `(n, G)` bool.
    """

    def rows(index):
        if match == "label":
            label = a["label"][index, None]
            return (label == b["label"]) & (label >= 0)
        return (a["key"][index, None] == b["key"]) | (distances(index) <= tolerance_mm)

    distances = errors_mm(a, b)
    return rows


def errors_mm(a: Mapping, b: Mapping) -> Table:
    """Tell how far a query's slice is from those of the gallery, along the slice normal.

    Args:
        a: keys of the queries.
        b: keys of the gallery.

    Returns:
        A function from numbers of queries `(n,)` to `(n, G)` in mm: infinite for items of another
        study, NaN where a position is not known.
    """

    def rows(index):
        distance = np.abs(a["position"][index, None] - b["position"])
        return np.where(a["study"][index, None] == b["study"], distance, np.inf)

    return rows


def has_positions(keys: Mapping) -> bool:
    """Whether items have positions at all."""
    return bool(np.isfinite(keys["position"]).any())


class ValidationRecall(keras.callbacks.Callback):
    """Adds the mean recall at 1, 5 and 10 of the validation part to the log as "val_recall".

    Every item of one modality is searched among all of the other, both ways. The mean of three
    depths tells two epochs apart where a small part has few queries. Place it before whatever
    reads the log.

    Args:
        towers: by modality, from what a batch holds (images, or sentences) to embeddings.
        views: the validation part.
        batch_size: items at once.
        match: "key" or "label".
        tolerance_mm: distance of a slice that counts as right.
    """

    def __init__(
        self,
        towers: Mapping[str, keras.Model],
        views: Mapping[str, View],
        *,
        batch_size: int,
        match: str,
        tolerance_mm: float,
    ):
        super().__init__()
        self.functions = {name: _inference(tower) for name, tower in towers.items()}
        self.batches = {
            name: cross_modal_batches(view, batch_size=batch_size) for name, view in views.items()
        }
        first, second = (view.keys for view in views.values())
        options = {"match": match, "tolerance_mm": tolerance_mm}
        self.relevant = (relevance(first, second, **options), relevance(second, first, **options))

    def on_epoch_end(self, epoch, logs=None):
        """Embed both modalities and search."""
        first, second = (
            np.concatenate([self.functions[name](x).numpy() for x in batches])
            for name, batches in self.batches.items()
        )
        both = ((first, second), (second, first))
        places = [
            query_scores(*pair, relevant).first
            for pair, relevant in zip(both, self.relevant, strict=True)
        ]
        recalls = [np.mean(place <= k) for place in places for k in (1, 5, 10)]
        logs["val_recall"] = float(np.mean(recalls))


def _inference(tower):
    return tf.function(lambda x: tower(x, training=False), reduce_retracing=True)
