import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from kmed.metrics import Interval, auc
from kmed.results.panels import (
    SIZE,
    against_rest,
    class_styles,
    drawn,
    legend,
    operating_point,
    say,
    shaded_matrix,
    unit_square,
    value_text,
)


def test_truth_and_decision_of_each_class():
    p = np.array([[0.8, 0.2], [0.4, 0.6]])
    hot, found = against_rest([1, 0], p, ["a", "b"], "binary", 0.1)
    assert hot.tolist() == [[0, 1], [1, 0]] and found.tolist() == [[0, 1], [0, 1]]
    hot, found = against_rest([[1, 1], [0, 0]], p, ["a", "b"], "multilabel", None)
    assert hot.tolist() == [[1, 1], [0, 0]] and found.tolist() == [[1, 0], [0, 1]]
    for truth, labels, kind in [([1], "ab", "binary"), ([1, 0], "abc", "binary")]:
        with pytest.raises(ValueError, match="do not fit"):
            against_rest(truth, p, labels, kind, None)
    with pytest.raises(ValueError, match="do not fit"):
        against_rest([1, 0], p, "ab", "multilabel", None)


def test_the_worst_classes_have_colours_and_names():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 9, 300)
    hot = np.eye(10)[truth]  # of the tenth class there is none
    p = 0.05 * np.arange(10) * hot + rng.random((300, 10))
    styles = list(class_styles(hot, p, "abcdefghij", "multiclass", auc, "auc", None))
    faint = [k for k, style in styles if style["alpha"] < 1]
    areas = {k: auc(hot[:, k], p[:, k]) for k in range(9)}
    assert sorted(faint) == sorted(sorted(areas, key=areas.get)[6:])
    assert [k for k, style in styles][:3] == faint  # the faint ones lie below
    assert [style["label"] for _, style in styles][:3] == [None, None, "3 others"]
    first = styles[3]
    assert first[1]["label"] == f" {'abcdefghi'[first[0]]} {areas[first[0]]:.3f}"
    assert len({style["color"] for _, style in styles[3:]}) == 6


def test_a_binary_classifier_has_one_curve_with_its_interval():
    hot, p = np.eye(2)[[0, 1, 1]], np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    report = {"yes": {"auc": Interval(1.0, 0.9, 1.0, 3)}}
    ((k, style),) = class_styles(hot, p, ["no", "yes"], "binary", auc, "auc", report)
    assert k == 1 and style["label"] == " yes 1.000 (0.900 to 1.000)"


def test_values():
    nan = float("nan")
    assert value_text(0.12345) == value_text(0.12345, Interval(0.1, nan, nan, 1)) == "0.123"


def test_operating_points_show_both_intervals():
    axes = Figure().subplots()
    measures = {
        "sensitivity": Interval(0.8, 0.7, 0.9, 9),
        "specificity": Interval(0.6, 0.5, 0.75, 9),
    }
    operating_point(axes, (0.4, 0.8), "red", "here", measures)
    point, upright, flat = (line.get_xydata().tolist() for line in axes.lines)
    assert point == [[0.4, 0.8]]
    assert upright == [[0.4, 0.7], [0.4, 0.9]] and flat == [[0.5, 0.8], [0.25, 0.8]]


def test_a_long_legend_stands_below_the_axes():
    long = ["a long name of a class, number " + c for c in "abcdef"]
    for names, place in (("ab", "lower right"), ("ab", None), ("abcdef", "best"), (long, None)):
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        for name in names:
            axes.plot([0, 1], [0, 1], label=name)
        legend(axes, place, "area")
        figure.draw_without_rendering()
        (found,) = figure.legends or [axes.get_legend()]
        box, inner = found.get_window_extent(), axes.get_window_extent()
        assert (box.y1 <= inner.y0) == (len(names) > 4 or place is None)
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y0 >= 0
        assert inner.height > 0.75 * SIZE[1] * figure.dpi  # the axes did not shrink


def test_without_curves_the_legend_says_why():
    axes = Figure().subplots()
    legend(axes, "lower right", "area")
    assert axes.get_legend() is None and "with it and without" in axes.texts[0].get_text()


def test_a_matrix_has_its_numbers_while_there_is_room():
    for size in (3, 13):
        axes = Figure().subplots()
        counts = np.arange(size**2).reshape(size, size)
        names = [str(k) for k in range(size)]
        shaded_matrix(axes, counts, counts / counts.max(), names, names, ("found", "true"))
        assert len(axes.texts) == (9 if size == 3 else 0)
        assert [text.get_text() for text in axes.get_yticklabels()] == names


def test_a_drawing_is_svg():
    def draw(axes):
        unit_square(axes)
        say(axes, "said", (0.1, 0.9))

    root = ElementTree.fromstring(drawn(draw))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "said" in texts and "0.0" in texts and "1.0" in texts
