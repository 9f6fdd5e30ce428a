"""Slices sampled anew: a linear ramp in the patient comes back as that ramp, whatever the grid."""

import numpy as np
import pydicom
import pytest
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from kmed.data.dicom.errors import TooLarge
from kmed.data.dicom.frames import Frame
from kmed.data.dicom.resample import resampled, target_grid
from kmed.data.dicom.series import read_series
from kmed.data.dicom.writer import StudyHeader, write_series

ROWS, COLUMNS = 9, 11
GRADIENT = np.array([3.0, -5.0, 7.0])


def slices(along, shift, *, angles=(0, 0, 0), origin=(-20.0, 30.0, 5.0), spacing=(0.7, 0.9)):
    row, column, _ = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    normal = np.cross(row, column)
    shift = np.broadcast_to(shift, (len(along), 2))
    return [
        Frame(
            index=0,
            position_mm=tuple(np.array(origin) + z * normal + a * row + b * column),
            orientation=(*row, *column),
            spacing_mm=spacing,
        )
        for z, (a, b) in zip(along, shift, strict=True)
    ]


def ramp(places):
    return places @ GRADIENT + 11.0


def source(frames):
    """The values of the ramp on each slice."""

    def read(index):
        frame = frames[index]
        row, column = np.array(frame.orientation).reshape(2, 3)
        r, c = np.mgrid[:ROWS, :COLUMNS]
        places = np.array(frame.position_mm) + (
            r[..., None] * frame.spacing_mm[0] * column + c[..., None] * frame.spacing_mm[1] * row
        )
        return ramp(places)

    return read


def coverage(frames, places):
    """Which places lie within the slices about them, and which do not, by geometry alone.

    Shifts of less than a hundredth of a pixel may be left out: such places are neither.
    """
    row, column = np.array(frames[0].orientation).reshape(2, 3)
    normal = np.cross(row, column)
    positions = np.array([frame.position_mm for frame in frames])
    along, z = positions @ normal, places @ normal
    off = np.full(z.shape, -np.inf)
    for index in range(len(frames)):
        low, high = along[max(index - 1, 0)], along[min(index + 1, len(along) - 1)]
        used = (z > low + 1e-6) & (z < high - 1e-6) | (np.abs(z - along[index]) < 1e-6)
        for axis, length, spacing in ((column, ROWS, 0.7), (row, COLUMNS, 0.9)):
            at = (places - positions[index]) @ axis / spacing
            off[used] = np.maximum(off, np.maximum(-at, at - length + 1))[used]
    return off <= 1e-6, off > 0.02


def places_of(target):
    index = np.stack([*np.indices(target.shape), np.ones(target.shape)], axis=-1)
    return (index @ target.affine.T)[..., :3]


@pytest.mark.parametrize("seed", range(25))
def test_a_ramp_comes_back_from_any_grid(seed):
    rng = np.random.default_rng(seed)
    gaps = rng.choice([[2.0], [2.0, 4.0, 8.0], [1.1, 2.0, 3.7]][seed % 3], size=8)
    along = np.concatenate([[0], np.cumsum(gaps)])
    tilt = rng.uniform(-0.25, 0.25, 2) * (seed % 2)
    frames = slices(along, along[:, None] * tilt, angles=rng.uniform(-180, 180, 3))
    target = target_grid(frames, ROWS, COLUMNS)
    out = resampled(target, source(frames), outside=-1e6)
    places = places_of(target)
    inside, outside = coverage(frames, places)
    assert inside.mean() > 0.05 and (inside | outside).mean() > 0.95
    np.testing.assert_allclose(out[inside], ramp(places)[inside], rtol=1e-5, atol=1e-3)
    assert (out[outside] == -1e6).all()
    assert np.linalg.norm(target.affine[:3, :3], axis=0) == pytest.approx(target.spacing_mm)
    cosines = target.affine[:3, :3] / target.spacing_mm
    np.testing.assert_allclose(cosines.T @ cosines, np.eye(3), atol=1e-9)
    # All of the slices are within the grid.
    first, last = (np.linalg.inv(target.affine) @ (*frames[i].position_mm, 1) for i in (0, -1))
    assert first[0] == pytest.approx(0) and last[0] == pytest.approx(target.shape[0] - 1)


def test_missing_slices_are_put_between_and_the_others_stay():
    frames = slices([0, 2, 4, 8.02, 10, 16], (0, 0))
    values = np.random.default_rng(1).normal(size=(6, ROWS, COLUMNS)).astype(np.float32)
    target = target_grid(frames, ROWS, COLUMNS)
    out = resampled(target, values.__getitem__)
    assert target.shape == (9, ROWS, COLUMNS) and target.spacing_mm[0] == pytest.approx(2)
    np.testing.assert_array_equal(out[[0, 1, 2, 4, 5, 8]], values)
    np.testing.assert_allclose(out[3], (values[2] + values[3]) / 2, rtol=1e-6)
    np.testing.assert_allclose(out[6], values[4] * 2 / 3 + values[5] / 3, atol=1e-6)
    assert "6 slices 1.980 to 6.000 mm apart became 9 at 2.000 mm" in target.said


def test_distances_that_grow_are_not_taken_for_even_ones():
    along = np.cumsum([0, *np.linspace(1.9, 2.1, 20)])  # each within 5 % of the median
    target = target_grid(slices(along, (0, 0)), ROWS, COLUMNS)
    found = np.interp(target.places, np.arange(21), along)
    even = target.spacing_mm[0] * np.arange(target.shape[0])
    np.testing.assert_allclose(found, even, atol=1e-9)


