import hashlib
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

from kmed.data.audit import LeakageError, audit, fingerprint
from kmed.data.image_folder import image_folder
from kmed.data.sample import Arrays, DataError, Sample
from kmed.data.splits import Split, split


def sample(name, image=None, patient=None):
    def read():
        return Arrays(image, None, (1.0, 1.0), None)

    return Sample(id=name, patient=patient or name, files=(f"{name}.png",), read=read)


def images(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 6, 6, 1), np.uint8)


def test_same_patient():
    a, b, c = images(3)
    parts = Split((sample("a", a, "p"),), (sample("b", b, "q"),), (sample("c", c, "p"),))
    with pytest.raises(LeakageError, match=r"the same patient; found 1.*\n.*a.png .*c.png"):
        audit(parts, pixels=False)


def test_identical_pixels_and_nothing_else():
    a, b, c = images(3)
    audit(Split((sample("a", a),), (sample("b", b),), (sample("c", c),)))
    copy = Split((sample("a", a), sample("b", b)), (), (sample("c", c), sample("d", b.copy())))
    with pytest.raises(LeakageError, match=r"identical pixels; found 1 .*\n.*b.png .*d.png"):
        audit(copy)
    audit(copy, pixels=False)
    # the same bytes in another shape are another image
    audit(Split((sample("a", a),), (), (sample("b", a.reshape(3, 12, 1)),)))
    # repeated within one part: no leak
    audit(Split((sample("a", a), sample("b", a)), (), (sample("c", c),)))


def test_blank_images_may_repeat():
    blank = np.zeros((6, 6, 1), np.uint8)
    audit(Split((sample("a", blank),), (), (sample("b", blank),)))


def test_ten_pairs_are_named_and_all_counted():
    train = tuple(sample(f"a{i}", image) for i, image in enumerate(images(14)))
    test = tuple(sample(f"b{i}", image) for i, image in enumerate(images(14)))
    with pytest.raises(LeakageError, match="found 14 such pairs") as error:
        audit(Split(train, (), test))
    assert str(error.value).count("\n") == 12 and "\n  and 4 more\n" in str(error.value)


def test_given_digests_and_progress():
    a, b = images(2)
    parts = Split((sample("a", a),), (), (sample("b", b),))
    calls = []
    audit(parts, digest=lambda s: s.id, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(1, 2), (2, 2)]
    with pytest.raises(LeakageError):
        audit(parts, digest=lambda s: "same")


def test_an_unreadable_image_ends_the_audit():
    read = []

    def broken():
        raise DataError("x.png: damaged")

    def counted():
        read.append(threading.get_ident())
        return Arrays(images(1)[0], None, (1.0, 1.0), None)

    bad = Sample(id="x", patient="x", files=("x.png",), read=broken)
    rest = tuple(Sample(id=f"{i}", patient=f"{i}", files=(), read=counted) for i in range(3000))
    with pytest.raises(DataError, match="x.png: damaged"):
        audit(Split((bad,), (), rest))
    assert len(read) < 3000


def test_renamed_and_reencoded_copies_on_disk(tmp_path):
    for index, image in enumerate(images(6)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"{index}.png")
    audit(split(image_folder(tmp_path)))
    with Image.open(tmp_path / "0.png") as image:
        image.save(tmp_path / "other.tif", compression="tiff_lzw")
    shutil.copy(tmp_path / "1.png", tmp_path / "renamed.png")
    by_id = {s.id: s for s in image_folder(tmp_path)}
    parts = Split(tuple(by_id[i] for i in "012345"), (by_id["other"],), (by_id["renamed"],))
    with pytest.raises(LeakageError, match="found 2") as error:
        audit(parts)
    for name in ("0.png", "other.tif", "1.png", "renamed.png"):
        assert str(tmp_path / name) in str(error.value)


def test_fingerprint(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    for index, image in enumerate(images(3)):
        Image.fromarray(image[..., 0]).save(folder / f"{index}.png")
    samples = image_folder(folder)
    found = fingerprint(samples)
    assert len(found) == 64 and fingerprint(samples[::-1]) == found
    shutil.copytree(folder, tmp_path / "there")
    assert fingerprint(image_folder(tmp_path / "there")) == found
    assert fingerprint(samples[:2]) != found
    content = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(content + b"\0")
    assert fingerprint(samples) != found
    # by hand, for one sample
    file = hashlib.sha256((folder / "0.png").read_bytes()).hexdigest()
    assert (
        fingerprint(samples[:1])
        == hashlib.sha256(f'["0", "0", null, ["{file}"]]'.encode()).hexdigest()
    )
    (folder / "1.png").unlink()
    with pytest.raises(DataError, match=r"1.png: cannot be read"):
        fingerprint(samples)


def test_electron_microscopy_has_no_copies(shared_data):
    root = shared_data / "data" / "isbi2012_em"
    audit(split(image_folder(root / "image", root / "label")))
