import json

import numpy as np
import pytest
from scipy import ndimage

from kmed.data.phantom_volume import phantom

SMALL = {"shape": (16, 48, 48), "spacing_mm": (7.5, 7.0, 7.0)}


@pytest.fixture(scope="module")
def studies():
    return [phantom(0, patient=k, **SMALL) for k in range(5)]


def test_equal_arguments_give_equal_studies_and_seeds_differ(studies):
    again = phantom(0, patient=1, **SMALL)
    for name in ("ct", "t1", "t2", "mask", "affine"):
        np.testing.assert_array_equal(getattr(again, name), getattr(studies[1], name))
    assert again.findings == studies[1].findings
    assert (phantom(1, patient=1, **SMALL).mask != again.mask).mean() > 0.01
    assert (studies[2].mask != again.mask).mean() > 0.01


def test_types_and_findings(studies):
    for study in studies:
        assert study.ct.dtype == np.int16 and study.t1.dtype == study.t2.dtype == np.uint16
        assert study.mask.dtype == np.uint8 and study.mask.shape == study.ct.shape == (16, 48, 48)
        assert json.loads(json.dumps(study.findings)) == study.findings
        assert study.label == study.findings["label"] == int((study.mask == 4).any())
        assert set(np.unique(study.mask)) >= {0, 1, 2, 3}


def test_five_patients_have_0_0_1_2_3_lesions(studies):
    counts = sorted(int((study.boxes["labels"] == 4).sum()) for study in studies)
    assert counts == [0, 0, 1, 2, 3]


def test_lesions_are_separate_and_boxes_are_tight(studies):
    for study in studies:
        lesions = study.mask == 4
        _, found = ndimage.label(lesions, np.ones((3, 3, 3)))
        boxes = study.boxes["boxes"][study.boxes["labels"] == 4].astype(int)
        assert found >= len(boxes)
        inside = np.zeros_like(lesions)
        for d1, h1, w1, d2, h2, w2 in boxes:
            part = lesions[d1:d2, h1:h2, w1:w2]
            inside[d1:d2, h1:h2, w1:w2] = True
            for axis in range(3):  # every face of the box touches the lesion
                others = tuple(a for a in range(3) if a != axis)
                assert part.any(axis=others)[[0, -1]].all()
        assert not lesions[~inside].any()


def test_boxes_in_millimetres_are_the_outer_faces(studies):
    study = studies[0]
    for row in study.findings["boxes"]:
        d1, h1, w1, d2, h2, w2 = row["box"]
        first = study.affine @ (d1 - 0.5, h1 - 0.5, w1 - 0.5, 1)
        last = study.affine @ (d2 - 0.5, h2 - 0.5, w2 - 0.5, 1)
        np.testing.assert_allclose(row["box_lps_mm"], [*first[:3], *last[:3]], atol=1e-3)


def test_anatomy_lies_as_in_a_patient(studies):
    for study in studies:
        lps = {
            row["name"]: np.array(row["box_lps_mm"]).reshape(2, 3).mean(0)
            for row in study.findings["boxes"]
        }
        assert lps["liver"][0] < lps["spleen"][0]  # the liver is on the right, L grows to left
        assert lps["right kidney"][0] < lps["left kidney"][0]
        assert lps["liver"][1] < lps["right kidney"][1]  # kidneys lie behind the liver
        assert lps["liver"][2] > lps["right kidney"][2]  # and below its middle


def test_ct_numbers_and_contrast_of_tissues(studies):
    for study in studies:
        core = ndimage.binary_erosion(study.mask == 1)
        liver = study.ct[core]
        if study.findings["contrast"] == "none":
            assert 50 < np.median(liver) < 70
        else:
            assert 100 < np.median(liver) < 125
        assert 8 < liver.std() < 45
        assert np.median(study.ct[:, 0]) < -980  # air in front of the patient
        spleen = ndimage.binary_erosion(study.mask == 3)
        assert np.median(study.t1[core]) > np.median(study.t1[spleen])
        assert np.median(study.t2[core]) < np.median(study.t2[spleen])


def test_edges_show_partial_volume():
    # Where no voxel were shared by tissues, only air and skin would occur at the body's outline.
    study = phantom(0, shape=(16, 48, 48), spacing_mm=(7.5, 7.0, 7.0))
    body = ndimage.binary_fill_holes(study.ct > -500)
    rim = ndimage.binary_dilation(body) & ~ndimage.binary_erosion(body)
    between = (study.ct[rim] > -900) & (study.ct[rim] < -300)
    assert between.mean() > 0.15


@pytest.mark.parametrize(
    ("shape", "spacing_mm"), [((16, 32, 32), (5.0, 5.0, 5.0)), ((10, 40, 60), (12.0, 8.0, 6.0))]
)
def test_every_organ_is_inside_any_field_of_view(shape, spacing_mm):
    study = phantom(2, patient=3, shape=shape, spacing_mm=spacing_mm)
    assert set(np.unique(study.mask)) >= {0, 1, 2, 3}
    names = [row["name"] for row in study.findings["boxes"] if row["label"] != "lesion"]
    assert names == ["right kidney", "left kidney", "liver", "spleen"]


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"shape": (4, 32, 32)}, "`shape`"),
        ({"shape": (32, 32)}, "`shape`"),
        ({"spacing_mm": (5, 0, 5)}, "`spacing_mm`"),
        ({"spacing_mm": (5, float("nan"), 5)}, "`spacing_mm`"),
        ({"patient": -1}, "`patient`"),
    ],
)
def test_arguments_out_of_range(arguments, rule):
    with pytest.raises(ValueError, match=rule):
        phantom(0, **arguments)
    with pytest.raises(ValueError, match="`seed`"):
        phantom(-1)
