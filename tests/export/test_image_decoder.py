import keras
import numpy as np
import pytest

from kmed.export import Bundle, ImageDecoder, check_agreement
from kmed.preprocessors import ct


def test_the_ends_of_the_range():
    image = np.array([-1.0, -0.5, 1.0], "float32").reshape(1, 1, 3, 1)
    found = ImageDecoder(-1000.0, 1000.0)(image)["image"]
    np.testing.assert_array_equal(np.ravel(found), [-1000.0, -500.0, 1000.0])


def test_it_is_saved_with_its_range(tmp_path):
    decoder = ImageDecoder.from_config(ImageDecoder(0.0, 255.0).get_config())
    assert (decoder.low, decoder.high) == (0.0, 255.0)
    with pytest.raises(ValueError, match="high"):
        ImageDecoder(1.0, 1.0)


@pytest.mark.parametrize("fit", ["resize", "pad"])
def test_hounsfield_units_in_and_out(fit, tmp_path):
    """A network that changes nothing: what is inside of the window comes back as it was."""
    image = keras.Input((16, 16, 1))
    network = keras.Model(image, keras.layers.Activation("linear")(image), name="nothing")
    bundle = Bundle(
        "nothing", ct((40.0, 400.0)), network, labels=(), decoder=ImageDecoder(-160.0, 240.0),
        fit=fit, size=(16, 16),
    )  # fmt: skip
    values = np.random.default_rng(0).integers(-160, 241, (16, 16, 1)).astype("int16")
    np.testing.assert_allclose(bundle.answer(values)["image"], values, atol=1e-4)
    assert bundle.answer(values - 3000)["image"].max() == -160.0
    found = check_agreement(bundle.save(tmp_path), [values, values[:13]])
    assert max(row["max_difference"] for row in found.values()) < 1e-6
    again = Bundle.load(tmp_path / "nothing")
    assert (again.decoder.low, again.decoder.high) == (-160.0, 240.0)
