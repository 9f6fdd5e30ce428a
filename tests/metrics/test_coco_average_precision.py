"""COCO's numbers against pycocotools run on files, against plain loops, and by hand."""

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from kmed.metrics.box_matching import matched
from kmed.metrics.coco_average_precision import MEASURES, coco_average_precision

LABELS = ["platelets", "rbc", "wbc"]


def data(images=24, seed=0):
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count = rng.integers(0, 8)
        size = np.exp(rng.uniform(np.log(10), np.log(200), (count, 1))) * rng.uniform(0.8, 1, 2)
        corner = rng.uniform(0, 300, (count, 2))
        boxes = np.concatenate([corner, corner + size], axis=1)
        labels = rng.integers(0, 3, count)
        near = rng.integers(0, count, 30) if count else np.zeros(0, int)
        shaken = boxes[near] + rng.normal(0, 0.1, (len(near), 4)) * np.tile(size[near], 2)
        shaken[:, 2:] = np.maximum(shaken[:, 2:], shaken[:, :2] + 1)
        said = np.where(rng.random(len(near)) < 0.8, labels[near], rng.integers(0, 3, len(near)))
        scores = rng.random(len(near))
        truth.append({"boxes": boxes, "labels": labels})
        found.append({"boxes": shaken, "scores": scores, "labels": said})
    return truth, found


