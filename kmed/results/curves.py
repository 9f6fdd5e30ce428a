"""Training curves as SVG text that lives on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kmed.results.svg import INK, STYLE, svg_text

# Okabe and Ito's blue and vermilion: apart in any colour vision, legible on white and on black.
_TRAINING, _VALIDATION = "#2a8fd0", "#d55e00"
# Of each quantity but the loss, the best epoch is the one where it is largest.
_TITLES = {
    "loss": "Loss",
    "generator_loss": "Loss of the generators",
    "discriminator_loss": "Loss of the discriminators",
    "dice": "Dice",
    "accuracy": "Accuracy",
    "mae": "Mean absolute error",
    "ssim": "SSIM",
    "fid": "Fréchet distance",
}
_ERRORS = ("mae", "fid")  # the least is best


def training_curves(rows: Sequence[Mapping[str, float]]) -> str:
    """Draws losses and measures of a training, training and validation in each.

    Args:
        rows: one for each epoch, as `log.csv` has them, numbers or text: `epoch` and any of
            `loss`, `generator_loss`, `discriminator_loss`, `dice`, `accuracy`, `mae`, `ssim`,
            `fid`, and the same with `val_` before them. A deeply supervised
            network's `logits_loss` and `logits_dice` stand for the quantities of its last output.

    Returns:
        An `<svg>` element. Equal rows give equal text; axes and letters are in `currentColor`.

    Raises:
        ValueError: if there is no row, or none of the quantities.

    Example:
        >>> svg = training_curves([{"epoch": 1, "loss": 0.9}, {"epoch": 2, "loss": 0.4}])
        >>> svg.startswith("<svg") and "currentColor" in svg
        True
    """
    panels = [panel for panel in (_panel(rows, name) for name in _TITLES) if panel]
    if not panels:
        found = sorted(rows[0]) if rows else "no row"
        raise ValueError(
            f"`rows` must hold a loss or measure of at least one epoch; received {found}"
        )
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6 * len(panels), 2.9), layout="constrained")
        figure.get_layout_engine().set(wspace=0.06)
        for axes, (name, curves) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
        ):
            _draw(axes, name, curves)
        return svg_text(figure)


def _panel(rows, quantity):
    """The quantity's name and its curves `(label, colour, epochs, values)`; None without any."""
    curves = []
    for prefix, label, tone in (("", "training", _TRAINING), ("val_", "validation", _VALIDATION)):
        name = prefix + quantity
        if not any(name in row for row in rows):
            name = f"{prefix}logits_{quantity}"
        if not any(name in row for row in rows):
            continue
        epochs = np.array([_number(row.get("epoch", i)) for i, row in enumerate(rows, 1)])
        values = np.array([_number(row.get(name)) for row in rows])
        curves.append((label, tone, epochs, values))
    return (quantity, curves) if curves else None


def _draw(axes, name, curves):
    for label, tone, epochs, values in curves:
        # A lone epoch is a point; a line of one point would show nothing.
        marker = "o" if len(epochs) < 12 else None
        axes.plot(epochs, values, color=tone, label=label, lw=1.7, marker=marker, ms=3.5)
    axes.set_title(_TITLES[name], loc="left", fontweight="bold")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=INK, alpha=0.12, lw=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    if not name.endswith("loss"):
        best = curves[-1]
        if np.isfinite(best[3]).any():
            at = int((np.nanargmin if name in _ERRORS else np.nanargmax)(best[3]))
            point = (best[2][at], best[3][at])
            axes.plot(*point, "o", color=best[1], ms=5.5)
            axes.annotate(
                f"best {best[0]} {point[1]:.3f}, epoch {point[0]:g}",
                (0.985, 0.04),
                xycoords="axes fraction",
                ha="right",
                color=INK,
            )
        if name not in _ERRORS:
            axes.set_ylim(top=1.0)
    else:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
        axes.legend(frameon=False, loc="upper right", handlelength=1.4)


def _number(value) -> float:
    """A log's number; NaN where the epoch has none (an empty cell of a CSV file)."""
    return float(value) if value not in (None, "") else float("nan")
