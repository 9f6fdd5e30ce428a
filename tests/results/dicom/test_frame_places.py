import numpy as np
import pytest
from pydicom.dataset import Dataset

from kmed.data.dicom.errors import (
    GantryTilted,
    NoGeometry,
    OrientationMixed,
    SpacingUneven,
    TooLarge,
)
from kmed.results.dicom.frame_places import Place, own_grid

ROW, COLUMN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def multi_frame(positions, *, between=None, thickness=2.0, orientation=(*ROW, *COLUMN)):
    ds, shared, measures, plane = Dataset(), Dataset(), Dataset(), Dataset()
    ds.Rows, ds.Columns, ds.NumberOfFrames = 3, 4, len(positions)
    measures.PixelSpacing = [0.5, 0.25]
    if thickness:
        measures.SliceThickness = thickness
    if between:
        measures.SpacingBetweenSlices = between
    plane.ImageOrientationPatient = list(orientation)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for position in positions:
        item, place = Dataset(), Dataset()
        place.ImagePositionPatient = list(position)
        item.PlanePositionSequence = [place]
        ds.PerFrameFunctionalGroupsSequence.append(item)
    return ds


def test_view_of_a_place():
    array = np.arange(24).reshape(2, 3, 4)
    place = Place(axes=(1, 2, 0), plane=1, start=(3, 0), signs=(-1, 1), size=(4, 2))
    np.testing.assert_array_equal(place.of(array), array[:, 1, ::-1].T)
    place = Place(axes=(0, 1, 2), plane=1, start=(1, 1), signs=(1, 1), size=(2, 3))
    np.testing.assert_array_equal(place.of(array), array[1, 1:, 1:])


def test_planes_without_a_frame_belong_to_the_grid():
    positions = [(-1, 2, 30), (-1, 2, 10), (-1, 2, 20)]
    stated = own_grid(multi_frame(positions, between=2.5), "f")
    assert stated.shape == (9, 3, 4) and stated.spacing_mm == (2.5, 0.5, 0.25)
    assert [place.plane for place in stated.places] == [8, 0, 4]
    np.testing.assert_allclose(stated.affine[:, 3], (-1, 2, 10, 1))
    gaps = own_grid(multi_frame(positions, between=7), "f")  # a statement that can't be true
    assert gaps.shape == (3, 3, 4) and gaps.spacing_mm == (10, 0.5, 0.25)
    one = own_grid(multi_frame(positions[:1]), "f")
    assert one.shape == (1, 3, 4) and one.spacing_mm == (2, 0.5, 0.25)


def test_turned_to_kmeds_orientation():
    # Coronal: columns of pixels run to the feet, slices to the front.
    ds = multi_frame([(5, 8, 40), (5, 6, 40)], orientation=(1, 0, 0, 0, 0, -1))
    grid = own_grid(ds, "f")
    assert grid.shape == (3, 2, 4) and grid.spacing_mm == (0.5, 2, 0.25)
    np.testing.assert_allclose(grid.affine @ (0, 0, 0, 1), (5, 6, 39, 1))
    labels = np.zeros(grid.shape, int)
    grid.places[0].of(labels)[0, 0] = 1  # first pixel of the frame at y = 8
    (index,) = np.argwhere(labels)
    np.testing.assert_allclose(grid.affine @ (*index, 1), (5, 8, 40, 1))


@pytest.mark.parametrize(
    ("ds", "error"),
    [
        (multi_frame([(0, 0, 0), (0, 0, 2), (0, 0, 5)]), SpacingUneven),
        (multi_frame([(0, 0, 0), (0, 0.5, 2), (0, 1.0, 4)]), GantryTilted),
        (multi_frame([(0, 0, 0), (0, 0, 0.02), (0, 0, 1e4)]), TooLarge),
        (multi_frame([(0, 0, 0)], thickness=None), NoGeometry),
    ],
)
def test_refused(ds, error):
    with pytest.raises(error, match="^f: "):
        own_grid(ds, "f")


def test_several_orientations():
    ds = multi_frame([(0, 0, 0), (0, 0, 2)])
    other = Dataset()
    other.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
    ds.PerFrameFunctionalGroupsSequence[1].PlaneOrientationSequence = [other]
    with pytest.raises(OrientationMixed):
        own_grid(ds, "f")
