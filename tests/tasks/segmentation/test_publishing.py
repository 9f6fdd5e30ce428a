import numpy as np

from kmed.export import Bundle
from kmed.metrics import Interval
from kmed.tasks.segmentation.publishing import metrics_json, model_images


def test_what_is_not_finite_becomes_null():
    summary = {"lesion": {"hd95_mm": Interval(float("inf"), float("nan"), 2.0, 3, 1)}}
    assert metrics_json(summary) == {
        "lesion": {"hd95_mm": {"value": None, "low": None, "high": 2.0, "n": 3, "omitted": 1}}
    }


def test_volumes_come_slice_by_slice_to_a_2d_bundle(trained):
    from kmed.data.sample import Arrays, Sample

    volume = np.zeros((3, 8, 8, 1))
    sample = Sample(
        id="a", patient="a", files=(), read=lambda: Arrays(volume, None, (1.0,) * 3, None)
    )
    images = list(model_images(Bundle.load(trained[0].bundle_path), [sample]))
    assert [image.shape for image in images] == [(8, 8, 1)] * 3


def test_report_shows_the_measures(trained):
    run, settings, _ = trained
    html = run.report_path.read_text()
    assert f"{run.metrics['disc']['dice'].value:.3f}" in html
    assert "discs" in html
    assert (settings.run_folder / "cases.csv").read_text().startswith("name,dice,disc dice")
