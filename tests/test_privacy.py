"""Nothing that kmed writes or says repeats what a DICOM header tells of a patient."""

from __future__ import annotations

import gzip
import io
import json
import logging
import re
import warnings
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from typer.testing import CliRunner

from kmed import cli
from kmed.data.audit import LeakageError, audit
from kmed.data.dicom.index import ArchiveIndex
from kmed.data.dicom.writer import StudyHeader, write_series
from kmed.data.nifti import write_nifti
from kmed.data.sample import DataError, Sample
from kmed.data.splits import Split

# Words of headers, none of which is in a path: folders and files are the user's own to name.
PLANTED = (
    *("quillfeather", "zebulon", "mrn88213", "19470611", "acc-77310", "thornbury", "marchbanks"),
    *("whirlpool", "1947-06-11", "20180917", "ostrander"),
)
SIZE, SLICES = 32, 4
AFFINE = np.array([[0, 0, 2, 0], [0, 2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], float)


def _study(number: int) -> StudyHeader:
    return StudyHeader(
        patient_id=f"MRN88213-{number}-19470611",
        patient_name=f"Quillfeather^Zebulon{number}",
        entropy=("privacy", str(number)),
        date="20180917",
        attributes={
            "PatientBirthDate": "19470611",
            "AccessionNumber": "ACC-77310",
            "InstitutionName": "Thornbury Infirmary",
            "ReferringPhysicianName": "Marchbanks^A",
            "OperatorsName": "Ostrander^B",
            "StudyDescription": "Whirlpool of Zebulon Quillfeather",
            "PatientComments": "Zebulon Quillfeather, born 1947-06-11",
            "OtherPatientIDs": "MRN88213",
        },
    )


def _disc(number: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(number)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    row, column = random.uniform(12, 20, 2)
    mask = np.hypot(rows - row, columns - column) < 7
    mask = np.repeat(mask[None], SLICES, axis=0)
    noise = random.normal(0, 10, mask.shape)
    return (np.where(mask, 100, -500) + noise).astype(np.int16), mask.astype(np.uint8)


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    """Studies with masks, and studies in two modalities, with names in every header."""
    root = tmp_path_factory.mktemp("privacy")
    for number in range(6):
        image, mask = _disc(number)
        study = _study(number)
        case = f"case{number}"
        write_series(
            root / "data" / "images" / case, image, AFFINE, study,
            modality="CT", name="Whirlpool ct", number=1,
        )  # fmt: skip
        (root / "data" / "masks").mkdir(exist_ok=True)
        write_nifti(root / "data" / "masks" / f"{case}.nii.gz", mask, AFFINE)
        for modality, series in (("CT", "ct"), ("MR", "t2")):
            write_series(
                root / "pairs" / case / series, np.abs(image), AFFINE, study,
                modality=modality, name=f"Whirlpool {series}", number=2,
            )  # fmt: skip
    return root


def _broken(root: Path) -> dict[str, Path]:
    """Folders that kmed has to refuse or to warn of, each with the planted names."""
    made = {}
    for fault in ("cut", "gap", "twice", "invalid", "words", "people"):
        folder = root / "broken" / fault
        image, _ = _disc(7)
        files = write_series(
            folder, np.repeat(image, 2, axis=0), AFFINE, _study(7),
            modality="CT", name="Whirlpool ct", number=1,
        )  # fmt: skip
        content = files[3].read_bytes()
        if fault == "cut":
            files[3].write_bytes(content[: len(content) // 3])
        elif fault == "gap":
            files[3].unlink()
        elif fault == "twice":
            ds = dcmread(files[3])
            ds.SOPInstanceUID, ds.ImagePositionPatient = "1.2.3.4", [0, 0, 0]
            ds.save_as(folder / "again.dcm")
        elif fault == "invalid":  # dates that are none: pydicom's warnings repeat such values
            for file in files:
                content = file.read_bytes().replace(b"19470611", b"Zebulon ")
                file.write_bytes(content.replace(b"20180917", b"Whirlpoo"))
        elif fault == "words":  # Pixel Spacing that is no number
            found = re.search(rb"\x28\x00\x30\x00DS(..)", content, re.DOTALL)
            length = int.from_bytes(found[1], "little")
            word = b"Thornbury"[:length].ljust(length)
            files[3].write_bytes(content[: found.end()] + word + content[found.end() + length :])
        else:
            files[3].write_bytes(content.replace(b"MRN88213-7", b"MRN88213-8"))
        made[fault] = folder
    return made


def _texts(name: str, content: bytes, depth: int = 0):
    """What a file says, and what the archives and compressed parts in it say."""
    yield name, content
    if depth > 3:
        return
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield name, member.encode()
                yield from _texts(f"{name}!{member}", archive.read(member), depth + 1)
    elif content[:2] == b"\x1f\x8b":
        yield from _texts(f"{name}!gz", gzip.decompress(content), depth + 1)
    elif content[:8] == b"\x89HDF\r\n\x1a\n":
        with h5py.File(io.BytesIO(content)) as file:
            parts = []
            file.visititems(lambda key, node: parts.append((key, node)))
            for key, node in (("/", file), *parts):
                yield f"{name}!{key}", f"{key} {dict(node.attrs)}".encode()
                if isinstance(node, h5py.Dataset):
                    yield f"{name}!{key}", np.asarray(node[()]).tobytes()
    elif content[:4] == b"\x89PNG":
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            yield f"{name}!text", repr(picture.info).encode()
    elif content[:1] == b"\x78":
        try:
            yield f"{name}!zlib", zlib.decompress(content)
        except zlib.error:
            return


def _found(name: str, content: bytes) -> set[tuple[str, str]]:
    low = content.lower()
    return {
        (name, word)
        for word in PLANTED
        if word.encode() in low or word.encode("utf-16-le") in low or word in name.lower()
    }


def _leaks(folder: Path, beside: tuple[Path, ...]) -> set[tuple[str, str]]:
    found = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(path.is_relative_to(one) for one in beside):
            for name, content in _texts(str(path.relative_to(folder)), path.read_bytes()):
                found |= _found(name, content)
    return found


class Office:
    """Runs commands and keeps all that they say."""

    def __init__(self, monkeypatch, capfd, caplog):
        monkeypatch.setenv("COLUMNS", "400")
        self.capfd, self.caplog = capfd, caplog
        self.said: dict[str, str] = {}

    def run(self, *arguments: object, status: tuple[int, ...] = (0,)) -> None:
        words = [str(argument) for argument in arguments]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")  # as errors they would not be what a user sees
            result = CliRunner().invoke(cli.app, words)
        captured = self.capfd.readouterr()
        said = result.output + captured.out + captured.err + repr(result.exception)
        said += "\n".join(record.getMessage() for record in self.caplog.records)
        said += "\n".join(str(warning.message) for warning in warned)
        self.caplog.clear()
        self.said[" ".join(words)[:120]] = said
        assert result.exit_code in status, said

    def leaks(self) -> set[tuple[str, str]]:
        return {hit for name, said in self.said.items() for hit in _found(name, said.encode())}


@pytest.fixture
def at_work(office, monkeypatch, capfd, caplog):
    monkeypatch.chdir(office)
    caplog.set_level(logging.DEBUG)
    return Office(monkeypatch, capfd, caplog)


def test_the_names_are_there_to_be_found(office):
    assert {word for _, word in _leaks(office / "data", ())} == set(PLANTED)


def test_the_search_looks_into_archives_and_pictures(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.json.gz", gzip.compress(b"by Zebulon"))
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", data=np.frombuffer(b"whirlpool" * 50, "u1"), compression="gzip")
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("who", "Quillfeather", zip=True)
    Image.new("L", (4, 4)).save(tmp_path / "c.png", pnginfo=info)
    assert {word for _, word in _leaks(tmp_path, ())} == {"zebulon", "whirlpool", "quillfeather"}


def test_segmentation_names_no_patient(office, at_work):
    train = ("train", "unet", "--data", "data", "--labels", "background,disc", "--preprocessor")
    small = ("--size", "32,32", "--epochs", 1, "--batch-size", 4, "--name", "discs")
    at_work.run(*train, "ct", *small, "--set", "network.filters=4,8", "--set", "steps_per_epoch=2")
    bundle = "saved_models/discs"
    at_work.run("evaluate", bundle, "data", "--output", "evaluation")
    at_work.run("predict", bundle, "data/images/case0", "--output", "found")
    at_work.run("explain", bundle, "data/images/case0", "--output", "why")
    at_work.run("export", bundle, "--to", "float16")
    for fault, folder in _broken(office).items():
        at_work.run("predict", bundle, folder, "--output", f"found-{fault}", status=(0, 1, 2))
        if fault in ("cut", "people"):
            at_work.run("evaluate", bundle, folder, "--output", f"measured-{fault}", status=(1, 2))
    assert at_work.leaks() == set()
    beside = (office / "data", office / "pairs", office / "broken")
    assert _leaks(office, beside) == set()


def test_an_index_names_no_patient(office, at_work):
    network = '{"backbone_options": {"width": 8, "normalization": null}}'
    at_work.run(
        *("train", "triplet", "--data", "pairs", "--size", "32,32", "--epochs", 1),
        *("--batch-size", 4, "--name", "pair", "--set", "dimension=8", "--set", "modalities=ct,t2"),
        *("--set", f"network={network}", "--set", "steps_per_epoch=2"),
    )
    at_work.run("index", "build", "saved_models/pair-ct", "pairs/case0/ct", "--index", "archive")
    at_work.run(
        *("index", "add", "saved_models/pair-ct", "pairs", "--index", "archive"),
        status=(1,),  # the other modality is not this bundle's
    )
    at_work.run(
        *("index", "search", "saved_models/pair-t2", "pairs/case0/t2", "--slice", 1),
        *("--index", "archive"),
        status=(0, 1, 2),
    )
    assert at_work.leaks() == set()
    beside = (office / "data", office / "pairs", office / "broken")
    assert _leaks(office, beside) == set()


def test_dicom_commands_name_no_patient(office, at_work):
    at_work.run("dicom", "inspect", "data", "pairs")
    at_work.run("dicom", "inspect", "pairs", "--json")
    at_work.run("dicom", "convert", "pairs", "--output", "volumes")
    at_work.run("dicom", "deidentify", "data/images", "--output", "public", "--key", "secret")
    for fault, folder in _broken(office).items():
        at_work.run("dicom", "inspect", folder)
        at_work.run("dicom", "convert", folder, "--output", f"volumes-{fault}", status=(0, 1, 2))
        at_work.run(
            *("dicom", "deidentify", folder, "--output", f"public-{fault}", "--key", "secret"),
            status=(0, 1),
        )
    assert len(list((office / "public").rglob("*.dcm"))) == 6 * SLICES
    index = ArchiveIndex(office / "archive.sqlite")
    index.build(office / "pairs")
    assert at_work.leaks() == set()
    beside = (office / "data", office / "pairs", office / "broken")
    assert _leaks(office, beside) == set()


def test_a_split_that_parts_a_patient_names_only_samples(tmp_path):
    samples = [
        Sample(id=f"case{n}", patient="MRN88213-Quillfeather", files=(), read=None)
        for n in range(3)
    ]
    parts = {"train": ["case0"], "validation": ["case1"], "test": ["case2"]}
    (tmp_path / "split.json").write_text(json.dumps(parts))
    with pytest.raises(DataError) as refused:
        Split.load(tmp_path / "split.json", samples)
    assert not _found("message", str(refused.value).encode())
    with pytest.raises(LeakageError) as refused:
        audit(Split((samples[0],), (samples[1],), (samples[2],)), pixels=False)
    assert not _found("message", str(refused.value).encode())
