import numpy as np
import pytest

from kmed.data import DataError
from kmed.tasks import inputs
from kmed.tasks.segmentation import data
from kmed.tasks.segmentation.settings import Settings


def test_phantoms_are_the_default(tmp_path):
    settings = Settings(patients=3, run_dir=str(tmp_path), modality="t2")
    samples, labels = data.open_data(settings)
    assert {sample.modality for sample in samples} == {"MR"}
    assert labels == ("background", "liver", "kidney", "spleen", "lesion")
    assert len(samples) == 3
    assert all("t2" in file or "mask" in file for file in samples[0].files)


def test_labels_are_declared_by_the_data_or_by_the_user(pictures):
    samples, labels = data.open_data(Settings(data=str(pictures)))
    assert (len(samples), labels) == (12, ("background", "foreground"))


def test_patients_by_a_regular_expression(pictures):
    samples, _ = data.open_data(Settings(data=str(pictures), patient=r"p(\d)"))
    assert sorted({sample.patient for sample in samples}) == ["0", "1"]


def test_cached_cases_are_what_the_bundle_computes(pictures, tmp_path):
    from kmed.layers import ResizeTo

    settings = Settings(
        data=str(pictures), size=(16, 24), preprocessor="xray", cache_dir=str(tmp_path)
    )
    samples, _ = data.open_data(settings)
    prepare = inputs.preprocessor(settings, 1)
    [case] = data.cache(settings, prepare).cases(samples[:1])
    raw = samples[0].read().image.astype("float32")
    expected = np.asarray(ResizeTo((16, 24))(prepare(raw[None])))[0]
    np.testing.assert_allclose(case.image(), expected, atol=1e-5)
    assert case.mask().shape == (16, 24)


def test_volumes_on_the_wanted_spacing(tmp_path):
    settings = Settings(
        patients=1, run_dir=str(tmp_path), size=(16, 16, 16), spacing_mm=(10.0, 7.0, 7.0)
    )
    samples, _ = data.open_data(settings)
    [case] = data.cache(settings, inputs.preprocessor(settings, 1)).cases(samples)
    assert case.shape == (12, 48, 48)


def test_weights_are_kept_for_the_loss_that_takes_them(pictures, tmp_path):
    settings = Settings(
        data=str(pictures), size=(16, 16), loss="border_weighted", cache_dir=str(tmp_path)
    )
    samples, _ = data.open_data(settings)
    [case] = data.cache(settings, inputs.preprocessor(settings, 1)).cases(samples[:1])
    assert case.weight().shape == (16, 16)


def test_images_without_masks(pictures, tmp_path):
    settings = Settings(data=str(pictures / "images"), cache_dir=str(tmp_path))
    samples, _ = data.open_data(settings)
    with pytest.raises(DataError, match="has none"):
        data.cache(settings, inputs.preprocessor(settings, 1)).cases(samples[:1])
