import json

import numpy as np
import pydicom
import pytest
from PIL import Image

from kmed.data import label_table, phantoms
from kmed.data.sample import DataError


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4)).save(root / name)
    return root


def table(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def test_names_patients_and_split(tmp_path):
    pictures(tmp_path, "x/a.png", "x/b.png", "x/c.png")
    path = table(
        tmp_path / "labels.csv",
        *("file,label,patient_id,split", "x/b.png,sick,p1,train"),
        *("c,well,p1,train", "a.png,sick,p2,Test"),
    )
    found = label_table(path)
    assert (found.labels, found.kind) == (("sick", "well"), "binary")
    assert [(s.id, s.label, s.patient) for s in found.samples] == [
        *[("x/b", 0, "p1"), ("x/c", 1, "p1"), ("x/a", 0, "p2")]
    ]
    assert [s.id for s in found.split.train] == ["x/b", "x/c"]
    assert (len(found.split.validation), len(found.split.test)) == (0, 1)
    assert found.samples[0].read().image.shape == (4, 6, 1)
    found = label_table(path, patient=r"/(.)$", labels=["well", "sick"], kind="multiclass")
    assert [(s.label, s.patient) for s in found.samples] == [(1, "b"), (0, "c"), (1, "a")]
    assert found.kind == "multiclass"


def test_a_folder_elsewhere_and_chosen_columns(tmp_path):
    pictures(tmp_path / "images", "a.png", "b.png")
    path = table(tmp_path / "t.csv", "key;grade;who", "a;3;x", "b;1;y")
    found = label_table(
        path,
        images=tmp_path / "images",
        kind="ordinal",
        file_column="key",
        label_columns="grade",
        patient_column="who",
    )
    assert [(s.id, s.label, s.patient) for s in found.samples] == [("a", 1, "x"), ("b", 0, "y")]
    assert (found.labels, found.kind, found.split) == (("1", "3"), "ordinal", None)
    with pytest.raises(DataError, match="t.csv: has no column 'class'; it has key, grade, who"):
        label_table(path, file_column="key", label_columns=["class"])
    with pytest.raises(DataError, match="t.csv: no column is called `file`.*file_column="):
        label_table(path)
    with pytest.raises(ValueError, match="`patient` and `patient_column` both"):
        label_table(path, patient="(.)", patient_column="who")


def test_several_labels(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png")
    bits = table(tmp_path / "bits.csv", "image,edema,mass", "a,0,1", "b,1,1", "c,0,0")
    names = table(tmp_path / "names.csv", "image,finding", "a,mass", "b,edema|mass", "c,No Finding")
    for path in (bits, names):
        found = label_table(path)
        assert (found.labels, found.kind) == (("edema", "mass"), "multilabel")
        assert [s.label for s in found.samples] == [(0, 1), (1, 1), (0, 0)]


def test_images_without_a_row_are_counted(tmp_path):
    pictures(tmp_path, "a.png", "b.png", "c.png", "other/d.png")
    path = table(tmp_path / "t.csv", "file,label", "a.png,0", "b.png,1")
    with pytest.warns(UserWarning, match="t.csv: 1 of 3 images have no row and are left out"):
        assert len(label_table(path).samples) == 2


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,0,p", "z,1,p"], r"t.csv, line 3: no image 'z' below"),
        (["a,0,p", "b,,p"], r"t.csv, line 3: label is blank"),
        (["a,0,p", ",1,p"], r"t.csv, line 3: names no image"),
        (["a,0,p", "b,1,"], r"t.csv, line 3: patient is blank"),
        (["a,0,p", "b,1,p", "a.png,1,p"], r"t.csv, line 4: 'a.png' is also in .*t.csv, line 2"),
        (["a,0,p", "b,1,p", "a.png,0,q"], r"line 4: .* another label, patient or part"),
        (["a,0,p", "b,0,p"], r"t.csv: has 1 class"),
        (["a,0,p", "b,1,p", "v,1,p"], r"v.nii: not of the kind of"),
    ],
)
def test_faulty_rows(tmp_path, lines, message):
    pictures(tmp_path, "a.png", "b.png")
    (tmp_path / "v.nii").write_bytes(b"")
    with pytest.raises(DataError, match=message):
        label_table(table(tmp_path / "t.csv", "file,label,patient", *lines))


def test_a_row_may_come_twice(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    path = table(tmp_path / "t.csv", "file,label", "a,0", "b,1", "a.png,0")
    assert len(label_table(path).samples) == 2


def test_faulty_split(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    path = table(tmp_path / "t.csv", "file,label,split", "a,0,train", "b,1,dev")
    with pytest.raises(DataError, match="line 3: split must be train, val or test; received 'dev'"):
        label_table(path)


def test_dicom(tmp_path):
    root = phantoms(tmp_path / "p", patients=4, shape=(8, 16, 16), modalities=("ct", "t1"))
    uids = {"SeriesInstanceUID": [], "StudyInstanceUID": [], "SOPInstanceUID": [], "PatientID": []}
    for patient in range(1, 5):
        header = pydicom.dcmread(root / f"patient-{patient:04d}" / "ct" / "slice-0003.dcm")
        for keyword, values in uids.items():
            values.append(str(header.get(keyword)))
    for keyword, values in uids.items():
        lines = [f"{value},{number % 2}" for number, value in enumerate(values)]
        path = table(tmp_path / f"{keyword}.csv", f"{keyword},label", *lines)
        found = label_table(path, images=root, modality="CT")
        assert [s.label for s in found.samples] == [0, 1, 0, 1]
        assert [s.patient for s in found.samples] == [f"patient-000{n}" for n in range(1, 5)]
        shape = (16, 16, 1) if keyword == "SOPInstanceUID" else (8, 16, 16, 1)
        assert found.samples[2].read().image.shape == shape
        assert found.samples[2].read().mask is None
    with pytest.raises(DataError, match="finds MR .*choose one with modality="):
        label_table(tmp_path / "PatientID.csv", images=root)

    folders = [f"patient-000{n}/ct,{n % 2}" for n in range(1, 5)]
    path = table(tmp_path / "folders.csv", "folder,label", *folders)
    found = label_table(path, images=root, file_column="folder")
    source = json.loads((root / "patient-0001" / "findings.json").read_text())
    assert source["label"] in (0, 1) and [s.label for s in found.samples] == [1, 0, 1, 0]
    ids = [s.id for s in found.samples]
    assert ids == [f"patient-000{n}/ct" for n in range(1, 5)]
    arrays = found.samples[0].read()
    assert arrays.image.dtype == np.int16 and arrays.affine is not None


def test_dicom_with_a_column_of_patients(tmp_path):
    root = phantoms(tmp_path / "p", patients=2, shape=(8, 8, 8), modalities=("t1",))
    lines = ["patient-0001/t1,0,x", "patient-0002/t1,1,y"]
    found = label_table(table(root / "t.csv", "series,label,subject", *lines))
    assert [s.patient for s in found.samples] == ["x", "y"]
