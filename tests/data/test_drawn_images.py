from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kmed.data.drawn_boxes import DrawnImage, DrawnSet
from kmed.data.drawn_images import count_left_out, drawn_samples, find_image
from kmed.data.image_lookup import ImageLookup
from kmed.data.sample import DataError


def picture(path, size=(8, 6), orientation=None, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint8).reshape(size[::-1]))
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    image.convert(mode).save(path, exif=exif)
    return path


def drawn(*paths, **more):
    images = [DrawnImage(file=Path("a.xml"), image=path, boxes=(), **more) for path in paths]
    return DrawnSet(images=tuple(images))


def test_the_first_name_that_finds_an_image(tmp_path):
    path = picture(tmp_path / "deep" / "a.png")
    lookup = ImageLookup(tmp_path)
    assert find_image(lookup, ["", "b", "a.png"], "x, line 1") == path
    with pytest.raises(DataError, match="x, line 1: no image 'b'"):
        find_image(lookup, ["b", "c"], "x, line 1")
    with pytest.raises(DataError, match="x, line 1: names no image"):
        find_image(lookup, ["", ""], "x, line 1")


def test_a_volume_is_refused(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(b"")
    with pytest.raises(DataError, match="a.nii.gz is a volume; boxes are drawn on pictures"):
        find_image(ImageLookup(tmp_path), ["a"], "x, line 1")


def test_images_without_annotation_are_counted(tmp_path):
    paths = [picture(tmp_path / f"{name}.png") for name in "abc"]
    lookup = ImageLookup(tmp_path)
    count_left_out(tmp_path, lookup, drawn(*paths).images)
    with pytest.warns(UserWarning, match="2 images beside the 1 annotated ones"):
        count_left_out(tmp_path, lookup, drawn(paths[0]).images)


def test_ids_patients_and_sizes(tmp_path):
    paths = [picture(tmp_path / "x" / name) for name in ("p1/a.png", "p2/a.png", "p2/b.png")]
    samples, sizes = drawn_samples(drawn(*paths))
    assert [(s.id, s.patient) for s in samples] == [(n, n) for n in ("p1/a", "p2/a", "p2/b")]
    assert sizes == [(6, 8)] * 3
    assert samples[0].read().image.shape == (6, 8, 1)
    samples, _ = drawn_samples(drawn(*paths), patient=r"(p\d)/", channels=3)
    assert [s.patient for s in samples] == ["p1", "p2", "p2"]
    assert samples[0].read().image.shape == (6, 8, 3)
    samples, _ = drawn_samples(drawn(paths[0], patient="Q"))
    assert samples[0].patient == "Q"


def test_a_turned_picture_is_read_as_its_boxes_were_drawn(tmp_path):
    turned = picture(tmp_path / "a.jpg", orientation=6)
    [sample], [size] = drawn_samples(drawn(turned, size=(8, 6)))
    assert size == (8, 6) and sample.read().image.shape == (8, 6, 1)
    for stated in (None, (6, 8)):
        with pytest.raises(DataError, match="a.jpg: its EXIF orientation 6 .* a.xml were drawn"):
            drawn_samples(drawn(turned, size=stated))
    square = picture(tmp_path / "b.jpg", size=(8, 8), orientation=6)
    with pytest.raises(DataError, match="b.jpg: its EXIF orientation 6"):
        drawn_samples(drawn(square, size=(8, 8)))
    [sample], _ = drawn_samples(drawn(picture(tmp_path / "c.png", orientation=6), size=(8, 6)))
    with pytest.raises(DataError, match="c.png: its EXIF orientation 6"):
        sample.read()


def test_pictures_beside_others_are_refused(tmp_path):
    grey, colour = picture(tmp_path / "a.png"), picture(tmp_path / "b.png", mode="RGB")
    with pytest.raises(DataError, match="b.png: has 3 channel"):
        drawn_samples(drawn(grey, colour))
