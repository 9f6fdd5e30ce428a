"""From files to samples to batches: sources, splits by patient, the leakage audit, pipelines."""

# Functions with the name of their module are bound here, after the import system has bound the
# module: do not make these imports lazy.
from kmed.data.audit import LeakageError, audit, fingerprint
from kmed.data.decathlon import decathlon, decathlon_labels
from kmed.data.dicom import dicom_series, read_series
from kmed.data.discover import discover
from kmed.data.image_folder import image_folder
from kmed.data.nifti import nifti_pairs, read_nifti, write_nifti
from kmed.data.npz import npz
from kmed.data.phantoms import phantom_source, phantoms
from kmed.data.sample import Arrays, DataError, Sample
from kmed.data.splits import Split, folds, split

__all__ = [
    "Arrays",
    "DataError",
    "LeakageError",
    "Sample",
    "Split",
    "audit",
    "decathlon",
    "decathlon_labels",
    "dicom_series",
    "discover",
    "fingerprint",
    "folds",
    "image_folder",
    "nifti_pairs",
    "npz",
    "phantom_source",
    "phantoms",
    "read_nifti",
    "read_series",
    "split",
    "write_nifti",
]
