import numpy as np
import pytest
from PIL import Image

from kmed.data.modality_files import modality_files
from kmed.data.nifti import write_nifti
from kmed.data.phantoms import phantoms
from kmed.data.sample import DataError

AFFINE = np.array([[0, 0, 1.0, 0], [0, 1, 0, 0], [3, 0, 0, -50], [0, 0, 0, 1]])


def pictures(root, *names, mode="L"):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new(mode, (6, 4)).save(root / name)
    return root


def volumes(root, *names, affine=AFFINE, bright=100):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        image = np.zeros((5, 4, 4), np.int16)
        image[1:4, 1:3, 1:3] = bright
        write_nifti(root / name, image, affine)
    return root


def keys(found):
    return {m: [item.key for item in found.items[m]] for m in found.modalities}


def test_a_folder_for_each_modality(tmp_path):
    root = pictures(tmp_path, "oct/p1_1.png", "oct/p1_2.png", "fundus/p1_1.png", "fundus/p1_2.jpg")
    found = modality_files(root, ("fundus", "oct"), patient=r"(p\d)_")
    assert keys(found) == {"fundus": ["p1_1", "p1_2"], "oct": ["p1_1", "p1_2"]}
    assert {item.patient for item in found.items["oct"]} == {"p1"}
    assert [s.id for s in found.samples] == ["fundus/p1_1", "fundus/p1_2", "oct/p1_1", "oct/p1_2"]
    item = found.items["fundus"][0]
    assert (item.slice, item.position_mm, item.label, item.text) == (None, None, None, None)
    assert item.sample.read().image.shape == (4, 6, 1)


def test_colour_of_one_modality_and_grey_of_the_other(tmp_path):
    pictures(tmp_path, "fundus/a.png", mode="RGB")
    found = modality_files(pictures(tmp_path, "oct/a.png"), ("fundus", "oct"))
    shapes = [found.items[m][0].sample.read().image.shape[-1] for m in found.modalities]
    assert shapes == [3, 1]
    alike = modality_files(tmp_path, ("fundus", "oct"), channels=1)
    assert {s.read().image.shape[-1] for s in alike.samples} == {1}


def test_the_modality_in_the_name_of_volumes(tmp_path):
    names = [f"{p}_{m}.nii.gz" for p in ("p07", "p19") for m in ("t1", "t2", "flair")]
    found = modality_files(volumes(tmp_path, *names), ("T2", "T1"))
    assert found.modalities == ("T2", "T1")
    assert keys(found)["T1"] == [f"{p}/000{n}" for p in ("p07", "p19") for n in (1, 2, 3)]
    item = found.items["T2"][0]
    assert (item.id, item.patient, item.study) == ("p07_t2/0001", "p07", "p07")
    assert (item.slice, item.position_mm) == (1, -47.0)
    whole = modality_files(tmp_path, ("t1", "t2"), rank=3)
    assert keys(whole) == {"t1": ["p07", "p19"], "t2": ["p07", "p19"]}
    assert whole.items["t1"][0].slice is None


def test_patients_above_visits(tmp_path):
    names = [f"p1/visit{v}/{m}.nii" for v in (1, 2) for m in ("t1", "t2")]
    found = modality_files(volumes(tmp_path, *names), rank=3)
    assert keys(found)["t1"] == ["p1/visit1", "p1/visit2"]
    assert {item.patient for item in found.items["t1"]} == {"p1"}


def test_dicom_folders_of_patients(tmp_path):
    root = phantoms(tmp_path / "set", patients=2, shape=(8, 16, 16), spacing_mm=(15, 20, 20))
    (root / "dataset.json").unlink()
    found = modality_files(root, ("ct", "t2"), least_foreground=0)
    assert [len(items) for items in found.items.values()] == [16, 16]
    item = found.items["t2"][8]
    assert (item.id, item.key) == ("patient-0002/t2/0000", "patient-0002/0000")
    assert (item.patient, item.sample.modality) == ("patient-0002", "MR")
    renamed = modality_files(root, ("ct", "t2"), rank=3, patient=r"(\d+)/")
    assert {item.patient for item in renamed.items["ct"]} == {"0001", "0002"}
    with pytest.raises(DataError, match="matches .* of another patient"):
        modality_files(root, ("ct", "t2"), rank=3, key="(patient)")


