import shutil

import numpy as np
import pytest
from PIL import Image

from kmed.data.audit import audit
from kmed.data.nifti import write_nifti
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError
from kmed.data.splits import split
from kmed.data.translation_pairs import translation_source, unpaired_parts

AFFINE = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [3, 0, 0, -50], [0, 0, 0, 1]])
GRID = {"shape": (8, 16, 16), "spacing_mm": (15, 20, 20)}


def pictures(root, *names, width=6):
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (width, 4), number).save(root / name)
    return root


def volumes(root, *names, affine=AFFINE):
    for name in names:
        image = np.zeros((5, 4, 4), np.int16)
        image[1:4, 1:3, 1:3] = 100
        write_nifti(root / name, image, affine)
    return root


@pytest.fixture(scope="module")
def phantom_root(tmp_path_factory):
    return phantoms(tmp_path_factory.mktemp("phantoms") / "set", patients=3, **GRID)


def paired(found):
    first, second = ({item.key for item in found.items[name]} for name in found.modalities)
    assert first == second or not first & second  # all or nothing
    return first == second


def test_phantoms(phantom_root):
    found = translation_source(phantom_root)
    assert found.modalities == ("ct", "t2") and paired(found)
    named = translation_source(phantom_root, modalities=("t1", "ct"), rank=3, paired=True)
    assert tuple(named.items) == ("t1", "ct") and len(named.items["t1"]) == 3
    apart = translation_source(phantom_root, paired=False)
    assert not paired(apart) and len(apart.items["ct"]) == len(found.items["ct"])
    for name, value in {"patient": "(.)", "key": "(.)", "channels": 1}.items():
        with pytest.raises(ValueError, match=f"`{name}` has no meaning for phantoms"):
            translation_source(phantom_root, **{name: value})


def test_volumes_on_one_grid_are_pairs(tmp_path):
    root = volumes(tmp_path, "p1_t1.nii", "p1_t2.nii", "p2_t1.nii", "p2_t2.nii")
    found = translation_source(root, modalities=("t2", "t1"))
    assert paired(found) and tuple(found.items) == ("t2", "t1") and len(found.items["t1"]) == 6
    assert {item.patient for item in found.items["t1"]} == {"p1", "p2"}
    assert not paired(translation_source(root, paired=False))
    assert paired(translation_source(root, rank=3))


@pytest.mark.parametrize("rank", [2, 3])
def test_volumes_that_are_not_registered(tmp_path, rank):
    root = volumes(tmp_path, "p1_t1.nii", "p2_t1.nii", "p2_t2.nii")
    volumes(root, "p1_t2.nii", affine=AFFINE + np.diag([0, 0, 0.1, 0]))
    with pytest.warns(UserWarning, match=r"taken without pairs: .*p1_t2.nii: must lie on the grid"):
        found = translation_source(root, rank=rank)
    assert not paired(found) and len({s.id for s in found.samples}) == 4
    assert not paired(translation_source(root, rank=rank, paired=False))
    with pytest.raises(DataError, match=r"must lie on the grid .*pairs are needed: registered"):
        translation_source(root, rank=rank, paired=True)


@pytest.mark.parametrize("same", [True, False])
def test_dicom_series_registered_or_not(phantom_root, tmp_path, same):
    other = phantom_root
    if not same:
        finer = {"shape": (12, 16, 16), "spacing_mm": (10, 20, 20)}
        other = phantoms(tmp_path / "other", patients=2, modalities=("t2",), **finer)
    for number in (1, 2):
        patient = tmp_path / "set" / f"p{number}"
        shutil.copytree(phantom_root / f"patient-000{number}" / "ct", patient / "ct")
        shutil.copytree(other / f"patient-000{number}" / "t2", patient / "t2")
    if same:
        found = translation_source(tmp_path / "set")
    else:
        with pytest.warns(UserWarning, match="taken without pairs"):
            found = translation_source(tmp_path / "set")
        with pytest.raises(DataError, match="pairs are needed"):
            translation_source(tmp_path / "set", paired=True)
    assert paired(found) == same and found.modalities == ("ct", "t2")
    assert {sample.modality for sample in found.samples} == {"CT", "MR"}
    both = [{item.patient for item in found.items[name]} for name in found.modalities]
    assert both[0] == both[1] and len(both[0]) == 2  # the Patient ID of DICOM


def test_few_names_in_common_are_no_pairs(tmp_path):
    root = pictures(
        tmp_path, "ct/1.png", "ct/2.png", "ct/3.png", "mr/3.png", "mr/4.png", "mr/5.png"
    )
    found = translation_source(root, modalities=("ct", "mr"))
    assert not paired(found) and len(found.samples) == 6
    with pytest.warns(UserWarning, match="4 keys have images of one modality only"):
        asked = translation_source(root, modalities=("ct", "mr"), paired=True)
    assert paired(asked) and len(asked.samples) == 2
    pictures(root, "mr/1.png")
    with pytest.warns(UserWarning, match="3 keys have images of one modality only"):
        assert paired(translation_source(root, modalities=("ct", "mr")))


