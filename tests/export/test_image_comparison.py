import numpy as np
import pytest

from kmed.export.agreement import AgreementError
from kmed.export.image_comparison import ImageComparison


def pair(difference):
    image = np.zeros((4, 4, 1), "float32")
    other = image.copy()
    other[1, 2] = difference
    return {"image": image}, {"image": other}


def test_differences_count_in_the_networks_range():
    comparison = ImageComparison(-1000.0, 1000.0)
    comparison.add(*pair(0.05))
    comparison.check("tflite")
    assert comparison.row()["images"] == 1
    assert comparison.row()["max_difference"] == pytest.approx(5e-5)
    assert comparison.row()["max_raw_difference"] == pytest.approx(0.05)
    comparison.add(*pair(0.2))
    with pytest.raises(AgreementError, match="tflite differs from Keras by 0.0002"):
        comparison.check("tflite")


def test_what_is_not_a_number_never_agrees():
    comparison = ImageComparison(0.0, 1.0)
    comparison.add(*pair(np.nan))
    comparison.add(*pair(0.0))
    with pytest.raises(AgreementError):
        comparison.check("tflite")
    with pytest.raises(ValueError, match="at least one image"):
        ImageComparison(0.0, 1.0).check("tflite")