def on_files(truth, found, folder):
    """The twelve numbers of pycocotools, by its own way from files to the summary."""

    def rows(images):
        for image, one in enumerate(images):
            for i, (x1, y1, x2, y2) in enumerate(one["boxes"].tolist()):
                box = [x1, y1, x2 - x1, y2 - y1]
                row = {"image_id": image, "category_id": int(one["labels"][i]), "bbox": box}
                yield row | {"area": box[2] * box[3], "iscrowd": 0}, i

    truths = [row | {"id": n + 1} for n, (row, _) in enumerate(rows(truth))]
    results = [row | {"score": found[row["image_id"]]["scores"][i]} for row, i in rows(found)]
    table = {
        "images": [{"id": image} for image in range(len(truth))],
        "categories": [{"id": k, "name": name} for k, name in enumerate(LABELS)],
        "annotations": truths,
    }
    (folder / "truth.json").write_text(json.dumps(table))
    (folder / "found.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(coco, coco.loadRes(str(folder / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def loop_average_precision(truth, found, k, overlap):
    """101-point average precision of one class, one detection after the other."""
    verdicts, objects = [], 0
    for image, (one, other, match) in enumerate(
        zip(truth, found, matched(truth, found, overlap), strict=True)
    ):
        objects += sum(one["labels"] == k)
        for row in np.flatnonzero(other["labels"] == k):
            verdicts.append((-other["scores"][row], image, bool(match.hits[row])))
    hits, points = 0, []
    for n, (_, _, hit) in enumerate(sorted(verdicts)):
        hits += hit
        points.append((hits / objects, hits / (n + 1)))
    read = [
        max([precision for recall, precision in points if recall >= level], default=0.0)
        for level in np.linspace(0, 1, 101)
    ]
    return np.mean(read)


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_pycocotools(seed, tmp_path):
    truth, found = data(seed=seed)
    report = coco_average_precision(truth, found, LABELS)
    evaluation = on_files(truth, found, tmp_path)
    assert list(report) == [*LABELS, "all"] and tuple(report["all"]) == MEASURES
    stats = dict(zip(MEASURES, evaluation.stats[[0, 1, 2, 3, 4, 5, 8]], strict=True))
    assert report["all"] == pytest.approx(stats, abs=1e-12)
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    for k, name in enumerate(LABELS):
        expected = {
            "ap": precision[:, :, k, 0, 2].mean(),
            "ap50": precision[0, :, k, 0, 2].mean(),
            "ap75": precision[5, :, k, 0, 2].mean(),
            "ap_small": precision[:, :, k, 1, 2].mean(),
            "ap_medium": precision[:, :, k, 2, 2].mean(),
            "ap_large": precision[:, :, k, 3, 2].mean(),
            "recall": recall[:, k, 0, 2].mean(),
        }
        assert report[name] == pytest.approx(expected, abs=1e-12)
        assert 0 < report[name]["ap"] < report[name]["ap50"] < 1


def test_against_loops():
    truth, found = data(seed=5)
    report = coco_average_precision(truth, found, LABELS)
    for k, name in enumerate(LABELS):
        assert report[name]["ap50"] == pytest.approx(loop_average_precision(truth, found, k, 0.5))
        assert report[name]["ap75"] == pytest.approx(loop_average_precision(truth, found, k, 0.75))


def test_by_hand():
    # Of two objects one is found after one false positive: precision 1/2 at recalls up to 1/2,
    # which 51 of the 101 recalls are. Its overlap of 0.8 passes seven of the ten thresholds.
    truth = [{"boxes": [[0, 0, 40, 40], [100, 100, 140, 140]], "labels": [0, 0]}]
    boxes = [[200, 0, 240, 40], [0, 0, 40, 32]]
    found = [{"boxes": boxes, "scores": [0.9, 0.8], "labels": [0, 0]}]
    values = coco_average_precision(truth, found, ["cell"])["cell"]
    assert values["ap50"] == values["ap75"] == values["ap_medium"] / 0.7 == pytest.approx(51 / 202)
    assert values["ap"] == pytest.approx(0.7 * 51 / 202)
    assert values["recall"] == pytest.approx(0.7 / 2)
    assert np.isnan([values["ap_small"], values["ap_large"]]).all()


def test_difficult_objects_count_neither_for_nor_against():
    boxes = [[0, 0, 40, 40], [100, 0, 140, 40], [200, 0, 240, 40]]
    difficult = [False, True, True]
    truth = [{"boxes": boxes, "labels": [0] * 3, "difficult": difficult}]
    # Found: the difficult one, then the other; the third is missed and does not lower the recall.
    # A small part of the second object is false as it would be of any other: it is no crowd.
    there = [[100, 0, 140, 40], [0, 0, 40, 40], [110, 10, 120, 20]]
    found = [{"boxes": there, "scores": [0.9, 0.8, 0.7], "labels": [0] * 3}]
    values = coco_average_precision(truth, found, ["cell"])["cell"]
    assert [values[key] for key in ("ap", "recall", "ap_medium")] == pytest.approx([1, 1, 1])
    found[0]["scores"] = [0.9, 0.8, 0.85]
    assert coco_average_precision(truth, found, ["cell"])["cell"]["ap"] == pytest.approx(0.5)


def test_classes_without_objects_and_images_without_boxes():
    nothing = {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, int)}
    empty = nothing | {"scores": np.zeros(0)}
    truth, found = data()
    four = coco_average_precision([*truth, nothing], [*found, empty], [*LABELS, "parasite"])
    three = coco_average_precision(truth, found, LABELS)
    assert np.isnan(list(four["parasite"].values())).all() and four["all"] == three["all"]
    none = coco_average_precision(truth, [empty] * len(truth), LABELS)
    assert none["all"]["ap"] == none["rbc"]["recall"] == 0
    healthy = coco_average_precision([nothing], [found[1]], LABELS)
    assert np.isnan(list(healthy["all"].values())).all()


def test_only_the_best_detections_count():
    truth, found = data()
    best = []
    for other in found:
        rows = [
            np.flatnonzero(other["labels"] == k)[
                np.argsort(-other["scores"][other["labels"] == k])[:2]
            ]
            for k in range(3)
        ]
        best.append({key: array[np.concatenate(rows)] for key, array in other.items()})
    two = coco_average_precision(truth, found, LABELS, max_detections=2)
    same = coco_average_precision(truth, best, LABELS)
    assert all(two[name] == pytest.approx(same[name], nan_ok=True) for name in two)
    assert two["all"]["ap"] < coco_average_precision(truth, found, LABELS)["all"]["ap"]


def test_silence(capsys):
    coco_average_precision(*data(images=2), LABELS)
    assert capsys.readouterr().out == ""


def test_refusals():
    truth, found = data(images=2)
    for labels, match in [
        (["a", "a", "b"], "different names"),
        (["a", "b", "all"], "different names"),
        ([], "different names"),
        (["a"], r"class indices 0\.\.0"),
    ]:
        with pytest.raises(ValueError, match=match):
            coco_average_precision(truth, found, labels)
    with pytest.raises(ValueError, match="max_detections"):
        coco_average_precision(truth, found, LABELS, max_detections=0)
