import csv
import json

import numpy as np

from kmed.export import Bundle
from kmed.tasks.classification.publishing import case_row, label_text


def test_report_shows_the_measures(trained):
    run, settings, _ = trained
    html = (settings.run_folder / "report.html").read_text()
    assert f"{run.metrics['all']['auc'].value:.3f}" in html
    for words in ("temperature, from validation", "threshold of stripes", "ROC", "Reliability"):
        assert words in html
    metrics = json.loads((settings.run_folder / "metrics.json").read_text())
    assert metrics["stripes"]["auc"]["n"] == 12


def test_cases_are_numbered(trained):
    _, settings, _ = trained
    with open(settings.run_folder / "cases.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [f"image {i}" for i in range(1, 13)]
    assert {row["truth"] for row in rows} == {"disc", "stripes"}


def test_rows_and_names(trained):
    bundle = Bundle.load(trained[0].bundle_path)
    bundle.decoder.thresholds = None
    row = case_row(bundle, "a", np.uint8(1), np.array([0.25, 0.75]))
    assert row == {
        "name": "a", "label": "stripes", "certainty": 0.75,
        "probability of disc": 0.25, "probability of stripes": 0.75,
    }  # fmt: skip
    assert label_text(bundle, np.array([1, 1])) == "disc|stripes"
    assert label_text(bundle, np.array([0, 0])) == ""
