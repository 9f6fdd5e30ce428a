"""From files to samples to batches: sources, labels, splits by patient, audit, pipelines."""

# Functions with the name of their module are bound here, after the import system has bound the
# module: do not make these imports lazy.
from kmed.data.anchor_clusters import AnchorClusters, anchor_clusters, anchor_fit, sizes_in_network
from kmed.data.annotated import Annotated, annotated
from kmed.data.audit import LeakageError, audit, fingerprint, without_duplicates
from kmed.data.augmentation import Augmentation
from kmed.data.box_augmentation import BoxAugmentation
from kmed.data.box_checks import Problem
from kmed.data.class_folders import class_folders
from kmed.data.class_weights import balanced_class_weights
from kmed.data.cross_modal import cross_modal
from kmed.data.decathlon import decathlon, decathlon_labels
from kmed.data.detection_batches import detection_training_batches, detection_validation_batches
from kmed.data.dicom.samples import dicom_series
from kmed.data.dicom.series import read_series
from kmed.data.discover import discover
from kmed.data.image_folder import image_folder
from kmed.data.intensity import intensity_range
from kmed.data.items import CrossModal, Item
from kmed.data.label_kinds import Labelled
from kmed.data.label_table import label_table
from kmed.data.labelled import labelled
from kmed.data.mask_boxes import boxes_of_mask, mask_boxes
from kmed.data.nifti import nifti_pairs, read_nifti, write_nifti
from kmed.data.npz import npz
from kmed.data.phantoms import phantom_source, phantoms
from kmed.data.sample import Arrays, DataError, Objects, Sample
from kmed.data.splits import Split, folds, split
from kmed.data.translation_batches import (
    translation_training_batches,
    translation_validation_batches,
)
from kmed.data.translation_pairs import translation_source, unpaired_parts

__all__ = [
    "AnchorClusters",
    "Annotated",
    "Arrays",
    "Augmentation",
    "BoxAugmentation",
    "CrossModal",
    "DataError",
    "Item",
    "Labelled",
    "LeakageError",
    "Objects",
    "Problem",
    "Sample",
    "Split",
    "anchor_clusters",
    "anchor_fit",
    "annotated",
    "audit",
    "balanced_class_weights",
    "boxes_of_mask",
    "class_folders",
    "cross_modal",
    "decathlon",
    "decathlon_labels",
    "detection_training_batches",
    "detection_validation_batches",
    "dicom_series",
    "discover",
    "fingerprint",
    "folds",
    "image_folder",
    "intensity_range",
    "label_table",
    "labelled",
    "mask_boxes",
    "nifti_pairs",
    "npz",
    "phantom_source",
    "phantoms",
    "read_nifti",
    "read_series",
    "sizes_in_network",
    "split",
    "translation_source",
    "translation_training_batches",
    "translation_validation_batches",
    "unpaired_parts",
    "without_duplicates",
    "write_nifti",
]
