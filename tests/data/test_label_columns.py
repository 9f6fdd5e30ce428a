import pytest

from kmed.data.label_columns import table_labels
from kmed.data.label_rows import Row
from kmed.data.sample import DataError


def read(cells, chosen=(), free=None, labels=None, kind=None):
    rows = [
        Row(f"t.csv, line {line}", dict(zip(cells, values, strict=True)))
        for line, values in enumerate(zip(*cells.values(), strict=True), start=2)
    ]
    free = list(cells) if free is None else free
    return table_labels("t.csv", rows, chosen, free, labels=labels, kind=kind)


def test_one_column():
    assert read({"age": ["5", "6"], "Label": ["b", "a"]}) == ([1, 0], ("a", "b"), False)
    assert read({"level": ["2", "0"]}) == ([1, 0], ("0", "2"), False)
    assert read({"dx": ["1", "0"]}, labels=["well", "sick"]) == ([1, 0], ("well", "sick"), False)
    assert read({"x": ["b"], "y": ["a"]}, chosen=["x"]) == ([0], ("b",), False)


def test_columns_of_bits():
    cells = {"edema": ["1", "0.0", "False"], "mass": ["1", "0", "True"]}
    assert read(cells) == ([(1, 1), (0, 0), (0, 1)], ("edema", "mass"), True)
    assert read(cells, labels=["mass", "edema"])[:2] == (
        [(1, 1), (0, 0), (1, 0)],
        ("mass", "edema"),
    )
    with pytest.raises(DataError, match="`labels` must name the columns edema, mass"):
        read(cells, labels=["a", "b"])
    one = {"mel": ["1", "0"], "nv": ["0", "1"], "df": ["0", "0"]}
    assert read(one, kind="multiclass") == ([0, 1], ("mel", "nv", "df"), False)
    with pytest.raises(DataError, match="line 2: 2 columns hold 1; kind='binary' has one class"):
        read(cells, kind="binary")
    with pytest.raises(DataError, match="line 3: mass must be 0 or 1.* received '-1'"):
        read(cells | {"mass": ["1", "-1", "0"]}, chosen=["edema", "mass"])


def test_joined_names():
    cells = {"Finding Labels": ["Mass|Edema", "No Finding", "Edema"]}
    assert read(cells) == ([(1, 1), (0, 0), (1, 0)], ("Edema", "Mass"), True)
    named = ["No Finding", "Mass", "Edema"]
    assert read(cells, labels=named)[0] == [(0, 1, 1), (1, 0, 0), (0, 0, 1)]
    assert read({"label": ["a", "b"]}, kind="multilabel") == ([(1, 0), (0, 1)], ("a", "b"), True)
    with pytest.raises(DataError, match="line 2, Finding Labels: 'Edema' is not one of"):
        read(cells, labels=["Mass"])
    with pytest.raises(DataError, match="line 2, label: '' is not one of the classes a"):
        read({"label": ["a||a"]})


def test_faulty_cells():
    with pytest.raises(DataError, match="t.csv, line 3: label is blank"):
        read({"label": ["a", ""]})
    with pytest.raises(DataError, match="t.csv, line 3, label: 'c' is not one of the classes a, b"):
        read({"label": ["a", "c"]}, labels=["a", "b"])
    with pytest.raises(DataError, match="t.csv: no column is called `label`.* one or some of q, r"):
        read({"q": ["a"], "r": ["0"]})
    with pytest.raises(DataError, match="one or some of none"):
        read({"q": ["a"]}, free=[])
