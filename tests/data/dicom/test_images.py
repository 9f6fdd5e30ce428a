import numpy as np
import pydicom
import pytest

from kmed.data.dicom.errors import UnsupportedPixels
from kmed.data.dicom.images import dicom_samples, images_of, read_dicom_picture
from kmed.data.dicom.slices import image_headers
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.sample import DataError

PIXELS = np.arange(12).reshape(1, 3, 4) * 100
AFFINE = np.diag([3.0, 0.5, 0.25, 1])[[2, 1, 0, 3]]


def series(folder, *, patient="p1", slices=1, name="a", modality="CT"):
    study = StudyHeader(patient_id=patient, patient_name="A", entropy=(patient,), date="20250101")
    array = np.repeat(PIXELS, slices, axis=0)
    return write_series(folder, array, AFFINE, study, modality=modality, name=name, number=1)


def radiograph(path, *, patient="p1", **attributes):
    """A slice made into a chest radiograph: no position, no rescaling."""
    [file] = series(path.parent / f"{path.name}-made", patient=patient, name=path.name)
    ds = pydicom.dcmread(file)
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = (
        pydicom.uid.DigitalXRayImageStorageForPresentation
    )
    ds.Modality, ds.RescaleIntercept, ds.ImagerPixelSpacing = "DX", 0, [0.5, 0.25]
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    ds.save_as(path)
    file.unlink()
    file.parent.rmdir()
    return path


def test_a_radiograph(tmp_path):
    arrays = read_dicom_picture(radiograph(tmp_path / "a.dcm"))
    np.testing.assert_array_equal(arrays.image[..., 0], PIXELS[0] + 1024)
    assert arrays.spacing_mm == (0.5, 0.25)
    assert (arrays.mask, arrays.affine, arrays.image.dtype) == (None, None, np.uint16)


def test_monochrome1_is_turned(tmp_path):
    path = radiograph(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    found = read_dicom_picture(path).image[..., 0].astype(int)
    bits = pydicom.dcmread(path).BitsStored
    np.testing.assert_array_equal(found, 2**bits - 1 - (PIXELS[0] + 1024))


def test_monochrome1_is_turned_after_a_table(tmp_path):
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, 8])
    item.add_new("LUTData", "OW", (np.arange(4096) // 16).astype("<u2").tobytes())
    path = radiograph(
        tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1", ModalityLUTSequence=[item]
    )
    found = read_dicom_picture(path).image[..., 0]
    np.testing.assert_array_equal(found, 255 - (PIXELS[0] + 1024) // 16)


def test_a_palette_becomes_rgb(tmp_path):
    path = radiograph(tmp_path / "a.dcm", PhotometricInterpretation="PALETTE COLOR")
    ds = pydicom.dcmread(path)
    for number, channel in enumerate(("Red", "Green", "Blue")):
        table = f"{channel}PaletteColorLookupTable"
        ds.add_new(f"{table}Descriptor", "US", [4096, 0, 16])
        entries = np.arange(4096) * (number + 1)
        ds.add_new(f"{table}Data", "OW", entries.astype("<u2").tobytes())
    ds.save_as(path)
    image = read_dicom_picture(path).image
    assert (image.shape, image.dtype) == ((3, 4, 3), np.uint16)
    np.testing.assert_array_equal(image, (PIXELS[0] + 1024)[..., None] * [1, 2, 3])


def test_a_slice_is_in_hounsfield_units(tmp_path):
    [file] = series(tmp_path / "ct")
    arrays = read_dicom_picture(file)
    np.testing.assert_array_equal(arrays.image[..., 0], PIXELS[0])
    assert arrays.spacing_mm == (0.5, 0.25)


def test_radiographs_stand_for_themselves_and_slices_for_their_series(tmp_path):
    paths = [radiograph(tmp_path / f"{n}.dcm", patient=n) for n in ("b", "a")]
    groups = images_of(image_headers(paths))
    assert [len(group) for group in groups] == [1, 1]
    samples = dicom_samples(groups, tmp_path)
    assert [(s.id, s.patient, s.modality) for s in samples] == [("b", "b", "DX"), ("a", "a", "DX")]
    assert samples[0].read().image.shape == (3, 4, 1)

    series(tmp_path / "ct" / "one", slices=4)
    groups = images_of(image_headers(tmp_path / "ct"))
    [sample] = dicom_samples(groups, tmp_path / "ct")
    assert (sample.id, sample.patient, len(sample.files)) == ("one", "p1", 4)
    assert sample.read().image.shape == (4, 3, 4, 1)
    with pytest.raises(DataError, match="a.dcm: a single image of modality DX among volumes"):
        dicom_samples(images_of(image_headers(tmp_path)), tmp_path)


def test_series_of_one_slice_are_pictures(tmp_path):
    for patient in ("p1", "p2"):
        series(tmp_path / patient, patient=patient)
    samples = dicom_samples(images_of(image_headers(tmp_path)), tmp_path)
    assert [s.id for s in samples] == ["p1/slice-0001", "p2/slice-0001"]
    assert samples[0].read().image.shape == (3, 4, 1)


def test_two_series_in_a_folder(tmp_path):
    for name in ("a", "b"):
        for path in series(tmp_path / name, name=name, slices=2):
            path.rename(tmp_path / f"{name}{path.name}")
        (tmp_path / name).rmdir()
    samples = dicom_samples(images_of(image_headers(tmp_path)), tmp_path)
    assert len({s.id for s in samples}) == 2


def test_patients(tmp_path):
    path = radiograph(tmp_path / "x7.dcm", patient="")
    groups = images_of(image_headers([path]))
    with pytest.raises(DataError, match="x7.dcm: every image must have one Patient ID"):
        dicom_samples(groups, tmp_path)
    assert dicom_samples(groups, tmp_path, patient=r"x(\d)")[0].patient == "7"


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"NumberOfFrames": 2}, "holds 2 frames"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "RedPaletteColorLookupTableDescriptor"),
        ({"PhotometricInterpretation": "CMYK"}, "'CMYK' is not supported"),
        ({"RescaleIntercept": None}, "needs RescaleSlope and RescaleIntercept"),
        ({"RescaleSlope": 0}, "RescaleSlope 0"),
        ({"PixelData": b"\0"}, "24 bytes; it holds"),
    ],
)
def test_refusals(tmp_path, attributes, message):
    with pytest.raises(DataError, match=f"a.dcm: .*{message}|a.dcm: {message}"):
        read_dicom_picture(radiograph(tmp_path / "a.dcm", **attributes))


def test_real_files(shared_data):
    folder = shared_data / "data" / "dicom"
    path = folder / "highdicom" / "dx_image.dcm"
    ds = pydicom.dcmread(path)
    image = read_dicom_picture(path).image
    assert image.shape == (ds.Rows, ds.Columns, 1)
    top = 2**ds.BitsStored - 1 if ds.PhotometricInterpretation == "MONOCHROME1" else 0
    np.testing.assert_array_equal(image[..., 0], np.abs(top - ds.pixel_array.astype(int)))
    assert read_dicom_picture(folder / "wg04" / "REF" / "US1_UNC.dcm").image.shape == (480, 640, 3)
    name = "examples_ybr_color.dcm"
    with pytest.raises(UnsupportedPixels, match=f"{name}: holds 30 frames; a label belongs to one"):
        read_dicom_picture(folder / "pydicom" / name)
