import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from kmed.metrics import Interval, classification_report, segmentation_report, summarize
from kmed.results import write_report

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """What a reader sees, what a browser would fetch, and whether every element is closed."""

    def __init__(self, path):
        super().__init__()
        self.text, self.urls, self.images, self.rows, self.open, self.tags = "", [], [], [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.rows += [[]] if tag == "tr" else []
        for name, value in attributes:
            if name in {"src", "href", "xlink:href", "data", "action", "srcset", "poster"}:
                (self.images if value.startswith("data:image/png") else self.urls).append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text += data + " "
            if "tr" in self.open and data.strip():
                self.rows[-1].append(data.strip())


def _measured():
    rng = np.random.default_rng(0)
    names, cases = ["background", "liver", "lesion"], []
    for number in range(5):
        truth = np.zeros((6, 16, 16), "uint8")
        truth[1:5, 3:13, 3:13] = 1
        truth[2:4, 5:8, 5:8] = 2
        found = np.where(rng.random(truth.shape) < 0.04 * number, 0, truth)
        if number == 4:
            found[found == 2] = 0
        values = segmentation_report(truth, found, names, (3.0, 1.0, 1.0))
        dice = float(np.mean([v["dice"] for v in values.values()]))
        cases.append({"name": f"case-{number}", "dice": dice, "classes": values})
    return summarize([case["classes"] for case in cases]), cases


def _report(tmp_path, **change):
    metrics, cases = _measured()
    given = {
        "title": "U-Net",
        "lead": "Measured.",
        "facts": {"Data": "phantoms", "Parameters": 1941105, "Minutes": 2.53},
        "metrics": metrics,
        "cases": cases,
    }
    return Page(write_report(tmp_path / "out" / "report.html", **{**given, **change}))


def test_every_figure_is_there(tmp_path):
    page = _report(tmp_path)
    metrics, cases = _measured()
    for name in ("liver", "lesion", "mean"):
        dice = metrics[name]["dice"]
        assert f"{dice.value:.3f}" in page.text
        assert f"{dice.low:.3f} to {dice.high:.3f}" in page.text
        difference = metrics[name]["volume_difference_ml"].value
        assert f"{difference:+.2f}".replace("-", "−") in page.text
    assert metrics["lesion"]["hd95_mm"].omitted == 1
    assert page.text.count("1 omitted") == 2  # of the lesion and of the classes' mean
    assert "phantoms" in page.text and "1,941,105" in page.text and "2.53" in page.text
    heads = ("Dice", "IoU", "HD95, mm", "Surface Dice", "Volume difference, ml")
    assert page.rows[0][-5:] == list(heads)


def test_cases_stand_worst_first(tmp_path):
    page = _report(tmp_path)
    _, cases = _measured()
    rows = [row for row in page.rows if row and row[0].startswith("case-")]
    assert [row[0] for row in rows] == [f"case-{k}" for k in (4, 3, 2, 1, 0)]
    assert rows[0][1:] == [
        f"{cases[4]['dice']:.3f}",
        f"{cases[4]['classes']['liver']['dice']:.3f}",
        "0.000",
        "∞",
    ]


def test_a_long_table_is_cut_and_says_so(tmp_path):
    _, cases = _measured()
    many = [{**cases[1], "name": f"c{k:03d}", "dice": k / 100} for k in range(70, 0, -1)]
    page = _report(tmp_path, cases=many)
    assert "The 50 worst of 70 cases." in page.text
    assert "c001" in page.text and "c050" in page.text and "c051" not in page.text


def test_nothing_is_fetched_or_executed(tmp_path):
    pictures = [("one", np.zeros((8, 8, 3), "uint8"))]
    log = [{"epoch": 1, "loss": 1.0, "val_loss": 1.1, "dice": 0.2, "val_dice": 0.1}]
    page = _report(tmp_path, pictures=pictures, curves=log)
    assert not [url for url in page.urls if not url.startswith("#")]
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert "@import" not in page.source and "url(http" not in page.source
    # The only addresses are the names of SVG's namespaces, which nothing fetches.
    names = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
    rest = page.source
    for name in names:
        rest = rest.replace(f'"{name}"', "")
    assert "http://" not in rest and "https://" not in rest
    assert "default-src 'none'" in page.source
    assert "prefers-color-scheme: dark" in page.source and "@media print" in page.source


def test_text_is_escaped(tmp_path):
    evil = '<script>alert("x")</script>&"\''
    metrics = {evil: {"dice": Interval(0.5, 0.4, 0.6, 3)}}
    cases = [{"name": evil, "dice": 0.5, "classes": {evil: {"dice": 0.5}}}]
    page = _report(
        tmp_path,
        title=evil,
        lead=evil,
        facts={evil: evil},
        metrics=metrics,
        cases=cases,
        pictures=[(evil, np.zeros((4, 4, 3), "uint8"))],
        latency=[{evil: evil, "milliseconds": 1.0}],
        limits=evil,
        versions={evil: evil},
    )
    assert "script" not in page.tags and "<script" not in page.source
    assert page.text.count(evil) >= 10


def test_pictures_are_inside(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (12, 20, 3), "uint8")
    page = _report(tmp_path, pictures=[("worst", rgb), ("best", rgb[:, ::-1])])
    assert len(page.images) == 2 and "worst" in page.text
    data = base64.b64decode(page.images[1].partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), rgb[:, ::-1])


