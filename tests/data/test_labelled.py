import numpy as np
import pytest
from PIL import Image

from kmed.data import Labelled, audit, labelled, phantoms, split
from kmed.data.sample import DataError


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4)).save(root / name)
    return root


def arrays(path, labels, parts=("train", "val", "test")):
    content = {}
    for part in parts:
        content |= {f"{part}_images": np.zeros((len(labels), 4, 4)), f"{part}_labels": labels}
    np.savez(path, **content)
    return path


def test_class_folders_and_tables(tmp_path):
    pictures(tmp_path, "a/1.png", "b/1.png")
    found = labelled(tmp_path, labels=["b", "a"])
    assert isinstance(found, Labelled) and [s.label for s in found.samples] == [1, 0]
    (tmp_path / "labels.csv").write_text("file,label\na/1,x\nb/1,y\n")
    assert labelled(tmp_path).labels == labelled(tmp_path / "labels.csv").labels == ("x", "y")
    (tmp_path / "other.csv").write_text("file,label\na/1,p\nb/1,q\n")
    assert labelled(tmp_path).labels == ("x", "y")
    assert labelled(tmp_path, table=tmp_path / "other.csv").labels == ("p", "q")
    (tmp_path / "labels.csv").rename(tmp_path / "names.csv")
    with pytest.raises(DataError, match="several tables, names.csv, other.csv; choose one"):
        labelled(tmp_path)


def test_labels_in_the_names(tmp_path):
    pictures(tmp_path, "p1_x_1.png", "p1_y_0.png", "p2_x_1.png")
    found = labelled(tmp_path, label=r"_(\d)$", patient=r"^(p\d)", labels=["well", "sick"])
    assert [(s.id, s.label, s.patient) for s in found.samples] == [
        *[("p1_x_1", 1, "p1"), ("p1_y_0", 0, "p1"), ("p2_x_1", 1, "p2")]
    ]
    assert (found.labels, found.kind, found.split) == (("well", "sick"), "binary", None)
    with pytest.raises(
        DataError, match="p1_x_1.png: `label` .* finds nothing in the name 'p1_x_1'"
    ):
        labelled(tmp_path, label=r"z(\d)")
    with pytest.raises(ValueError, match="`label` must have exactly one group"):
        labelled(tmp_path, label=r"_\d")
    with pytest.raises(ValueError, match="`label` is no regular expression"):
        labelled(tmp_path, label="(")


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        ([[0], [1]], "binary", ("0", "1")),
        ([0, 2], "multiclass", ("0", "1", "2")),
        ([[0, 1, 1], [0, 0, 0]], "multilabel", ("0", "1", "2")),
    ],
)
def test_npz(tmp_path, labels, kind, names):
    path = arrays(tmp_path / "a.npz", np.array(labels))
    for given in (path, tmp_path):
        found = labelled(given)
        assert (found.kind, found.labels, len(found.samples)) == (kind, names, 6)
        assert [len(p) for p in (found.split.train, found.split.validation, found.split.test)] == [
            *[2, 2, 2]
        ]
    if kind == "multilabel":
        assert [s.label for s in found.split.test] == [(0, 1, 1), (0, 0, 0)]
        with pytest.raises(DataError, match="does not fit kind='multiclass'"):
            labelled(path, kind="multiclass")
    else:
        assert labelled(path, kind="ordinal").kind == "ordinal"
    with pytest.raises(DataError, match=f"has {len(names)} classes, `labels` names 1"):
        labelled(path, labels=["a"])


def test_npz_without_all_parts(tmp_path):
    found = labelled(arrays(tmp_path / "a.npz", np.array([0, 1]), parts=("train",)))
    assert found.split is None
    found = labelled(arrays(tmp_path / "a.npz", np.array([0, 1]), parts=("train", "test")))
    assert found.split.validation == () and len(found.split.test) == 2
    np.savez(tmp_path / "a.npz", train_images=np.zeros((2, 4, 4)))
    with pytest.raises(DataError, match="has no array 'train_labels'"):
        labelled(tmp_path / "a.npz")


def test_phantoms(tmp_path):
    root = phantoms(tmp_path, patients=2, shape=(8, 8, 8), modalities=("t1",))
    found = labelled(root, modality="t1")
    assert (found.labels, found.kind) == (("no lesion", "lesion"), "binary")
    assert {s.label for s in found.samples} <= {0, 1}


def test_arguments_without_a_meaning_are_refused(tmp_path):
    pictures(tmp_path, "a/1.png", "b/1.png")
    path = arrays(tmp_path / "a.npz", [0])
    for given, options, name in (
        (path, {"file_column": "a"}, "file_column"),
        (path, {"patient": "(.)"}, "patient"),
        (tmp_path / "a", {"split_column": "a"}, "split_column"),
    ):
        with pytest.raises(ValueError, match=f"`{name}` has no meaning"):
            labelled(given, **options)
    with pytest.raises(ValueError, match="`kind` must be one of"):
        labelled(tmp_path, kind="both")
    with pytest.raises(DataError, match="none: no such file or folder"):
        labelled(tmp_path / "none")
    with pytest.raises(DataError, match="1.png: expected a folder, a .csv or .tsv"):
        labelled(tmp_path / "a" / "1.png")


def test_pneumonia(shared_data):
    found = labelled(shared_data / "data" / "pneumoniamnist", labels=["normal", "pneumonia"])
    assert (found.kind, found.labels) == ("binary", ("normal", "pneumonia"))
    parts = found.split.train, found.split.validation, found.split.test
    assert [len(part) for part in parts] == [3882, 524, 624]
    assert [sum(s.label for s in part) for part in parts] == [3494, 389, 390]


def test_tuberculosis(shared_data):
    folder = shared_data / "data" / "cxr_lung_masks" / "images"
    found = labelled(folder, label=r"_(\d)$", labels=["normal", "tuberculosis"])
    for start, counts in (("MCUCXR", [80, 58]), ("CHNCXR", [279, 287])):
        labels = [s.label for s in found.samples if s.id.startswith(start)]
        assert np.bincount(labels).tolist() == counts
    parts = split(found.samples)
    assert abs(np.mean([s.label for s in parts.test]) - 345 / 704) < 0.02
    audit(parts, pixels=False)
