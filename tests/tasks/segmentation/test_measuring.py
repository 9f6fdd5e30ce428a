import pytest

from kmed.data import DataError
from kmed.export import Bundle
from kmed.tasks.segmentation.measuring import Measured, example_cases, measure


def test_measures_every_case(trained):
    run, _, _ = trained
    steps = []
    measured = measure(
        Bundle.load(run.bundle_path), run.split.train, progress=lambda *step: steps.append(step)
    )
    assert len(measured.cases) == 8
    assert steps[-1] == (8, 8)
    assert measured.summary["disc"]["dice"].n == 8
    assert measured.seconds_per_case > 0


def test_nothing_to_measure(trained):
    with pytest.raises(DataError, match="no case"):
        measure(Bundle.load(trained[0].bundle_path), [])


def test_examples_are_the_worst_the_median_and_the_best():
    cases = [{"dice": dice} for dice in (0.9, 0.1, 0.5, 0.7, 0.3)]
    found = example_cases(Measured(cases=cases))
    assert [(name, case["dice"]) for name, case in found] == [
        ("worst", 0.1),
        ("median", 0.5),
        ("best", 0.9),
    ]
    assert len(example_cases(Measured(cases=cases[:1]))) == 1
