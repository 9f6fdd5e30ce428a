import json

import pytest

from kmed.data.caption_rows import caption_columns, caption_rows
from kmed.data.sample import DataError


def test_tables_and_json_lines_give_the_same(tmp_path):
    table, lines = tmp_path / "a.csv", tmp_path / "a.jsonl"
    table.write_text('image,caption\na.png,"no focus, no effusion"\nb.png,mass \n')
    rows = [{"image": "a.png", "caption": "no focus, no effusion"}, {"image": "b.png"}]
    rows[1]["caption"] = "mass "
    lines.write_text("\n\n".join(map(json.dumps, rows)) + "\n")
    columns, read = caption_rows(table)
    assert columns == ("image", "caption")
    assert caption_rows(lines)[0] == columns
    assert [row.cells for row in caption_rows(lines)[1]] == [row.cells for row in read]
    assert [row.where for row in caption_rows(lines)[1]] == [
        f"{lines}, line 1",
        f"{lines}, line 3",
    ]


def test_json_values_that_are_no_text(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"image": 7, "text": None, "boxes": [1, 2]}, {"image": "b", "age": 60, "normal": True}]
    path.write_text("\n".join(map(json.dumps, rows)))
    columns, read = caption_rows(path)
    assert columns == ("image", "age")
    assert [row.cells for row in read] == [{"image": "7", "age": ""}, {"image": "b", "age": "60"}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"image": "a"}\n{"image": \n', "a.jsonl, line 2: cannot be read as JSON"),
        (b'["a", "b"]\n', "a.jsonl, line 1: expected an object"),
        (b'{"image": "\xff"}\n', "a.jsonl: is not UTF-8"),
        (b"\n\n", "a.jsonl: has no lines"),
    ],
)
def test_lines_that_cannot_be_read(tmp_path, content, message):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        caption_rows(tmp_path / "a.jsonl")
    with pytest.raises(DataError, match="b.jsonl: cannot be read"):
        caption_rows(tmp_path / "b.jsonl")


def test_columns_are_found_by_their_names():
    found = caption_columns("t", ["id", "Findings", "Image_Path", "subject_id", "Class", "split"])
    assert found == ("Image_Path", "Findings", "Class", "subject_id", "split")
    found = caption_columns("t", ["file", "text", "report", "case"])
    assert found == ("file", "text", None, "case", None)


def test_columns_that_the_user_names():
    names = ["image", "caption", "where", "what", "who", "kind"]
    found = caption_columns("t", names, image="where", text="what", label="kind", patient="who")
    assert found == ("where", "what", "kind", "who", None)


def test_columns_that_are_missing():
    with pytest.raises(
        DataError, match="t: no column is called image, file .* with image=, one of"
    ):
        caption_columns("t", ["a", "caption"])
    with pytest.raises(DataError, match="called caption, report .* text=, one of image, b"):
        caption_columns("t", ["image", "b"])
    with pytest.raises(DataError, match="t: has no column 'kind'; it has image, text"):
        caption_columns("t", ["image", "text"], label="kind")
