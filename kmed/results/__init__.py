"""Findings for people and for other systems: overlays, label files, curves, the HTML report."""

from kmed.results.curves import training_curves
from kmed.results.findings import longest_extent_mm, quantities, write_findings
from kmed.results.overlay import choose_slices, encode_png, montage, overlay, save_png
from kmed.results.report import write_report

__all__ = [
    "choose_slices",
    "encode_png",
    "longest_extent_mm",
    "montage",
    "overlay",
    "quantities",
    "save_png",
    "training_curves",
    "write_findings",
    "write_report",
]
