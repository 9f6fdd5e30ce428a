import json

import pydicom
import pytest
from PIL import Image

from kmed.data.annotated import annotated
from kmed.data.box_table import box_table
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError


def pictures(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 20)).save(root / name)
    return root


def table(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


def boxes(drawn):
    return [[(b.line, b.name, b.corners) for b in image.boxes] for image in drawn.images]


def test_corners_negatives_patients_and_parts(tmp_path):
    pictures(tmp_path, "x/a.png", "x/b.png")
    path = table(
        tmp_path / "boxes.csv",
        "file,xmin,ymin,xmax,ymax,label,patient,split,difficult",
        *("x/a.png,1,2,30,10.5,cell,p1,train,0", "b,,,,,,p2,val,"),
        "a,0,0,40,20,lump,p1,train,1",
    )
    found = box_table(path)
    assert boxes(found) == [[(2, "cell", (1, 2, 30, 10.5)), (4, "lump", (0, 0, 40, 20))], []]
    assert [box.difficult for box in found.images[0].boxes] == [False, True]
    assert [(i.patient, i.part, i.line) for i in found.images] == [
        *(("p1", "train", 2), ("p2", "validation", 3))
    ]


def test_sizes_and_fractions(tmp_path):
    pictures(tmp_path, "a.png")
    path = table(tmp_path / "t.csv", "image;x;y;w;h", "a.png;1;2;10;4")
    assert boxes(box_table(path)) == [[(2, "object", (1, 2, 11, 6))]]
    path = table(tmp_path / "t.csv", "image;x1;y1;x2;y2", "a.png;0.25;0.5;0.5;1")
    found = box_table(path, unit="fraction", names=["cell"])
    assert boxes(found) == [[(2, "cell", (10, 10, 20, 20))]]


def test_classes_by_index_and_unknown_ones(tmp_path):
    pictures(tmp_path, "a.png")
    path = table(
        tmp_path / "t.csv", "image,x1,y1,x2,y2,class", "a,0,0,1,1,1", "a,0,0,2,1,0", "a,1,0,2,1,2"
    )
    assert [b.name for b in box_table(path).images[0].boxes] == ["1", "0", "2"]
    named = box_table(path, names=["red", "white"]).images[0].boxes
    assert [box.name for box in named] == ["white", "red", "2"]


def test_a_column_of_words_is_not_passed_over(tmp_path):
    pictures(tmp_path, "a.png")
    path = table(tmp_path / "t.csv", "image,x1,y1,x2,y2,what,score", "a,0,0,1,1,cell,0.5")
    with pytest.raises(DataError, match=r"line 2: 'what' may tell the class \('cell'\)"):
        box_table(path)
    assert box_table(path, columns={"label": "what"}).images[0].boxes[0].name == "cell"
    assert box_table(path, names=["thing"]).images[0].boxes[0].name == "thing"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1,2,3,x,cell,p1,train", "line 2: x1, y1, x2, y2 must be numbers.*'x'"),
        ("a,1,2,3,,cell,p1,train", "line 2: x1, y1, x2, y2 must be numbers, or all blank"),
        ("a,1,2,3,4,,p1,train", "line 2: a box needs a class; the cell is blank"),
        ("a,1,2,3,4,cell,,train", "line 2: patient is blank"),
        ("a,1,2,3,4,cell,p1,dev", "line 2: split must be train, val or test; received 'dev'"),
        ("c,1,2,3,4,cell,p1,train", "line 2: no image 'c'"),
        ("b,1,2,3,4,cell,p1,train", "line 3: 'b' is also in .*line 2, with another patient"),
        (",1,2,3,4,cell,p1,train", "line 2: names no image"),
    ],
)
def test_faulty_rows_are_refused_with_their_line(tmp_path, row, message):
    pictures(tmp_path, "a.png", "b.png")
    path = table(
        tmp_path / "t.csv", "file,x1,y1,x2,y2,label,patient,split", row, "b,1,2,3,4,cell,p2,train"
    )
    with pytest.raises(DataError, match=f"t.csv, {message}"):
        box_table(path)


def test_images_without_a_row_are_counted(tmp_path):
    pictures(tmp_path, "a.png", "b.png")
    path = table(tmp_path / "t.csv", "file,x1,y1,x2,y2", "a,0,0,1,1")
    with pytest.warns(UserWarning, match="t.csv: 1 images beside the 1 annotated ones"):
        box_table(path)