def test_two_folders_of_any_name(tmp_path):
    root = pictures(tmp_path, "horses/n_1.png", "horses/n_2.png", "zebras/m_1.png")
    found = translation_source(root)
    assert found.modalities == ("horses", "zebras") and not paired(found)
    assert len(found.samples) == 3


def test_layout_of_unpaired_sets(tmp_path):
    root = pictures(tmp_path, "trainA/1.png", "trainB/1.png", "testA/1.png", "testB/1.png")
    found = translation_source(root)
    assert not paired(found) and found.modalities == ("a", "b")  # numbers are no pairs
    assert len(found.split.train) == len(found.split.test) == 2
    asked = translation_source(root, paired=True, modalities=("he", "ihc"))
    assert paired(asked) and asked.modalities == ("he", "ihc") and asked.split is not None
    with pytest.raises(ValueError, match="`key` has no meaning for trainA"):
        translation_source(root, key="(.)")


def test_pairs_in_folders_of_a_split(tmp_path):
    names = [
        f"{part}/{m}/{n}.png" for part in ("train", "test") for m in ("ct", "mr") for n in "12"
    ]
    found = translation_source(pictures(tmp_path, *names), modalities=("ct", "mr"))
    assert paired(found)
    assert {s.patient for s in found.split.test} == {"test/1", "test/2"}
    audit(found.split, pixels=False)


def test_pictures_side_by_side(tmp_path):
    root = pictures(tmp_path, "1.png", "2.png")
    found = translation_source(root, side_by_side=True, paired=True)
    assert paired(found) and found.modalities == ("left", "right")
    assert found.samples[0].read().image.shape == (4, 3, 1)
    for options, message in {
        "key": ({"key": "(.)"}, "`key` has no meaning for pictures side by side"),
        "paired": ({"paired": False}, "`side_by_side` makes pairs"),
        "rank": ({"rank": 3}, "rank=3 takes volumes"),
    }.values():
        with pytest.raises(ValueError, match=message):
            translation_source(root, side_by_side=True, **options)


def test_a_key_that_the_names_share(tmp_path):
    root = pictures(tmp_path, "ct/a-07.png", "ct/a-08.png", "mr/b-07.png", "mr/b-08.png")
    assert not paired(translation_source(root, modalities=("ct", "mr")))
    assert paired(translation_source(root, modalities=("ct", "mr"), key=r"(\d+)"))
    with pytest.raises(ValueError, match="`key` makes pairs and has no meaning with paired=False"):
        translation_source(root, key=r"(\d+)", paired=False)
    with pytest.raises(DataError, match="no pairs; .*pairs are needed"):
        translation_source(root, modalities=("ct", "mr"), paired=True)


def test_arguments_that_are_refused(tmp_path):
    for modalities in (("t1",), ("t1", "T1"), "t1", ("t1", "")):
        with pytest.raises(ValueError, match="`modalities` must be two different names"):
            translation_source(tmp_path, modalities=modalities)
    with pytest.raises(ValueError, match="`rank` must be 2 or 3; received 4"):
        translation_source(tmp_path, rank=4)
    with pytest.raises(DataError, match="none: no such folder"):
        translation_source(tmp_path / "none")


def test_each_patient_keeps_one_modality(phantom_root):
    found = translation_source(phantom_root)
    parts = split(found.samples, fractions=(1, 0, 0))
    left = unpaired_parts(found.part(parts.train), seed=5)
    patients = [{item.patient for item in left.items[name]} for name in found.modalities]
    assert not patients[0] & patients[1] and sorted(map(len, patients)) == [1, 2]
    for name in found.modalities:
        kept = [item for item in found.items[name] if item.patient in patients[name == "t2"]]
        assert list(left.items[name]) == kept
    assert not {i.key for i in left.items["ct"]} & {i.key for i in left.items["t2"]}
    assert unpaired_parts(found, seed=5).items == left.items
    drawn = {tuple(i.patient for i in unpaired_parts(found, seed).items["ct"]) for seed in range(9)}
    assert len(drawn) > 1
    with pytest.raises(DataError, match=r"of 1 patient\(s\) none is left for 't2'"):
        unpaired_parts(found.part([found.samples[0].patient]))


def test_patients_of_one_modality_keep_it(tmp_path):
    root = pictures(tmp_path, "a/1.png", "a/2.png", "a/3.png", "b/3.png")
    left = unpaired_parts(translation_source(root, paired=False))
    assert [item.patient for item in left.items["a"]] == ["1", "2"]
    assert [item.patient for item in left.items["b"]] == ["3"]


def test_registered_contrasts(shared_data):
    root = shared_data / "data" / "ms_lesion_mni"
    found = translation_source(root, modalities=("t1", "t2"), every_mm=20)
    assert paired(found) and len({item.patient for item in found.items["t1"]}) == 3
    for one, other in zip(*found.items.values(), strict=True):
        assert one.slice == other.slice and one.patient == other.patient
