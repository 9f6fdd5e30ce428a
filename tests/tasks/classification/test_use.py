import csv
import json

import numpy as np
import pytest

from kmed.export import Bundle
from kmed.tasks.classification.use import evaluate, export, predict, with_flips


def test_evaluation_of_the_test_part_gives_the_trainings_own_figures(trained, folders, tmp_path):
    run, settings, _ = trained
    split = settings.run_folder / "split.json"
    found = evaluate(run.bundle_path, folders, output=tmp_path, split_file=split, say=str)
    assert found["all"]["auc"] == run.metrics["all"]["auc"]
    assert "kinds: evaluation" in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="received 'tests'"):
        evaluate(run.bundle_path, folders, part="tests")


def test_predictions_are_a_table_and_json(trained, folders, tmp_path):
    run, _, _ = trained
    (tmp_path / "broken.png").write_bytes(b"no picture")
    images = [folders / "disc" / "disc00.png", folders / "stripes" / "stripes00.png"]
    done = predict(run.bundle_path, [*images, tmp_path / "broken.png"], output=tmp_path, say=str)
    assert [path.name for path in done.written] == ["predictions.csv", "predictions.json"]
    assert len(done.failed) == 1 and "broken.png" in done.failed[0][0]
    with open(tmp_path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["disc", "stripes"]
    for row in rows:
        assert float(row["probability of disc"]) + float(row["probability of stripes"]) == (
            pytest.approx(1, abs=1e-5)
        )
    assert json.loads((tmp_path / "predictions.json").read_text())["images"][0]["name"] == "disc00"


def test_mirrored_images_have_one_answer(trained, folders):
    from kmed.data import image_folder

    bundle = with_flips(Bundle.load(trained[0].bundle_path))
    image = image_folder(folders / "stripes")[0].read().image
    _, one = bundle.predict(image)
    _, other = bundle.predict(image[:, ::-1])
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_formats_that_are_added(trained, folders):
    run, _, _ = trained
    said = []
    options = {"data": folders, "check": folders / "disc", "say": said.append}
    files = export(run.bundle_path, ["float16", "onnx"], **options)
    assert [file.name for file in files] == ["model_float16.tflite", "model.onnx"]
    assert any(line.startswith("model_float16.tflite") and "accuracy" in line for line in said)
    assert any(line.startswith("onnx equals Keras on 20 images") for line in said)
