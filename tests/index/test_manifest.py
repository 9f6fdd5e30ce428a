import json
from dataclasses import replace

import pytest

from kmed.index.errors import VectorIndexError
from kmed.index.manifest import NAME, Manifest

ENTRY = {"name": "segment-00000003", "count": 5, "vectors_crc32": 1, "rows_crc32": 2,
         "rows_bytes": 3}  # fmt: skip
MANIFEST = Manifest(
    dimension=4, kind="exact", options={}, facts={"tower": "ct"}, generation=2, serial=4,
    segments=(ENTRY, ENTRY | {"name": "segment-00000001", "count": 7}),
)  # fmt: skip


def test_comes_back_as_it_was_saved(tmp_path):
    MANIFEST.save(tmp_path)
    assert Manifest.load(tmp_path) == MANIFEST
    assert MANIFEST.count == 12
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_folder_without_one_is_no_index(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(VectorIndexError, match="an index is a folder with index.json.*create"):
            Manifest.load(folder)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "3", '{"format": 1}', '{"format": 1, "dimension": 4, "kind": "exact", '
     '"options": {}, "facts": {}, "segments": [3]}'],
)  # fmt: skip
def test_a_damaged_one_says_so(tmp_path, content):
    (tmp_path / NAME).write_text(content)
    with pytest.raises(VectorIndexError, match="damaged: restore it from a copy"):
        Manifest.load(tmp_path)


def test_another_format_is_not_guessed(tmp_path):
    MANIFEST.save(tmp_path)
    values = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps(values | {"format": 2}))
    with pytest.raises(VectorIndexError, match="has format 2, and this kmed reads format 1"):
        Manifest.load(tmp_path)


def test_a_missing_segment_is_told_to_the_caller(tmp_path):
    with pytest.raises(FileNotFoundError):
        MANIFEST.open_segments(tmp_path)


def test_sweeping_leaves_what_is_listed_and_what_is_not_the_index_own(tmp_path):
    kept = {"segment-00000003.npy", "segment-00000003.jsonl", NAME, "lock", "notes.txt"}
    gone = {"segment-00000002.npy", "segment-00000004.jsonl", ".12.part.index.json"}
    for name in kept | gone:
        (tmp_path / name).touch()
    replace(MANIFEST, segments=(ENTRY,)).sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept
