from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from kmed.data.dicom.boxes import patient_mm_on_slices, plane_mm_to_pixels
from kmed.data.dicom.slices import SliceHeader
from kmed.data.sample import DataError


def header(z=0.0, *, thickness=5.0, orientation=(1, 0, 0, 0, 1, 0), position=(-100, -50), **more):
    return SliceHeader(
        path=Path("slice.dcm"),
        instance_uid="1",
        series_uid="2",
        study_uid="3",
        frame_of_reference_uid="4",
        patient="p",
        modality="CT",
        shape=(100, 200),
        spacing_mm=(2.0, 0.5),
        orientation=orientation,
        position_mm=(*position, z),
        thickness_mm=thickness,
        **more,
    )


def test_millimetres_in_the_plane():
    assert plane_mm_to_pixels((1, 2, 5, 8), header()) == (2, 1, 10, 4)


def test_the_spacing_of_a_radiograph_is_read_from_its_file(tmp_path):
    plain = replace(header(), spacing_mm=(), path=tmp_path / "x.dcm")
    ds = pydicom.Dataset()
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    ds.Modality, ds.ImagerPixelSpacing = "DX", [0.25, 0.5]
    ds.file_meta.MediaStorageSOPClassUID = ds.file_meta.MediaStorageSOPInstanceUID = "1.2"
    ds.save_as(plain.path, enforce_file_format=True)
    assert plane_mm_to_pixels((1, 1, 2, 2), plain) == (2, 4, 4, 8)
    del ds.ImagerPixelSpacing
    ds.save_as(plain.path, enforce_file_format=True)
    with pytest.raises(DataError, match="x.dcm: boxes in millimetres need PixelSpacing"):
        plane_mm_to_pixels((1, 1, 2, 2), plain)


def test_a_cuboid_on_the_slices_that_it_meets():
    slices = [header(z) for z in (0, 5, 10, 15)]
    # The first pixel's centre is at (-100, -50), so its left edge is at -100.25, its upper at -51.
    cuboid = (-100.25, -51, 4, -99.25, -47, 11)
    assert patient_mm_on_slices(cuboid, slices) == {1: (0, 0, 2, 2), 2: (0, 0, 2, 2)}
    turned = (-99.25, -47, 11, -100.25, -51, 4)  # corners in another order
    assert patient_mm_on_slices(turned, slices) == patient_mm_on_slices(cuboid, slices)


def test_a_thin_one_goes_to_the_nearest_slice_and_a_far_one_to_none():
    slices = [header(z) for z in (0, 5, 10)]
    thin = (-100, -50, 6.9, -90, -40, 7.1)
    assert list(patient_mm_on_slices(thin, slices)) == [1]
    assert patient_mm_on_slices((-100, -50, 12.6, -90, -40, 13), slices) == {}
    assert patient_mm_on_slices(thin, [replace(s, thickness_mm=1.0) for s in slices]) == {}


def test_turned_slices():
    # Rows run to the right of the patient, columns to anterior.
    flipped = header(orientation=(-1, 0, 0, 0, -1, 0), position=(100, 50))
    assert patient_mm_on_slices((99.25, 47, -1, 100.25, 51, 1), [flipped]) == {0: (0, 0, 2, 2)}
    # Coronal: rows to the left, columns to inferior; the normal runs along y.
    coronal = header(z=30, orientation=(1, 0, 0, 0, 0, -1), position=(0, 7))
    found = patient_mm_on_slices((-0.25, 6, 25, 0.75, 8, 31), [coronal])
    assert found == {0: (0, 0, 2, 3)}


def test_corners_are_where_pydicoms_numbers_put_the_pixels():
    random = np.random.default_rng(0)
    spun = np.linalg.qr(random.normal(size=(3, 3)))[0]
    one = header(z=7.0, orientation=tuple(spun[:2].ravel()), position=(3, 4))
    # PS3.3 C.7.6.2.1.1: the centre of column i, row j.
    place = np.array(one.position_mm) + 40 * 0.5 * spun[0] + 30 * 2.0 * spun[1]
    [box] = patient_mm_on_slices((*place, *place), [one]).values()
    assert box == pytest.approx((40.5, 30.5, 40.5, 30.5))


def test_a_slice_that_does_not_say_where_it_lies_is_refused():
    with pytest.raises(DataError, match="slice.dcm: multi-frame"):
        patient_mm_on_slices((0, 0, 0, 1, 1, 1), [header(refusal="multi-frame")])