def test_a_key_that_the_user_names(tmp_path):
    root = pictures(tmp_path, "ct/scan-007.png", "mr/study_7.png", "mr/study_7b.png")
    with pytest.raises(DataError, match="no pairs; 1 keys of ct, first 'scan-007', none of"):
        modality_files(root, ("ct", "mr"))
    found = modality_files(root, ("ct", "mr"), key=r"0*(\d+)b?$", patient=r"(7)")
    assert keys(found) == {"ct": ["7"], "mr": ["7", "7"]}
    with pytest.raises(DataError, match=r"'\(x\)' finds nothing in the name 'ct/scan-007'"):
        modality_files(root, ("ct", "mr"), key="(x)")
    for wrong, message in (("(", "no regular expression"), ("x", "must have a group")):
        with pytest.raises(ValueError, match=message):
            modality_files(root, ("ct", "mr"), key=wrong)


def test_classes_in_the_path(tmp_path):
    names = [f"{m}/{c}/{c}{n}.png" for m in ("ct", "mr") for c in ("head", "chest") for n in "12"]
    found = modality_files(
        pictures(tmp_path, *names), ("ct", "mr"), label=r"/(\w+)/", patient=r"(\d)$"
    )
    assert found.labels == ("chest", "head")
    assert [item.label for item in found.items["mr"]] == [0, 0, 1, 1]
    assert [s.label for s in found.samples] == [0, 0, 1, 1] * 2
    ordered = modality_files(tmp_path, ("ct", "mr"), label=r"/(\w+)/", labels=["head", "chest"])
    assert [item.label for item in ordered.items["mr"]] == [1, 1, 0, 0]


def test_slices_take_the_class_of_their_volume(tmp_path):
    names = [f"{m}_{c}_{n}.nii" for m in ("t1", "t2") for n, c in enumerate(("low", "high"))]
    found = modality_files(volumes(tmp_path, *names), ("t1", "t2"), label="_([a-z]+)_")
    assert [item.label for item in found.items["t1"]] == [0, 0, 0, 1, 1, 1]


def test_images_without_partner_are_counted(tmp_path):
    root = pictures(tmp_path, "ct/a.png", "ct/b.png", "mr/b.png", "mr/c.png")
    with pytest.warns(UserWarning, match="2 keys have images of one modality only, first 'a'"):
        found = modality_files(root, ("ct", "mr"))
    assert keys(found) == {"ct": ["b"], "mr": ["b"]}


def test_what_is_refused(tmp_path):
    one = pictures(tmp_path / "one", "ct/a.png", "mr/a.png")
    with pytest.raises(DataError, match="no image of modality 'pet' among 2, first 'ct/a'"):
        modality_files(one, ("ct", "pet"))
    with pytest.raises(DataError, match="rank=3 takes volumes"):
        modality_files(one, ("ct", "mr"), rank=3)
    mixed = volumes(pictures(tmp_path / "mixed", "ct/a.png"), "mr/a.nii")
    with pytest.raises(DataError, match="volumes of one modality and pictures of the other"):
        modality_files(mixed, ("ct", "mr"))
    both = volumes(pictures(tmp_path / "both", "ct/a.png"), "mr/a.nii", "ct/b.nii")
    with pytest.raises(
        DataError, match=r"images of ct are of two kinds, ct/b \(nifti\) and ct/a \(pic"
    ):
        modality_files(both, ("ct", "mr"))
    twice = volumes(tmp_path / "twice", "t1/a.nii", "t1_a.nii", "t2/a.nii")
    with pytest.raises(DataError, match="has the key 'a' of"):
        modality_files(twice, ("t1", "t2"))


def test_volumes_of_a_pair_lie_on_one_grid(tmp_path):
    volumes(tmp_path, "p1_t1.nii", "p1_t2.nii", "p2_t1.nii")
    volumes(tmp_path, "p2_t2.nii", affine=AFFINE + np.eye(4, k=3))
    with pytest.raises(DataError, match="p2_t2.nii: must lie on the grid of .*p2_t1.nii"):
        modality_files(tmp_path, ("t1", "t2"))
    assert len(modality_files(tmp_path, ("t1", "t2"), rank=3).items["t1"]) == 2


def test_registered_brains(shared_data):
    root = shared_data / "data" / "ms_lesion_mni"
    found = modality_files(root, ("t1", "t2"), every_mm=10)
    assert {item.patient for item in found.items["t1"]} == {"patient07", "patient19", "patient26"}
    assert [i.key for i in found.items["t1"]] == [i.key for i in found.items["t2"]]
    of_one = [i.position_mm for i in found.items["t1"] if i.patient == "patient07"]
    assert set(np.diff(of_one)) == {10.0} and len(of_one) > 8
    with pytest.raises(DataError, match="flair, lesion, t1, t2"):
        modality_files(root)
