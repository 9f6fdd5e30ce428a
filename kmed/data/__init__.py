"""From files to samples to batches: sources, labels, splits by patient, audit, pipelines."""

# Functions with the name of their module are bound here, after the import system has bound the
# module: do not make these imports lazy.
from kmed.data.audit import LeakageError, audit, fingerprint, without_duplicates
from kmed.data.class_folders import class_folders
from kmed.data.class_weights import balanced_class_weights
from kmed.data.decathlon import decathlon, decathlon_labels
from kmed.data.dicom import dicom_series, read_series
from kmed.data.discover import discover
from kmed.data.image_folder import image_folder
from kmed.data.label_kinds import Labelled
from kmed.data.label_table import label_table
from kmed.data.labelled import labelled
from kmed.data.nifti import nifti_pairs, read_nifti, write_nifti
from kmed.data.npz import npz
from kmed.data.phantoms import phantom_source, phantoms
from kmed.data.sample import Arrays, DataError, Sample
from kmed.data.splits import Split, folds, split

__all__ = [
    "Arrays",
    "DataError",
    "Labelled",
    "LeakageError",
    "Sample",
    "Split",
    "audit",
    "balanced_class_weights",
    "class_folders",
    "decathlon",
    "decathlon_labels",
    "dicom_series",
    "discover",
    "fingerprint",
    "folds",
    "image_folder",
    "label_table",
    "labelled",
    "nifti_pairs",
    "npz",
    "phantom_source",
    "phantoms",
    "read_nifti",
    "read_series",
    "split",
    "without_duplicates",
    "write_nifti",
]
