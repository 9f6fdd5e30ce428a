import json

import numpy as np
from PIL import Image

from kmed.export import Bundle
from kmed.tasks.detection import measure
from kmed.tasks.detection.publishing import write_measures


def test_report_and_pictures(trained, tmp_path):
    run, _, _ = trained
    bundle = Bundle.load(run.bundle_path)
    measured = measure(bundle, run.split.test[:6])
    report = write_measures(bundle, measured, tmp_path, title="shapes", facts={"images": 6})
    text = report.read_text()
    assert text.count("<svg") >= 2 and "score from which a disc is shown" in text
    assert "Free-response ROC" in text
    pictures = sorted((tmp_path / "pictures").glob("*.png"))
    assert len(pictures) >= 6
    assert np.asarray(Image.open(pictures[0])).shape[-1] == 3
    written = json.loads((tmp_path / "boxes.json").read_text())
    assert len(written["images"]) == 6
    count = sum(len(one["scores"]) for one in measured.found)
    assert len(written["annotations"]) == count
    rows = (tmp_path / "boxes.csv").read_text().splitlines()
    assert rows[0] == "image,label,score,x1,y1,x2,y2" and len(rows) >= 1 + count
