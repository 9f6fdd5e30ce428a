import pytest

from kmed.data.label_kinds import (
    checked_kind,
    checked_names,
    encoded,
    official_split,
    require_kind,
    split_part,
)
from kmed.data.sample import DataError, Sample


@pytest.mark.parametrize(
    ("classes", "several", "kind"),
    [(2, False, "binary"), (3, False, "multiclass"), (2, True, "multilabel")],
)
def test_the_labels_say_their_kind(classes, several, kind):
    assert checked_kind(None, classes, several=several, where="a.csv") == kind


def test_kinds_that_do_not_fit():
    assert checked_kind("ordinal", 5, several=False, where="a") == "ordinal"
    assert checked_kind("multiclass", 2, several=False, where="a") == "multiclass"
    with pytest.raises(DataError, match=r"a.csv: kind='binary' has 2 classes; there are 3"):
        checked_kind("binary", 3, several=False, where="a.csv")
    with pytest.raises(DataError, match="holds one label an image.*'multilabel'"):
        checked_kind("multilabel", 3, several=False, where="a.csv")
    with pytest.raises(DataError, match="holds several labels an image.*'ordinal'"):
        checked_kind("ordinal", 3, several=True, where="a.csv")
    with pytest.raises(DataError, match="nothing to tell apart"):
        checked_kind(None, 1, several=False, where="a.csv")
    with pytest.raises(ValueError, match="`kind` must be one of .* received 'multi'"):
        require_kind("multi")


@pytest.mark.parametrize("labels", ["ab", [], ["a", "a"], ["a", ""]])
def test_names_that_are_none(labels):
    with pytest.raises(ValueError, match="`labels` must be different names"):
        checked_names(labels)


@pytest.mark.parametrize(
    ("values", "labels", "indices", "names"),
    [
        (["b", "a", "b"], None, [1, 0, 1], ("a", "b")),
        (["b", "a"], ["b", "a", "c"], [0, 1], ("b", "a", "c")),
        (["10", "9"], None, [1, 0], ("9", "10")),  # by value, not by letters
        (["1.0", "02", "1"], None, [0, 1, 0], ("1", "2")),
        (["1", "0"], ["well", "sick"], [1, 0], ("well", "sick")),
        (["1", "2"], ["2", "1"], [1, 0], ("2", "1")),  # numbers that are names
    ],
)
def test_class_indices(values, labels, indices, names):
    assert encoded(values, values, labels=labels) == (indices, names)


def test_classes_that_are_none():
    with pytest.raises(DataError, match="line 3: 'c' is not one of the classes a, b"):
        encoded(["a", "c"], ["line 2", "line 3"], labels=["a", "b"])
    with pytest.raises(DataError, match="line 2: class 2 is not from 0 to 1"):
        encoded(["2"], ["line 2"], labels=["a", "b"])
    with pytest.raises(DataError, match="line 3: '3' is not one of the classes 1, 2"):
        encoded(["1", "3"], ["line 2", "line 3"], labels=["1", "2"])
    with pytest.raises(DataError, match="the order of the grades"):
        encoded(["mild", "severe"], ["line 2", "line 3"], kind="ordinal")
    assert encoded(["mild", "severe"], ["", ""], labels=["mild", "severe"], kind="ordinal")
    assert encoded(["2", "1"], ["", ""], kind="ordinal")[1] == ("1", "2")


def samples(count):
    return [Sample(id=f"{i}", patient=f"{i}", files=(f"{i}.png",), read=None) for i in range(count)]


def test_official_splits():
    assert [split_part(name) for name in ("Train", "valid ", "testing", "a")] == [
        *("train", "validation", "test"),
        None,
    ]
    four = samples(4)
    parts = official_split(four, ["train", "test", "train", "validation"])
    assert parts.train == (four[0], four[2])
    assert (parts.validation, parts.test) == ((four[3],), (four[1],))
    assert official_split(four, ["train"] * 4) is None
    assert official_split(four, [None] * 4) is None
    assert official_split(four, ["train", "test"] * 2).validation == ()
    with pytest.raises(DataError, match="1.png: in no part"):
        official_split(four, ["train", None, "test", "test"])
    with pytest.raises(DataError, match="no part for training"):
        official_split(four, ["validation", "test"] * 2)
