import csv
import json

import numpy as np
import pytest

from kmed.tasks.retrieval import evaluate, export, predict
from kmed.tasks.retrieval.towers import load_tower, partner_folder


def test_evaluation_on_the_test_part_gives_the_trainings_figures(trained, pairs, tmp_path):
    run, settings, _ = trained
    split = settings.run_folder / "split.json"
    for bundle in (run.bundle_path, partner_folder(run.bundle_path)):
        found = evaluate(bundle, pairs, output=tmp_path, split_file=split, say=lambda line: None)
        assert list(found) == ["pos to neg", "neg to pos"]
        for direction, report in run.metrics.items():
            assert found[direction]["map_r"] == report["map_r"]
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written["pos to neg"]["map_r"]["value"] == run.metrics["pos to neg"]["map_r"].value
    assert (tmp_path / "report.html").is_file()
    with pytest.raises(ValueError, match="`part` must be train"):
        evaluate(run.bundle_path, pairs, part="dev")


def test_embeddings_of_files(trained, pairs, tmp_path):
    run, *_ = trained
    (tmp_path / "bad.png").write_bytes(b"")
    done = predict(
        run.bundle_path, [pairs / "pos" / "p00.png", tmp_path / "bad.png"],
        output=tmp_path / "found", say=lambda line: None,
    )  # fmt: skip
    assert [name for name, _ in done.failed] == [str(tmp_path / "bad.png")]
    vectors = np.load(tmp_path / "found" / "embeddings.npy")
    assert vectors.shape == (1, 16) and vectors.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    with open(tmp_path / "found" / "embeddings.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [{"row": "0", "name": "p00", "slice": ""}]


def test_a_smaller_file_and_what_it_loses(trained, pairs):
    run, *_ = trained
    said = []
    (file,) = export(run.bundle_path, ["float16"], data=pairs / "pos", say=said.append)
    assert file.is_file()
    assert any("cosine with Keras 1.0000" in line for line in said)


def test_a_text_tower_embeds_no_images(read, reports, tmp_path):
    run, *_ = read
    text = partner_folder(run.bundle_path)
    with pytest.raises(ValueError, match="kmed index search"):
        predict(text, [reports.parent / "s00.png"], output=tmp_path)
    with pytest.raises(ValueError, match="has its SavedModel and model.tflite"):
        export(text, ["onnx"])
    assert load_tower(text).metadata["modality"] == "text"
