import re
import xml.etree.ElementTree as ElementTree

import matplotlib
from matplotlib.figure import Figure

from kmed.results.svg import INK, STYLE, svg_text


def _svg():
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2, 2))
        axes = figure.subplots()
        axes.plot([0, 1, 2], [0, 1, 0], "o-", color=INK)
        axes.set_title("a < b & c")
        return svg_text(figure)


def test_an_element_for_a_page():
    svg = _svg()
    assert svg == _svg()
    root = ElementTree.fromstring(svg)
    assert root.tag.endswith("svg")
    assert "a < b & c" in [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "<!DOCTYPE" not in svg and "<metadata" not in svg and "#ffffff" not in svg
    assert INK not in svg and "currentColor" in svg


def test_names_are_those_that_something_points_at():
    svg = _svg()
    names = set(re.findall(r' id="([^"]+)"', svg))
    used = set(re.findall(r"#([A-Za-z]\w+)", svg))
    assert used and used <= names
    assert not any(re.match(r"(figure|axes|text|line2d|patch)_", name) for name in names)
