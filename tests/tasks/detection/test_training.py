import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from kmed.applications import faster_rcnn, ssd, yolov3, yolov3_tiny
from kmed.data import DataError
from kmed.export import Bundle
from kmed.tasks.detection import Settings, train


def conftest():
    """The neighbours' functions: pytest does not put them on the path."""
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("detection_conftest", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_finds_discs_and_squares(trained):
    run, _, said = trained
    assert run.metrics["all"]["ap50"].value > 0.6
    assert [len(run.split.train), len(run.split.validation), len(run.split.test)] == [30, 12, 18]
    assert any("60 images with" in line and "disc, square" in line for line in said)


def test_leaves_what_it_says(trained):
    run, settings, _ = trained
    bundle, folder = run.bundle_path, settings.run_folder
    names = ["saved_model.pb", "model.keras", "model.tflite", "card.md", "card.json", "bundle.json"]
    assert all((bundle / name).is_file() for name in names)
    for name in ("report.html", "metrics.json", "boxes.json", "boxes.csv", "log.csv", "split.json"):
        assert (folder / name).is_file(), name
    assert len(list((folder / "pictures").glob("*.png"))) >= 6
    assert list((folder / "tensorboard").rglob("events*"))
    card = json.loads((bundle / "card.json").read_text())
    assert card["metrics"]["all ap50"]["value"] == pytest.approx(run.metrics["all"]["ap50"].value)
    agreement = json.loads((bundle / "agreement.json").read_text())
    assert set(agreement) == {"saved_model", "tflite"}
    assert {row["differing"] for row in agreement.values()} == {0}
    facts = json.loads((bundle / "bundle.json").read_text())
    assert facts["signature"] == "detect" and facts["metadata"]["task"] == "detection"
    assert set(facts["metadata"]["shown_from"]) == {"disc", "square"}


def test_the_figures_are_those_of_the_boxes_that_were_written(trained):
    # pycocotools reads boxes.json, and the reference from the data set's own file.
    run, settings, _ = trained
    from kmed.metrics import coco_average_precision

    written = json.loads((settings.run_folder / "boxes.json").read_text())
    found = [{"boxes": [], "scores": [], "labels": []} for _ in run.split.test]
    for one in written["annotations"]:
        x, y, w, h = one["bbox"]
        image = found[one["image_id"] - 1]
        image["boxes"].append([x, y, x + w, y + h])
        image["scores"].append(one["score"])
        image["labels"].append(one["category_id"] - 1)
    found = [
        {"boxes": np.reshape(f["boxes"], (-1, 4)), "scores": f["scores"], "labels": f["labels"]}
        for f in found
    ]
    truth = [{"boxes": s.objects.boxes, "labels": s.objects.labels} for s in run.split.test]
    scores = coco_average_precision(truth, found, ("disc", "square"))
    assert scores["all"]["ap50"] == pytest.approx(run.metrics["all"]["ap50"].value, abs=2e-3)


def test_nothing_that_is_shared_names_a_file(trained, shapes):
    run, settings, _ = trained
    shared = [p for p in run.bundle_path.rglob("*") if p.is_file()]
    folder = settings.run_folder
    for path in [*shared, *(folder / n for n in ("report.html", "boxes.json", "boxes.csv"))]:
        content = path.read_bytes()
        assert str(shapes).encode() not in content, path
        assert b"p001" not in content, path


def test_finished_training_is_only_measured_again(trained, tmp_path):
    run, settings, _ = trained
    before = (settings.run_folder / "log.csv").read_text()
    again = train(ssd, replace(settings, saved_models=str(tmp_path)), say=str, verbose=0)
    assert (settings.run_folder / "log.csv").read_text() == before
    assert again.metrics["all"]["ap50"] == run.metrics["all"]["ap50"]


def test_without_data_it_says_what_it_takes(tmp_path):
    with pytest.raises(DataError, match="Pascal VOC XML, COCO JSON, YOLO text files"):
        train(ssd, Settings(run_dir=str(tmp_path)), say=str)


DETECTORS = {
    "yolov3": (yolov3_tiny, {"network": {"width": 2}, "anchors": "data", "fit": "letterbox"}),
    "faster_rcnn": (
        faster_rcnn,
        {
            "network": {
                "backbone": "resnet18",
                "backbone_options": {"width": 4},
                "levels": ("P3", "P4"),
                "pyramid_channels": 8,
                "head_units": 8,
                "anchor_sizes": (12, 20, 28),
                "proposals": 20,
            },
            "loss": {"rois": 16, "anchors": 32, "proposals": 50},
        },
    ),
}


@pytest.mark.parametrize("detector", DETECTORS)
def test_the_other_detectors_take_the_same_road(detector, shapes, tmp_path):
    builder, options = DETECTORS[detector]
    settings = Settings(
        name="other",
        detector=detector,
        data=str(shapes),
        size=(64, 64),
        epochs=2,
        batch_size=8,
        learning_rate=1e-2,
        judge_every=2,
        run_dir=str(tmp_path / "run"),
        saved_models=str(tmp_path / "saved_models"),
        **options,
    )
    run = train(builder, settings, say=str, verbose=0)
    bundle = Bundle.load(run.bundle_path)
    assert bundle.fit == settings.fit and bundle.metadata["detector"] == detector
    image = run.split.test[0].read().image
    found = bundle.detect(image)
    assert found["boxes"].shape == (len(found["scores"]), 4)
    assert set(run.metrics) == {"disc", "square", "all"}


def test_killed_and_resumed_gives_the_same_weights(shapes, tmp_path):
    options = conftest().SMALL | {"epochs": 3, "judge_every": 1, "seed": 3}

    def settings(name):
        return Settings(
            name="killed",
            data=str(shapes),
            run_dir=str(tmp_path / name),
            saved_models=str(tmp_path / name),
            cache_dir=str(tmp_path / "cache"),
            **options,
        )

    class Enough(Exception):
        """What is compared is written."""

    def until_trained(line):
        if line.startswith("best epoch"):
            raise Enough

    whole, killed = settings("whole"), settings("killed")
    with pytest.raises(Enough):
        train(ssd, whole, say=until_trained, verbose=0)

    from kmed.trainers.checkpoints import Checkpoints

    saved = Checkpoints._save

    def save_and_die(self, done):
        saved(self, done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "_save", save_and_die)
        with pytest.raises(KeyboardInterrupt):
            train(ssd, killed, say=str, verbose=0)
    train(ssd, killed, say=str, verbose=0)
    weights = [_weights(one.run_folder / "best.weights.h5") for one in (whole, killed)]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert np.array_equal(value, weights[1][name]), name


def test_boxes_with_faults_are_refused_and_mended_where_asked(tmp_path):
    root = tmp_path / "faulty"
    (root / "images").mkdir(parents=True)
    rows = ["image,label,x1,y1,x2,y2"]
    for i in range(6):
        noise = np.random.default_rng(i).integers(0, 255, (32, 32))
        Image.fromarray(noise.astype("uint8")).save(root / "images" / f"i{i}.png")
        rows.append(f"i{i}.png,cell,{2 + i},3,20,22")
    rows.append("i0.png,cell,9,9,9,20")
    (root / "boxes.csv").write_text("\n".join(rows) + "\n")
    settings = Settings(data=str(root), run_dir=str(tmp_path / "run"), size=(64, 64))
    with pytest.raises(DataError, match=r"boxes.csv.*8.*degenerate"):
        train(ssd, settings, say=str)


def _weights(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, one: (
                found.update({name: one[()]}) if isinstance(one, h5py.Dataset) else None
            )
        )
    return found


OVERFITTED = {
    "ssd": (
        ssd,
        {
            "network": {"backbone_options": {"width": 24}, "extra_filters": (128,)},
            "codec": {"scales": (0.09, 0.18, 0.32, 0.5, 0.7)},
        },
    ),
    "yolov3": (
        yolov3,
        {
            "network": {
                "backbone": "resnet18",
                "backbone_options": {"width": 24},
                "width": 8,
                "objectness_prior": 0.01,
            },
            "anchors": "data",
            "fit": "letterbox",
            "size": (256, 320),
        },
    ),
    "faster_rcnn": (
        faster_rcnn,
        {
            "network": {
                "backbone": "resnet18",
                "backbone_options": {"width": 16},
                "pyramid_channels": 64,
                "head_units": 128,
                "anchor_sizes": (20, 40, 64, 110, 160),
                "proposals_before": 300,
                "proposals": 150,
                "canonical_size": 112.0,
            },
            "loss": {"proposals_before": 300, "proposals": 200, "rois": 64, "anchors": 128},
        },
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("detector", OVERFITTED)
def test_overfits_eight_images_of_blood_cells(detector, shared_data, tmp_path):
    """Each detector learns eight images by heart: every object found before any false one."""
    import keras

    from kmed.data import detection_training_batches
    from kmed.metrics import coco_average_precision
    from kmed.tasks import inputs
    from kmed.tasks.detection import data
    from kmed.tasks.detection.judging import Detecting
    from kmed.tasks.detection.networks import build, codec_of, compiled

    builder, options = OVERFITTED[detector]
    steps = 600
    settings = Settings(
        detector=detector,
        data=str(shared_data / "data" / "bccd"),
        fix=True,
        preprocessor="rgb",
        run_dir=str(tmp_path),
        **{"size": (240, 320)} | options,
    )
    keras.utils.set_random_seed(0)
    found = data.open_data(settings, say=str)
    samples = found.split.train[:8]
    cases = data.cache(settings, inputs.preprocessor(settings, 3)).cases(samples)
    objects = [
        data.objects_in_frame(sample, case, settings)
        for sample, case in zip(samples, cases, strict=True)
    ]
    network = build(builder, settings, 3, len(found.labels))
    codec = codec_of(network, settings, objects)
    fitted = compiled(network, codec, settings, steps)
    batches, _ = detection_training_batches(
        cases, objects, targets=codec.targets, batch_size=8, epochs=steps
    )
    fitted.fit(batches, epochs=1, steps_per_epoch=steps, shuffle=False, verbose=0)
    # Cells overlap: suppression at 0.45 would take some of the reference's own boxes.
    codec.postprocessing = dict(codec.postprocessing) | {"iou_threshold": 0.7}
    detections = Detecting(network, codec)([case.image() for case in cases])
    truth = [{"boxes": one.boxes, "labels": one.labels} for one in objects]
    scores = coco_average_precision(truth, detections, found.labels)
    assert scores["all"]["ap50"] > 0.999  # one of a hundred cells may come after a false one
