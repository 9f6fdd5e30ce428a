import pytest

from kmed.data.label_rows import column_named, plain, read_rows, require_columns
from kmed.data.sample import DataError


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_cells_and_lines(tmp_path, delimiter):
    text = 'file,label\r\n\r\na.png, x \r\n"b, c.png","two\nlines"\r\nd.png,y\r\n'
    if delimiter != ",":
        text = text.replace("b, c", "b").replace(",", delimiter)
    columns, rows = read_rows(write(tmp_path / "a.csv", text, "utf-8-sig"))
    assert columns == ("file", "label")
    assert [row.where.rpartition(", ")[2] for row in rows] == ["line 3", "line 4", "line 6"]
    assert rows[0].cells == {"file": "a.png", "label": "x"}
    assert rows[1].cells["label"] == "two\nlines"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows"),
        ("a,b\n", "no rows below its header"),
        ("a,a\n1,2\n", "a.csv, line 1: two columns are called 'a'"),
        ("a,b\n1,2\n1\n", "a.csv, line 3: has 1 cells, the header has 2"),
        ("a,b\n1,2,3\n", "a.csv, line 2: has 3 cells"),
        ('a,b\n"1"x,2\n', "a.csv, line 2: "),
    ],
)
def test_faulty_tables(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_rows(write(tmp_path / "a.csv", text))


def test_files_that_are_no_tables(tmp_path):
    with pytest.raises(DataError, match="a.csv: is not UTF-8 text"):
        read_rows(write(tmp_path / "a.csv", "file,Größe\n1,2\n", "latin-1"))
    with pytest.raises(DataError, match="none.csv: cannot be read"):
        read_rows(tmp_path / "none.csv")


def test_columns():
    columns = ("Image Index", "Patient ID", "Finding Labels")
    assert column_named(columns, ("file", "imageindex")) == "Image Index"
    assert column_named(columns, ("file",)) is None
    assert plain("Series_Instance-UID") == "seriesinstanceuid"
    with pytest.raises(DataError, match="a.csv: has no column 'x'; it has Image Index"):
        require_columns("a.csv", columns, None, "x")
