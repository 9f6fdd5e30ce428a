"""Findings for people and for other systems: overlays, label files, curves, the HTML report."""

from kmed.results.boxes import box_sheet, draw_boxes
from kmed.results.classification_curves import (
    confusion_figure,
    precision_recall_figure,
    reliability_figure,
    risk_coverage_figure,
    roc_figure,
)
from kmed.results.curves import training_curves
from kmed.results.detection_curves import detection_precision_figure, froc_figure
from kmed.results.detection_files import write_coco_json, write_detections_csv
from kmed.results.dicom import (
    ImageBox,
    VolumeBox,
    read_seg,
    write_capture,
    write_derived,
    write_presentation,
    write_seg,
    write_sr,
)
from kmed.results.embedding_map import embedding_figure, embedding_map
from kmed.results.findings import longest_extent_mm, quantities, write_findings, write_volume
from kmed.results.heatmap import heatmap, heatmap_montage
from kmed.results.image_grid import image_grid
from kmed.results.interpolation_sheet import interpolation_sheet, slerp
from kmed.results.overlay import choose_slices, encode_png, montage, overlay, save_png
from kmed.results.query_sheet import Hit, query_sheet
from kmed.results.report import write_report
from kmed.results.translation_sheet import translation_sheet
from kmed.results.worst_boxes import worst_cases, worst_sheet

__all__ = [
    "Hit",
    "ImageBox",
    "VolumeBox",
    "box_sheet",
    "choose_slices",
    "confusion_figure",
    "detection_precision_figure",
    "draw_boxes",
    "embedding_figure",
    "embedding_map",
    "encode_png",
    "froc_figure",
    "heatmap",
    "heatmap_montage",
    "image_grid",
    "interpolation_sheet",
    "longest_extent_mm",
    "montage",
    "overlay",
    "precision_recall_figure",
    "quantities",
    "query_sheet",
    "reliability_figure",
    "risk_coverage_figure",
    "roc_figure",
    "read_seg",
    "save_png",
    "slerp",
    "training_curves",
    "translation_sheet",
    "worst_cases",
    "worst_sheet",
    "write_capture",
    "write_coco_json",
    "write_derived",
    "write_detections_csv",
    "write_findings",
    "write_presentation",
    "write_report",
    "write_seg",
    "write_sr",
    "write_volume",
]
