import pytest

from kmed.data.box_columns import box_columns
from kmed.data.sample import DataError


@pytest.mark.parametrize(
    ("columns", "roles", "form", "unit"),
    [
        # TensorFlow's object detection tables, where width and height are those of the image.
        (
            "filename,width,height,class,xmin,ymin,xmax,ymax",
            "filename,xmin,ymin,xmax,ymax,class",
            *("corners", "px"),
        ),
        # RSNA pneumonia; NIH ChestX-ray; VinDr-CXR; LUNA16.
        ("patientId,x,y,width,height,Target", "patientId,x,y,width,height,Target", "size", "px"),
        (
            "Image Index,Finding Label,Bbox [x,y,w,h]",
            "Image Index,Bbox [x,y,w,h],Finding Label",
            *("size", "px"),
        ),
        (
            "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
            "image_id,x_min,y_min,x_max,y_max,class_name",
            *("corners", "px"),
        ),
        (
            "seriesuid,coordX,coordY,coordZ,diameter_mm",
            "seriesuid,coordX,coordY,coordZ,diameter_mm",
            *("sphere", "patient_mm"),
        ),
        (
            "file,x1_mm,y1_mm,x2_mm,y2_mm,patient,split,difficult",
            "file,x1_mm,y1_mm,x2_mm,y2_mm,patient,split,difficult",
            *("corners", "mm"),
        ),
        (
            "SeriesInstanceUID,x1,y1,z1,x2,y2,z2",
            "SeriesInstanceUID,x1,y1,z1,x2,y2,z2",
            *("cuboid", "patient_mm"),
        ),
    ],
)
def test_tables_that_people_have(columns, roles, form, unit):
    found = box_columns("t.csv", columns.split(","), None, None)
    assert list(found[0].values()) == roles.split(",")
    assert found[1:] == (form, unit)


def test_columns_and_units_that_the_user_names():
    columns = ["picture", "a", "b", "c", "d", "label", "kind"]
    chosen = {"file": "picture", "x1": "a", "y1": "b", "x2": "c", "y2": "d", "label": "kind"}
    found, form, unit = box_columns("t.csv", columns, chosen, "fraction")
    assert (found, form, unit) == (chosen, "corners", "fraction")
    # In pixels, a third coordinate is a column like others.
    assert box_columns("t.csv", ["id", "x1", "y1", "z1", "x2", "y2", "z2"], None, "px")[1:] == (
        *("corners", "px"),
    )


def test_what_is_missing_is_named():
    with pytest.raises(DataError, match="t.csv: no column is called `file`.*one of a, x1"):
        box_columns("t.csv", ["a", "x1", "y1", "x2", "y2"], None, None)
    with pytest.raises(DataError, match="t.csv: needs columns x1, y1, x2, y2.*it has file, x1, y1"):
        box_columns("t.csv", ["file", "x1", "y1"], None, None)
    with pytest.raises(DataError, match="t.csv: has no column 'left'; it has file"):
        box_columns("t.csv", ["file"], {"x1": "left"}, None)


def test_arguments_that_do_not_fit_are_refused():
    columns = ["file", "x1", "y1", "x2", "y2"]
    with pytest.raises(ValueError, match="`columns` names 'colour'; it may name file, x1"):
        box_columns("t.csv", columns, {"colour": "file"}, None)
    with pytest.raises(ValueError, match="`unit` must be one of .*; received 'cm'"):
        box_columns("t.csv", columns, None, "cm")
    with pytest.raises(ValueError, match="unit='patient_mm' does not fit boxes given by x1, y1"):
        box_columns("t.csv", columns, None, "patient_mm")
