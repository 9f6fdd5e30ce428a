from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CLASSES = ("disc", "square")


def picture(seed: int, size: tuple[int, int] = (60, 80)) -> tuple[np.ndarray, list[dict]]:
    """Bright discs and squares on noise, 8 bits, and their boxes as COCO has them."""
    random = np.random.default_rng(seed)
    image = 60 + 10 * random.normal(size=size)
    rows, columns = np.mgrid[: size[0], : size[1]]
    boxes, taken = [], np.zeros(size, bool)
    for _ in range(random.integers(0 if seed % 10 == 0 else 1, 4)):
        side, kind = int(random.integers(14, 26)), int(random.integers(2))
        x, y = (int(random.integers(0, length - side)) for length in size[::-1])
        if taken[y : y + side, x : x + side].any():
            continue
        taken[y : y + side, x : x + side] = True
        inside = taken & False
        inside[y : y + side, x : x + side] = True
        if kind == 0:
            middle = (side - 1) / 2
            inside &= np.hypot(rows - y - middle, columns - x - middle) <= side / 2
        image[inside] += 120
        boxes.append({"bbox": [x, y, side, side], "category_id": kind + 1})
    return image.clip(0, 255).astype("uint8"), boxes


def write_coco(root: Path, count: int) -> Path:
    """Pictures and one COCO file beside them."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count):
        image, boxes = picture(i)
        Image.fromarray(image).save(root / "images" / f"p{i:03d}.png")
        images.append({"id": i, "file_name": f"p{i:03d}.png", "height": 60, "width": 80})
        for box in boxes:
            x, y, w, h = box["bbox"]
            facts = {"id": len(annotations) + 1, "image_id": i, "iscrowd": 0, "area": w * h}
            annotations.append(box | facts)
    categories = [{"id": k, "name": name} for k, name in enumerate(CLASSES, 1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return root


SMALL = {
    "size": (64, 64),
    "network": {
        "backbone_options": {"width": 8},
        "extra_filters": (),
        "levels": ("P3", "P4"),
        "head_filters": 16,
    },
    "codec": {"scales": (0.2, 0.4, 0.7)},
    "batch_size": 8,
}


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> Path:
    return write_coco(tmp_path_factory.mktemp("coco") / "shapes", 60)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shapes):
    """A small SSD, trained until it finds discs and squares, and its run."""
    from kmed.applications import ssd
    from kmed.tasks import detection

    folder = tmp_path_factory.mktemp("trained")
    settings = detection.Settings(
        name="shapes",
        data=str(shapes),
        epochs=24,
        judge_every=4,
        learning_rate=3e-3,
        validation=0.2,
        test=0.3,
        augmentation={"zoom_out": 1.0, "crop": None},
        run_dir=str(folder / "run"),
        saved_models=str(folder / "saved_models"),
        **SMALL,
    )
    said = []
    before = os.getcwd()
    os.chdir(folder)
    try:
        run = detection.train(ssd, settings, say=said.append, verbose=0)
    finally:
        os.chdir(before)
    return run, settings, said
