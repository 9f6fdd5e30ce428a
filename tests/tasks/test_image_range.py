import numpy as np
import pytest

from kmed.data import DataError, Sample
from kmed.data.sample import Arrays
from kmed.tasks.adversarial_settings import AdversarialSettings
from kmed.tasks.image_range import image_range, in_hounsfield, range_preprocessor


def sample(values, modality=None, suffix=".nii.gz"):
    image = np.asarray(values).reshape(1, -1, 1)
    return Sample(
        id="a", patient="a", files=(f"a{suffix}",), modality=modality,
        read=lambda: Arrays(image, None, (1.0, 1.0), None),
    )  # fmt: skip


SETTINGS = AdversarialSettings(window_hu=(40.0, 400.0))


def test_ct_takes_the_window():
    of = [sample([0, 100], "CT")]
    assert in_hounsfield(of, SETTINGS, "ct")
    assert image_range(of, SETTINGS, "ct") == (-160.0, 240.0)
    assert image_range([sample([0, 100])], SETTINGS, "ct") == (-160.0, 240.0)  # by its name
    prepare = range_preprocessor((-160.0, 240.0), SETTINGS, 1, hounsfield=True)
    assert prepare.name == "ct"  # so that the bundle refuses MR


def test_a_given_range_goes_first():
    settings = AdversarialSettings(intensity={"ct": (-1000, 1000)})
    assert image_range([sample([0], "CT")], settings, "ct") == (-1000.0, 1000.0)
    assert not in_hounsfield([sample([0], "CT")], settings, "ct")
    anything = AdversarialSettings(intensity={"image": (0, 1)})
    assert image_range([sample([0])], anything, "t1") == (0.0, 1.0)


def test_bytes_of_pictures_and_percentiles_of_others():
    values = np.arange(1001)
    assert image_range([sample(values[:200].astype("uint8"), suffix=".png")], SETTINGS) == (0, 255)
    low, high = image_range([sample(values, "MR")], SETTINGS, "t1")
    assert low == 0 and 995 < high <= 1000
    assert range_preprocessor((low, high), SETTINGS, 1, hounsfield=False).name == "intensity"
    with pytest.raises(DataError):
        image_range([sample(np.zeros(100), "MR")], SETTINGS, "t1")


def test_a_mixture_of_units_is_refused():
    with pytest.raises(DataError, match="modality MR"):
        in_hounsfield([sample([0], "CT"), sample([0], "MR")], SETTINGS, "ct")
