import keras
import numpy as np
import pytest

from kmed import preprocessors
from kmed.data.sample import Arrays, Sample
from kmed.export import Bundle
from kmed.tasks.exporting import compare_formats, export_formats, model_images


@pytest.fixture(scope="module")
def bundle_path(tmp_path_factory):
    image = keras.Input((8, 8, 1))
    network = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(image))
    bundle = Bundle("tiny", preprocessors.xray(), network)
    return bundle.save(tmp_path_factory.mktemp("bundles"))


def samples(*shapes):
    random = np.random.default_rng(0)
    arrays = [Arrays(random.normal(size=s), None, (1.0,) * (len(s) - 1), None) for s in shapes]
    return [
        Sample(id=str(i), patient=str(i), files=(), read=lambda a=a: a)
        for i, a in enumerate(arrays)
    ]


def test_volumes_come_slice_by_slice_to_a_2d_bundle(bundle_path):
    images = list(model_images(Bundle.load(bundle_path), samples((3, 8, 8, 1), (5, 5, 1))))
    assert [image.shape for image in images] == [(8, 8, 1)] * 3 + [(5, 5, 1)]


def test_formats_are_compared_and_what_they_lose_is_said(bundle_path):
    said = []
    files = export_formats(
        bundle_path,
        ["float16", "int8"],
        samples=lambda bundle: samples(*[(8, 8, 1)] * 4),
        truths=lambda bundle, sample: [np.zeros((8, 8), "uint8")],
        score=lambda bundle, truth, found: float(np.mean(truth == found)),
        what="agreement",
        check=lambda bundle: samples((8, 8, 1)),
        say=said.append,
    )
    assert [file.name for file in files] == ["model_float16.tflite", "model_int8.tflite"]
    assert sum("agreement" in line for line in said) == 3
    assert any(line.startswith("saved_model equals Keras on 1 images") for line in said)
    assert (bundle_path / "agreement.json").is_file()


@pytest.mark.parametrize(
    ("formats", "message"),
    [(["onyx"], "received onyx"), (["int8"], "int8 takes its ranges from real images")],
)
def test_what_cannot_be_exported(bundle_path, formats, message):
    with pytest.raises(ValueError, match=message):
        export_formats(
            bundle_path, formats, samples=None, truths=None, score=None, what="", say=str
        )


def test_the_comparison_is_written_down(bundle_path):
    said = []
    compare_formats(bundle_path, samples((8, 8, 1)), said.append)
    assert any("64 voxels differ" in line for line in said)
