import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.export import Bundle
from kmed.tasks.detection import evaluate, export, predict


def test_evaluation_of_the_test_part_gives_the_trainings_figures(trained, shapes, tmp_path):
    run, settings, _ = trained
    summary = evaluate(
        run.bundle_path,
        shapes,
        output=tmp_path,
        split_file=settings.run_folder / "split.json",
        say=str,
    )
    assert summary["all"]["ap50"] == run.metrics["all"]["ap50"]
    assert (tmp_path / "report.html").is_file()


def test_prediction_writes_boxes_and_pictures_and_names_what_failed(trained, shapes, tmp_path):
    run, _, _ = trained
    folder = tmp_path / "in"
    folder.mkdir()
    for i in (1, 2):
        image = Image.open(shapes / "images" / f"p{i:03d}.png")
        image.resize((160, 120)).save(folder / f"p{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((30, 30, 3), "uint8")).save(folder / "colour.png")
    said = []
    done = predict(run.bundle_path, [folder], output=tmp_path / "out", say=said.append)
    assert sorted(name.rpartition("/")[2] for name, _ in done.failed) == ["broken.png", "colour"]
    names = {path.name for path in done.written}
    assert {"boxes.json", "boxes.csv", "p1.png", "p2.png"} == names
    written = json.loads((tmp_path / "out" / "boxes.json").read_text())
    assert [one["height"] for one in written["images"]] == [120, 120]
    for one in written["annotations"]:
        x, y, w, h = one["bbox"]
        assert 0 <= x and 0 <= y and x + w <= 160.001 and y + h <= 120.001
    assert any("p1: " in line for line in said)


def test_every_box_from_a_score_on(trained, shapes, tmp_path):
    run, _, _ = trained
    image = shapes / "images" / "p001.png"
    counts = []
    for score in (0.02, 0.9):
        out = tmp_path / str(score)
        predict(run.bundle_path, [image], output=out, score=score, pictures=False, say=str)
        boxes = json.loads((out / "boxes.json").read_text())["annotations"]
        assert all(one["score"] >= score for one in boxes)
        assert not list(out.glob("*.png"))
        counts.append(len(boxes))
    assert counts[0] > counts[1]
    with pytest.raises(ValueError, match="`score` must lie between 0 and 1; received 2"):
        predict(run.bundle_path, [image], score=2)


def test_reports_of_dicom_images(trained, shapes, tmp_path):
    run, _, _ = trained
    study = StudyHeader(patient_id="p", patient_name="A^B", entropy=("p",), date="20250101")
    pixels = np.asarray(Image.open(shapes / "images" / "p001.png").convert("L"))
    (file,) = write_series(
        tmp_path / "in", pixels[None].astype(int), np.eye(4)[:, [2, 1, 0, 3]], study,
        modality="MR", name="x", number=1,
    )  # fmt: skip
    ds = pydicom.dcmread(file)
    ds.Modality, ds.SOPClassUID = "OT", pydicom.uid.SecondaryCaptureImageStorage
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.save_as(file)
    codes = tmp_path / "codes.json"
    names = Bundle.load(run.bundle_path).labels
    codes.write_text(json.dumps({name: ["52988006", "SCT", "Lesion"] for name in names}))
    options = {"to": "sr", "codes": codes, "score": 0.02, "say": str}
    done = predict(run.bundle_path, [tmp_path / "in"], output=tmp_path / "out", **options)
    assert not done.failed
    assert {path.suffix for path in done.written} == {".dcm", ".json", ".csv", ".png"}
    report = pydicom.dcmread(tmp_path / "out" / "slice-0001_sr.dcm")
    assert report.Modality == "SR" and report.StudyInstanceUID == ds.StudyInstanceUID
    assert pydicom.dcmread(tmp_path / "out" / "slice-0001_boxes.dcm").Modality == "PR"
    picture = [shapes / "images" / "p001.png"]
    done = predict(run.bundle_path, picture, output=tmp_path / "out", **options)
    assert "refers to a DICOM image" in done.failed[0][1]
    with pytest.raises(ValueError, match="label_codes"):
        predict(run.bundle_path, picture, to="sr", say=str)


def test_further_formats(trained, shapes):
    run, _, _ = trained
    said = []
    files = export(run.bundle_path, ["float16"], data=shapes, say=said.append)
    assert [path.name for path in files] == ["model_float16.tflite"]
    assert any("model_float16.tflite" in line and "F1" in line for line in said)


def test_an_unknown_part_is_refused(trained, shapes):
    with pytest.raises(ValueError, match="must be train, validation or test; received 'all'"):
        evaluate(trained[0].bundle_path, shapes, part="all")
