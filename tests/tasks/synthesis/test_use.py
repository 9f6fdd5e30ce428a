import json

import numpy as np
import pytest
from PIL import Image

from kmed.tasks.synthesis import evaluate, export, generate, predict


def test_images_of_a_class(trained, tmp_path):
    run, *_ = trained
    files = generate(run.bundle_path, 3, class_name="ring", output=tmp_path, say=str)
    names = [file.name for file in files]
    assert names == ["00001-ring.png", "00002-ring.png", "00003-ring.png", "overview.png"]
    with Image.open(files[0]) as picture:
        assert picture.mode == "L" and picture.size == (32, 32)
    again = generate(run.bundle_path, 3, class_name="ring", output=tmp_path / "b", say=str)
    assert [f.read_bytes() for f in files] == [f.read_bytes() for f in again]


def test_raw_values_and_classes_in_turn(trained, tmp_path):
    run, *_ = trained
    files = generate(run.bundle_path, 2, output=tmp_path, to="npy", seed=5, say=str)
    assert [file.name for file in files[:2]] == ["00001-disc.npy", "00002-ring.npy"]
    image = np.load(files[0])
    assert image.shape == (32, 32, 1) and image.dtype == "float32"
    volume = generate(run.bundle_path, 1, output=tmp_path, to="nifti", say=str)[0]
    assert volume.name == "00001-disc.nii.gz"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"class_name": "square"}, "disc, ring"),
        ({"to": "gif"}, "`to` must be"),
        ({"count": 0}, "`count` must be"),
    ],
)
def test_what_cannot_be_generated(trained, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        generate(trained[0].bundle_path, **options, output=tmp_path)


def test_evaluation(trained, shapes, tmp_path):
    run, settings, _ = trained
    split = settings.run_folder / "split.json"
    found = evaluate(
        run.bundle_path, shapes, output=tmp_path, split_file=split, generated=40, say=str
    )
    # The same images, the same random numbers.
    assert found["all"]["fid"].value == pytest.approx(run.metrics["all"]["fid"].value, rel=1e-3)
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["all"]["fid"]["value"] == found["all"]["fid"].value
    with pytest.raises(ValueError, match="`part` must be train"):
        evaluate(run.bundle_path, shapes, part="dev")


def test_a_generator_takes_no_images(trained, shapes):
    run, *_ = trained
    with pytest.raises(ValueError, match="kmed generate"):
        predict(run.bundle_path, [shapes])
    with pytest.raises(ValueError, match="received int8"):
        export(run.bundle_path, ["int8"])
    with pytest.raises(ValueError, match="does not take"):
        export(run.bundle_path, ["float16"], data=shapes)


def test_a_smaller_file(trained):
    run, *_ = trained
    (file,) = export(run.bundle_path, ["float16"], say=str)
    assert file.stat().st_size < 0.6 * (run.bundle_path / "model.tflite").stat().st_size