def test_curves_latency_limits_and_versions(tmp_path):
    page = _report(
        tmp_path,
        curves=[{"epoch": 1, "loss": 1.0, "dice": 0.25}],
        latency=[
            {"format": "saved_model", "milliseconds": 20.04, "threads": 2},
            {"format": "tflite", "milliseconds": 10.0, "threads": 2},
        ],
        limits="Not for diagnosis.",
        versions={"keras": "3.15.1"},
    )
    assert "best training 0.250, epoch 1" in page.text
    assert ["saved_model", "20", "2"] in page.rows and ["tflite", "10", "2"] in page.rows
    assert "width: 49.9%" in page.source
    assert "Not for diagnosis." in page.text and "keras 3.15.1" in page.text


def _classified(classes=3):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 40)
    p = rng.dirichlet(np.ones(classes), 40)
    names = ["healthy", "mild", "severe", "never"][:classes]
    return classification_report(truth, p, names, kind="multiclass", resamples=50)


def test_a_classifiers_measures_stand_in_two_tables(tmp_path):
    metrics = _classified()
    page = _report(tmp_path, metrics=metrics, cases=[])
    assert page.tags.count("table") == 2 and "circle" not in page.tags
    heads = [row for row in page.rows if row[0] == "Class"]
    assert heads[0][1:4] == ["Images", "AUC", "Average precision"]
    assert heads[1][-3:] == ["Kappa", "Calibration error", "Brier score"]
    rows = {row[0]: row for row in page.rows}
    auc = metrics["mild"]["auc"]
    expected = [f"{auc.value:.3f}", f"{auc.low:.3f} to {auc.high:.3f}"]
    assert rows["mild"][1:4] == [f"{metrics['mild']['positives'].value:.0f}", *expected]
    assert f"{metrics['all']['accuracy'].value:.3f}" in rows["All classes"]
    assert "Measured on 40 patients" in page.text and "Dice" not in page.text
    assert "omitted" not in page.text.lower()


def test_a_class_that_no_image_has(tmp_path):
    page = _report(tmp_path, metrics=_classified(4), cases=[])
    assert "1 omitted" in page.text and "n/a" in page.text
    assert "classes that no image has" in page.text and "masks" not in page.text


def test_figures_with_their_captions(tmp_path):
    figures = [("ROC & more", "<svg><text>sensitivity</text></svg>"), ("Risk", "<svg></svg>")]
    page = _report(tmp_path, figures=figures)
    assert "ROC & more" in page.text and "sensitivity" in page.text
    assert page.source.count('<figure class="curves" role="img"') == 2
    assert "<svg><text>sensitivity</text></svg>" in page.source
    assert "figcaption" not in _report(tmp_path).tags


def test_planes_have_a_relative_difference(tmp_path):
    truth, found = np.zeros((2, 16, 16), "uint8")
    truth[2:12, 2:12] = 1
    found[2:12, 2:11] = 1
    reports = [segmentation_report(truth, found, ["background", "lung"], (1.0, 1.0))]
    page = _report(tmp_path, metrics=summarize(reports), cases=[])
    assert page.rows[0][-1] == "Size difference, %" and "−10.0" in page.text
    assert "Means over 1 patient." in page.text  # and no interval is claimed
    assert "nan" not in page.text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_values_that_are_not_finite(tmp_path, value):
    interval = Interval(value, float("nan"), float("nan"), 0, 3)
    metrics = {"lung": {"dice": interval, "hd95_mm": interval}}
    cases = [
        {"name": "a", "dice": float("nan"), "classes": {"lung": {"dice": float("nan")}}},
        {"name": "b", "dice": 0.5, "classes": {"lung": {"dice": 0.5, "hd95_mm": value}}},
    ]
    page = _report(tmp_path, metrics=metrics, cases=cases)
    assert "3 omitted" in page.text
    assert [row[0] for row in page.rows if row[0] in "ab"] == ["a", "b"]


def test_an_empty_report_is_a_page(tmp_path):
    page = _report(tmp_path, metrics={}, cases=[], facts={})
    assert "table" not in page.tags and "U-Net" in page.text


def test_equal_input_gives_equal_bytes(tmp_path):
    log = [{"epoch": 1, "loss": 1.0, "dice": 0.2}]
    one, two = _report(tmp_path, curves=log).source, _report(tmp_path, curves=log).source
    assert one == two