def test_outside_is_the_least_value_unless_said():
    along = np.arange(4) * 2.0
    frames = slices(along, np.stack([np.zeros(4), along], axis=1))
    target = target_grid(frames, ROWS, COLUMNS)
    read = source(frames)
    least = min(read(index).min() for index in range(4))
    assert resampled(target, read).min() == pytest.approx(least)
    out = resampled(target, read, outside=-3000)
    assert (out[0, -3:] == -3000).all() and (out[-1, :3] == -3000).all()


def test_each_slice_is_read_once_and_in_order():
    frames, calls = slices([0, 1, 3, 3.5, 9], (0, 0)), []

    def read(index):
        calls.append(index)
        return source(frames)(index)

    resampled(target_grid(frames, ROWS, COLUMNS), read)
    assert calls == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("place", [(0.0, 0.0, 9e5), (9e5, 0.0, 6.0)])
def test_a_slice_far_away_is_no_reason_for_terabytes(place):
    frames = slices([0, 2, 4], (0, 0), origin=(0, 0, 0))
    frames.append(Frame(index=0, position_mm=place, orientation=frames[0].orientation,
                        spacing_mm=frames[0].spacing_mm))  # fmt: skip
    with pytest.raises(TooLarge, match="4 slices of 9 x 11 pixels lie so far apart") as error:
        target_grid(frames, ROWS, COLUMNS)
    assert error.value.figures["slices"] == 4


@pytest.mark.parametrize("seed", range(6))
def test_a_ramp_written_as_files_comes_back_in_its_place(tmp_path, seed):
    """Tilted, uneven or with gaps, axial to sagittal, from DICOM files to `read_series`."""
    rng = np.random.default_rng(seed)
    gaps = [[2.0] * 7, [2.0, 2, 4, 2, 8, 2, 2], [1.1, 2.0, 3.7, 2, 2, 2.5, 1.3]][seed % 3]
    along = np.concatenate([[0], np.cumsum(gaps)])
    tilt = rng.uniform(0.1, 0.25, 2) * (seed % 2)
    frames = slices(along, along[:, None] * tilt, angles=rng.uniform(-180, 180, 3))
    values = np.stack([source(frames)(index) for index in range(8)])
    middle = round(values.mean())
    row, column = np.array(frames[0].orientation).reshape(2, 3)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([np.cross(row, column), column * 0.7, row * 0.9], axis=1)
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    files = write_series(
        tmp_path, np.rint(values - middle), affine, study, modality="CT", name="ct", number=1
    )
    for file, frame in zip(files, frames, strict=True):
        ds = pydicom.dcmread(file)
        ds.ImagePositionPatient = [round(v, 6) for v in frame.position_mm]
        ds.save_as(file)
    decisions = {"tilt": "resample", "missing": "resample", "spacing": "resample"}
    read = read_series(tmp_path, **decisions, padding=-3000)
    assert read.resampled == (seed not in (0,)) and bool(read.problems) == read.resampled
    index = np.stack([*np.indices(read.array.shape), np.ones(read.array.shape)], axis=-1)
    places = (index @ read.affine.T)[..., :3]
    inside, outside = coverage(frames, places)
    got = read.array.astype(float)
    assert inside.mean() > 0.1
    # Values are whole numbers in the files: half a unit of rounding at the most.
    assert np.abs(got[inside] + middle - ramp(places)[inside]).max() < 0.6
    assert (got[outside] == -3000).all()


def test_a_tilted_ct_as_scipy_samples_it_by_world_coordinates(shared_data):
    """GE head scan, tilt 18.5 degrees, slices 1.1 to 7 mm apart, against `map_coordinates`."""
    folder = shared_data / "data" / "dicom" / "dcm_qa_ct"
    read = read_series(folder, tilt="resample", spacing="resample")
    assert read.resampled and read.array.shape == (135, 611, 512)
    assert "tilt of 18.5 degrees" in read.problems[0] and "1.081 to 6.999 mm" in read.problems[0]
    slices_, placed = dicoms(folder)
    x, y = np.array(slices_[0].ImageOrientationPatient, float).reshape(2, 3)
    normal, (between_rows, between_columns) = np.cross(x, y), slices_[0].PixelSpacing
    h, w = np.mgrid[:611:3, :512:3]
    for d in (0, 17, 66, 101, 134):
        at = np.stack([np.full_like(h, d), h, w, np.ones_like(h)], axis=-1) @ read.affine.T
        at = at[..., :3]
        place = np.interp(at[0, 0] @ normal, placed @ normal, np.arange(len(placed)))
        below = int(place)
        expected = np.zeros(h.shape)
        for index, weight in ((below, 1 - place + below), (below + 1, place - below)):
            if weight > 1e-6:
                off = at - placed[index]
                where = [off @ y / between_rows, off @ x / between_columns]
                image = slices_[index].pixel_array.astype(float)
                expected += weight * map_coordinates(image, where, order=1, cval=np.nan)
        inside = ~np.isnan(expected)
        assert 0.6 < inside.mean() < 0.9
        got = read.array[d, ::3, ::3]
        np.testing.assert_allclose(got[inside], expected[inside], atol=0.2)
        # -1500 is the file's padding value; its intercept is 0.
        assert (got[~inside] == -1500).mean() > 0.999


def dicoms(folder):
    found = [pydicom.dcmread(file) for file in folder.rglob("*.dcm")]
    found.sort(key=lambda ds: ds.ImagePositionPatient[2])
    assert all((ds.RescaleSlope, ds.RescaleIntercept) == (1, 0) for ds in found)
    return found, np.array([ds.ImagePositionPatient for ds in found], float)
