"""Small trainings whose results the tests of retrieval share."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from kmed.applications import embedding
from kmed.tasks.retrieval import Settings, train

SHAPES = ("disc", "square", "cross", "ring")
PLACES = ("left", "right")


def drawn(shape, place, size, inverted, random):
    """One picture of a shape on one side, bright on dark or inverted."""
    picture = Image.new("L", (32, 32), 40)
    pen = ImageDraw.Draw(picture)
    x = (10 if place == "left" else 22) + int(random.integers(-1, 2))
    y, r = 16 + int(random.integers(-2, 3)), size
    box = (x - r, y - r, x + r, y + r)
    if shape == "disc":
        pen.ellipse(box, fill=200)
    elif shape == "ring":
        pen.ellipse(box, outline=200, width=2)
    elif shape == "square":
        pen.rectangle(box, fill=200)
    else:
        pen.line((x - r, y, x + r, y), fill=200, width=3)
        pen.line((x, y - r, x, y + r), fill=200, width=3)
    values = np.asarray(picture, "float32") + random.normal(0, 4, (32, 32))
    values = 255 - values if inverted else values
    return Image.fromarray(np.clip(values, 0, 255).astype("uint8"))


@pytest.fixture(scope="package")
def pairs(tmp_path_factory):
    """A folder of pictures in two modalities, a shape of one size and place each."""
    root = tmp_path_factory.mktemp("pairs")
    random = np.random.default_rng(0)
    for modality in ("pos", "neg"):
        (root / modality).mkdir()
    number = 0
    for _ in range(5):
        for shape in SHAPES:
            for place in PLACES:
                size = int(random.integers(4, 9))
                for modality in ("pos", "neg"):
                    picture = drawn(shape, place, size, modality == "neg", random)
                    picture.save(root / modality / f"p{number:02d}.png")
                number += 1
    return root


@pytest.fixture(scope="package")
def reports(tmp_path_factory):
    """A table of pictures and sentences."""
    root = tmp_path_factory.mktemp("reports")
    random = np.random.default_rng(1)
    lines = ["file,caption,patient"]
    for number in range(40):
        shape, place = SHAPES[number % 4], PLACES[number // 4 % 2]
        drawn(shape, place, 7, False, random).save(root / f"s{number:02d}.png")
        lines.append(f"s{number:02d}.png,A {shape} on the {place} of Smith{number},q{number:02d}")
    (root / "reports.csv").write_text("\n".join(lines) + "\n")
    return root / "reports.csv"


@pytest.fixture(scope="package")
def settings_of(tmp_path_factory):
    """Settings of a small training below a folder of its own."""

    def make(data, **options):
        root = tmp_path_factory.mktemp("training")
        return Settings(
            data=str(data),
            size=(32, 32),
            dimension=16,
            network={"backbone_options": {"width": 16, "normalization": None}},
            batch_size=8,
            learning_rate=3e-3,
            validation=0.2,
            test=0.3,
            augment=0.0,
            flip="none",
            run_dir=str(root / "run"),
            saved_models=str(root / "saved_models"),
            **options,
        )

    return make


@pytest.fixture(scope="package")
def trained(pairs, settings_of):
    """The run, its settings and what was said, of two image towers."""
    settings = settings_of(pairs, name="shapes", modalities=("pos", "neg"), epochs=15)
    said = []
    return train(embedding, settings, say=said.append, verbose=0), settings, said


@pytest.fixture(scope="package")
def read(reports, settings_of):
    """The run, its settings and what was said, of a tower of images and one of text."""
    settings = settings_of(
        reports, name="words", loss="infonce", epochs=4, words=8,
        text={"encoder": "bag", "width": 16},
    )  # fmt: skip
    said = []
    return train(embedding, settings, say=said.append, verbose=0), settings, said
