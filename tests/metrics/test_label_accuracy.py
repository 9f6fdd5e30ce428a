import numpy as np
import pytest

from kmed.metrics import LabelAccuracy, decisions
from kmed.ops.ordinal import ordinal_probabilities


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "ordinal"])
def test_counts_what_the_decisions_of_the_probabilities_get_right(kind):
    random = np.random.default_rng(0)
    classes = 2 if kind == "binary" else 4
    logits = random.normal(size=(60, classes - (kind == "ordinal"))).astype("float32")
    if kind == "multilabel":
        truth = random.integers(0, 2, (60, 4))
        found = decisions(1 / (1 + np.exp(-logits)), kind)
    else:
        truth = random.integers(0, classes, 60)
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        if kind == "ordinal":
            p = np.asarray(ordinal_probabilities(logits))
        found = decisions(p, kind)
    metric = LabelAccuracy(kind)
    for part in (slice(0, 40), slice(40, 60)):
        metric.update_state(truth[part], logits[part])
    assert float(metric.result()) == pytest.approx(np.mean(found == truth))


def test_mixed_targets_count_by_their_largest_class():
    metric = LabelAccuracy("multiclass")
    metric.update_state([[0.7, 0.3], [0.2, 0.8]], [[1.0, 0.0], [1.0, 0.0]])
    assert float(metric.result()) == 0.5


def test_it_is_rebuilt_from_its_configuration():
    metric = LabelAccuracy("ordinal", name="right")
    again = LabelAccuracy.from_config(metric.get_config())
    assert (again.kind, again.name) == ("ordinal", "right")
