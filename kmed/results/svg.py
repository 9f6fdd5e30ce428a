"""Figures as SVG text that lives on a light and on a dark page."""

from __future__ import annotations

import io
import re

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

#: Axes and text are drawn in a colour that nothing else has, and which then becomes the page's own.
INK = "#010203"

#: Settings of matplotlib in which a figure is made and written: `matplotlib.rc_context(STYLE)`.
STYLE = {
    "svg.hashsalt": "kmed",  # element names that do not differ from one run to the next
    "svg.fonttype": "none",  # text stays text
    "text.parse_math": False,  # a name with dollar signs is no formula
    "font.size": 9.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
}


def svg_text(figure: Figure) -> str:
    """Writes a figure as an `<svg>` element for a page.

    Args:
        figure: made within `matplotlib.rc_context(STYLE)`, as this call must be.

    Returns:
        The element. Equal figures give equal text; what was drawn in `INK` is in `currentColor`.

    Example:
        >>> import matplotlib
        >>> with matplotlib.rc_context(STYLE):
        ...     svg_text(Figure(figsize=(1, 1)))[:4]
        '<svg'
    """
    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode("utf-8")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    # A page holds several figures: each "axes_1" would be there twice, and nothing points at it.
    text = re.sub(r'(<g) id="[a-z_A-Z0-9.]+_\d+"', r"\1", text)
    # What stands before the element belongs to a file, not to a page.
    return text[text.index("<svg") :].replace(INK, "currentColor").strip()
