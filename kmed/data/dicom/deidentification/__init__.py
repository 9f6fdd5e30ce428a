"""The patient taken out of DICOM: PS3.15, Annex E, as a table, a cleaner and a run over folders."""
