import numpy as np
from PIL import Image

from kmed.tasks.predictions import samples_of, unused_name


def test_names_are_numbered():
    names = set()
    assert [unused_name(name, names) for name in ("a/ct", "a/ct", "a_ct", "b")] == [
        "a_ct", "a_ct-2", "a_ct-3", "b",
    ]  # fmt: skip


def test_a_broken_file_does_not_keep_the_others_from_being_read(tmp_path):
    Image.fromarray(np.zeros((4, 4), "uint8")).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    failed = []
    assert [sample.id for sample in samples_of([tmp_path], failed)] == ["a"]
    [(which, why)] = failed
    assert which.endswith("b.png") and "b.png" in why
