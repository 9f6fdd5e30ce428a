import json
import random

import pytest

from kmed.data.json_records import read_records
from kmed.data.sample import DataError

KEYS = ("images", "annotations")


def test_records_know_their_lines(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(
        '{\n "info": {"images": [1]},\n "images": [\n  {"id": 1},\n\n  {"id": 2}],\n'
        ' "annotations": [{"id": 3}, {\n  "id": 4}]\n}\n'
    )
    found = read_records(path, KEYS)
    assert [(r.line, r.value["id"]) for r in found["images"]] == [(4, 1), (6, 2)]
    assert [(r.line, r.value["id"]) for r in found["annotations"]] == [(7, 3), (7, 4)]
    assert read_records(path, ("other",)) == {"other": []}


@pytest.mark.parametrize("indent", [None, 2])
def test_the_values_are_those_of_json(tmp_path, indent):
    draw = random.Random(0)
    lists = {
        key: [{"id": n, "v": [draw.random(), None, {"t": 'a"}]'}]} for n in range(20)]
        for key in KEYS
    }
    content = {"x": [], **lists, "y": {}, "z": "\u00fc"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content, indent=indent))
    found = read_records(path, KEYS)
    assert {key: [record.value for record in found[key]] for key in KEYS} == lists


def test_empty_lists_and_objects(tmp_path):
    path = tmp_path / "a.json"
    for text in ("{}", ' { "images" : [ ] } ', '\ufeff{"images":[]}'):
        path.write_text(text, encoding="utf-8")
        assert read_records(path, KEYS) == {"images": [], "annotations": []}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: cannot be read as JSON"),
        ("[]", "line 1: cannot be read as JSON"),
        ('{"images": [\n{"id": 1}\n{"id": 2}]}', "line 3: cannot be read as JSON"),
        ('{"images": [\n1]}', "line 2: .*Expecting a list of objects"),
        ('{"images": 1}', r"line 1: .*Expecting '\['"),
        ('{"images": []} x', "line 1: .*Extra data"),
        ('{"images": [{"id": 1}', "line 1: cannot be read as JSON"),
        ('{"a": ' + "[" * 100000, "cannot be read as JSON"),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DataError, match=f"a.json.*{message}"):
        read_records(path, KEYS)


def test_unreadable_files(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_records(tmp_path / "none.json", KEYS)
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_records(tmp_path / "a.json", KEYS)