def test_millimetres_need_dicom(tmp_path):
    pictures(tmp_path, "a.png")
    path = table(tmp_path / "t.csv", "file,x1_mm,y1_mm,x2_mm,y2_mm", "a,0,0,1,1")
    with pytest.raises(DataError, match="t.csv, line 2: .*a.png is no DICOM file; boxes in mm"):
        box_table(path)
    path = table(tmp_path / "t.csv", "file,x,y,z,diameter", "a,0,0,1,1")
    with pytest.raises(DataError, match="t.csv, line 2: .*a.png is no DICOM file; boxes in the"):
        box_table(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("phantoms")
    phantoms(root, patients=1, seed=3, shape=(12, 48, 48), spacing_mm=(10, 7, 6), modalities=["ct"])
    folder = root / "patient-0001"
    files = sorted((folder / "ct").glob("*.dcm"))
    uid = str(pydicom.dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    return folder, files, uid, json.loads((folder / "findings.json").read_text())["boxes"]


def test_boxes_in_the_patient_lie_on_the_slices_where_the_voxels_are(study):
    folder, files, uid, findings = study
    header = "SeriesInstanceUID,x1,y1,z1,x2,y2,z2,label"
    rows = [
        ",".join([uid, *map(str, finding["box_lps_mm"]), finding["label"]]) for finding in findings
    ]
    found = annotated(table(folder / "boxes.csv", header, *rows), fix=True)
    assert found.problems == () and len(found.samples) == 12
    assert {sample.patient for sample in found.samples} == {"patient-0001"}
    assert [sample.files[0] for sample in found.samples] == [str(file) for file in files]
    assert found.samples[0].read().image.shape == (48, 48, 1)
    for number, sample in enumerate(found.samples):
        expected = [
            ([w1, h1, w2, h2], found.labels.index(finding["label"]))
            for finding in findings
            for d1, h1, w1, d2, h2, w2 in [finding["box"]]
            if d1 <= number < d2
        ]
        boxes = sample.objects.boxes.round(2).tolist()
        assert list(zip(boxes, sample.objects.labels.tolist(), strict=True)) == expected
    assert len({len(sample.objects) for sample in found.samples}) > 2


def test_a_sphere_is_its_cube_and_one_outside_of_all_slices_is_reported(study):
    folder, files, uid, _ = study
    first = pydicom.dcmread(files[5], stop_before_pixels=True)
    x, y, z = map(float, first.ImagePositionPatient)
    lines = (f"{uid},{x + 60},{y + 70},{z},12", f"{uid},{x},{y},{z + 900},12")
    path = table(folder / "balls.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm", *lines)
    with pytest.raises(DataError, match="balls.csv, line 3: outside of all slices: nodule"):
        annotated(path, labels=["nodule"])
    found = annotated(path, labels=["nodule"], fix=True)
    assert [len(sample.objects) for sample in found.samples].index(1) == 5
    box = found.samples[5].objects.boxes[0]
    assert box.tolist() == pytest.approx([9.5, 10.5 - 6 / 7, 11.5, 10.5 + 6 / 7])
    assert len(found.problems) == 1


def test_boxes_on_one_slice_in_pixels_and_in_millimetres(study):
    folder, files, uid, _ = study
    instance = str(pydicom.dcmread(files[2], stop_before_pixels=True).SOPInstanceUID)
    path = table(
        folder / "mm.csv", "SOPInstanceUID,x1_mm,y1_mm,x2_mm,y2_mm", f"{instance},6,7,12,21"
    )
    found = annotated(path)
    [sample] = found.samples
    assert sample.objects.boxes.tolist() == [[1, 1, 2, 3]]
    assert (sample.files, found.sizes) == ((str(files[2]),), ((48, 48),))
    path = table(folder / "px.csv", "file,x,y,width,height", "ct/slice-0003.dcm,1,1,1,2")
    assert annotated(path).samples[0].objects.boxes.tolist() == [[1, 1, 2, 3]]
    path = table(folder / "px.csv", "SeriesInstanceUID,x,y,width,height", f"{uid},1,1,1,2")
    with pytest.raises(DataError, match="px.csv, line 2: .* names 12 images; boxes are drawn on"):
        annotated(path)
