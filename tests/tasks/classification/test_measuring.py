import numpy as np
import pytest

from kmed.data import DataError, Sample
from kmed.export import Bundle
from kmed.metrics import auc
from kmed.tasks.classification.measuring import Measured, example_cases, measure


def test_measures_are_those_of_the_bundles_answers(trained):
    run, _, _ = trained
    measured = measure(Bundle.load(run.bundle_path), run.split.test)
    expected = auc(measured.truth, measured.probabilities[:, 1])
    assert measured.summary["stripes"]["auc"].value == pytest.approx(expected)
    assert measured.seconds_per_case > 0


def test_examples_are_sure_errors_a_doubt_and_sure_right_answers(trained):
    bundle = Bundle.load(trained[0].bundle_path)
    bundle.decoder.thresholds = None
    positive = np.array([0.9, 0.6, 0.2, 0.05, 0.51, 0.97])
    measured = Measured(
        samples=[None] * 6,
        truth=np.array([0, 1, 0, 0, 1, 1]),
        labels=(positive >= 0.5).astype(int),
        probabilities=np.stack([1 - positive, positive], axis=1),
    )
    assert example_cases(bundle, measured) == [
        ("surest error", 0),
        ("least sure", 4),
        ("surest right answer", 5),
        ("surest right answer", 3),
        ("surest right answer", 2),
        ("surest right answer", 1),
    ]


def test_what_cannot_be_measured(trained):
    bundle = Bundle.load(trained[0].bundle_path)
    with pytest.raises(DataError, match="no image to measure on"):
        measure(bundle, [])
    sample = Sample(id="a", patient="a", files=("a.png",), read=None)
    with pytest.raises(DataError, match="a.png: has no label"):
        measure(bundle, [sample])
