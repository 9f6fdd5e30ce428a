"""Volumes against the NIfTI files that dcm2niix made of the same DICOM series."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from kmed.data.dicom.series import read_volume
from kmed.data.nifti import write_nifti

SPEC = importlib.util.spec_from_file_location(
    "dicom_dcm2niix", Path(__file__).parents[2] / "benchmarks" / "dicom_dcm2niix.py"
)
benchmark = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(benchmark)


@pytest.fixture
def corpus(shared_data) -> Path:
    return shared_data / "data" / "dicom"


@pytest.mark.parametrize(
    ("folder", "reference", "frames"),
    [
        ("dcm_qa_enh/In", "dcm_qa_enh/Ref/Philips_WIP_B0_NS_801_e1.nii", 32),
        ("dcm_qa_enh/In", "dcm_qa_enh/Ref/Philips_WIP_B0_NS_801_e2_fieldmaphz.nii", 32),
        ("dcm_qa_enh/In", "dcm_qa_enh/Ref/Siemens_REST1_w_SMS_PF7-8_6.nii", 24),
        ("dcm_qa_nih/In/20180918Si", "dcm_qa_nih/Ref/EPI_PE=AP_3.nii", 10),
        (
            "dcm_qa_siemens_mosaic/In/ax/axasc35",
            "dcm_qa_siemens_mosaic/In/ax/axasc35/6_ax_asc_35sl.nii",
            70,
        ),
    ],
)
def test_voxels_and_affine_are_those_of_dcm2niix(corpus, folder, reference, frames):
    (row,) = benchmark.rows_of(corpus / folder, [corpus / reference], precise=True)
    assert row.differing == 0 and row.affine < 1e-4 and row.frames == frames and row.equal


def test_time_points_that_only_instance_number_tells_apart(corpus):
    """GE's functional series: 15 slices at 10 times, of which three are read here."""
    files = sorted((corpus / "dcm_qa_nih" / "In" / "20180918GE").rglob("*.dcm"))[:45]
    (series,) = benchmark.all_series(files)
    expected, _, affine = benchmark.read_nifti(
        corpus / "dcm_qa_nih" / "Ref" / "DCM2NIIX_regression_test_4.nii"
    )
    assert [volume.shape for volume in series.volumes] == [(15, 64, 64)] * 3
    for time, volume in enumerate(series.volumes):
        read = read_volume(volume)
        assert np.array_equal(read.array, expected[..., time])
        assert np.abs(read.affine - affine).max() < 1e-4


def test_written_as_nifti_it_lies_where_dcm2niix_puts_it(corpus, tmp_path):
    root = corpus / "dcm_qa_siemens_mosaic" / "In" / "ax" / "axasc35"
    (series,) = benchmark.all_series(root)
    read = read_volume(series.volumes[0])
    write_nifti(tmp_path / "volume.nii", read.array, read.affine)
    ours = nib.as_closest_canonical(nib.load(tmp_path / "volume.nii"))
    theirs = nib.as_closest_canonical(nib.load(root / "6_ax_asc_35sl.nii"))
    assert np.abs(ours.affine - theirs.affine).max() < 1e-4
    assert np.array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj)[..., 0])
