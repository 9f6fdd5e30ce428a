"""The house keeps its own rules: names, sizes, mirrors, imports, commands and the wheel."""

from __future__ import annotations

import ast
import configparser
import operator
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import kmed

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "kmed"
MODULES = sorted(PACKAGE.rglob("*.py"))
PROGRAMS = sorted((ROOT / "applications").glob("*.py"))
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
ROOMS |= {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
ROOMS -= {"cli"}  # nobody's attribute: it is called by its command

# Modules whose behaviour shows only through their neighbour, and tests of several in one table.
TESTED_TOGETHER = {
    "losses/test_values.py": {
        "border_weighted_cross_entropy",
        "dice_cross_entropy",
        "focal",
        "generalized_dice",
        "soft_dice",
        "tversky",
    },
    "losses/test_fit.py": set(),
    "data/dicom/test_dcm2niix.py": set(),
    "data/dicom/test_frames.py": {"attributes", "frame_keys"},
    "data/dicom/test_geometry.py": {"errors"},
    "data/dicom/test_index.py": {"header_text", "index_tables", "index_writer"},
    "data/dicom/test_mutations.py": set(),
    "data/dicom/test_parsing.py": {"raw_values", "structure"},
    "data/dicom/test_series.py": {"slices"},
    "test_privacy.py": set(),
    "data/test_nifti.py": {"nifti_grid"},
    "data/test_image_folder.py": {"pictures"},
    "data/test_phantom_volume.py": {
        "phantom_anatomy",
        "phantom_lesions",
        "phantom_paint",
        "phantom_tissues",
    },
    "export/test_bundle.py": {"join"},
    "export/test_serving.py": {"saved_model"},
}
# What a distribution is called where its import has another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "faiss": "faiss_cpu",
    "gdcm": "python_gdcm",
    "sklearn": "scikit_learn",
}
# Not imported by kmed itself: the curves that a training writes are looked at with the first, and
# pydicom decodes pixels with the others where they are installed.
RUN_BY_HAND = {"tensorboard", "pyjpegls", "pylibjpeg"}


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _names(requirements: list[str]) -> set[str]:
    return {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in requirements}


def _imports(path: Path) -> Iterator[str]:
    """Top-level names of everything that a file imports, lazily or not."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "importlib.import_module"
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value.partition(".")[0]


def test_rooms_are_named_after_what_is_in_them():
    refused = {"utils", "util", "common", "helpers", "helper", "misc"}
    found = [_relative(p) for p in MODULES + PROGRAMS if refused & {*p.parts, p.stem}]
    assert not found, f"name the file after what is in it: {found}"


def test_no_file_is_past_300_lines():
    lines = {_relative(p): p.read_text("utf-8").count("\n") for p in MODULES + PROGRAMS}
    long = {name: count for name, count in lines.items() if count > 300}
    assert not long, f"look for the second file in each: {long}"


def test_every_folder_is_a_package():
    folders = {path.parent for path in MODULES}
    missing = [_relative(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing, f"without __init__.py a folder is not in the wheel: {missing}"


def test_every_module_with_code_has_its_test_file():
    missing = []
    for path in MODULES:
        if path.name in {"__init__.py", "__main__.py"}:
            continue
        body = ast.parse(path.read_text(encoding="utf-8")).body
        has_code = any(isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) for n in body) or any(
            isinstance(member, ast.FunctionDef)
            for node in body
            if isinstance(node, ast.ClassDef)
            for member in node.body
        )
        mirror = ROOT / "tests" / path.relative_to(PACKAGE).with_name(f"test_{path.stem}.py")
        together = any(
            path.stem in stems and (ROOT / "tests" / file).parent == mirror.parent
            for file, stems in TESTED_TOGETHER.items()
        )
        if has_code and not mirror.is_file() and not together:
            missing.append(f"{_relative(path)} -> {_relative(mirror)}")
    assert not missing, "tests/ mirrors kmed/ file by file; missing:\n" + "\n".join(missing)


def test_every_test_file_mirrors_a_module():
    beside = {"test_house.py", "applications/test_programs.py", *TESTED_TOGETHER}
    stray = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        place = path.relative_to(ROOT / "tests")
        module = PACKAGE / place.with_name(place.name.removeprefix("test_"))
        if place.as_posix() in beside or place.parts[0] == "benchmarks":
            continue
        if not module.is_file() and not module.with_suffix("").is_dir():
            stray.append(f"{_relative(path)} -> {_relative(module)}")
    gone = [file for file in TESTED_TOGETHER if not (ROOT / "tests" / file).is_file()]
    assert not gone, f"TESTED_TOGETHER names files that are gone: {gone}"
    assert not stray, "tests/ mirrors kmed/ file by file; no module for:\n" + "\n".join(stray)


def test_import_kmed_is_light(run_isolated):
    printed = run_isolated(
        "import sys; before = set(sys.modules)\n"
        "import kmed; print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    heavy = {"tensorflow", "keras", "numpy", "scipy", "matplotlib", "highdicom", "pydicom"}
    assert "kmed" in printed.split()
    assert not heavy & set(printed.split())


def test_rooms_are_attributes(run_isolated):
    assert set(dir(kmed)) >= ROOMS
    run_isolated(
        "import os\nos.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'\nimport kmed\n"
        f"for room in {sorted(ROOMS)}: getattr(kmed, room)\n"
        "assert callable(kmed.applications.unet)"
    )


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'kmed' has no attribute 'aplications'"):
        _ = kmed.aplications


def test_dependencies_are_what_is_imported():
    project = _project()
    required = _names(project["dependencies"])
    optional = {
        name
        for extra, requirements in project["optional-dependencies"].items()
        if extra != "test"
        for name in _names(requirements)
    }
    imported = {
        DISTRIBUTIONS.get(name, name)
        for path in MODULES
        for name in _imports(path)
        if name not in sys.stdlib_module_names and name != "kmed"
    }
    undeclared = imported - {name.replace("-", "_") for name in required | optional}
    assert not undeclared, f"imported by kmed, not declared in pyproject.toml: {undeclared}"
    unused = {name.replace("-", "_") for name in required} - imported - RUN_BY_HAND
    assert not unused, f"declared in pyproject.toml, imported nowhere: {unused}"


def test_the_readme_commands_are_those_of_ci():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "python -m pip install . && kmed demo" in readme
    assert "python -m pip install -e '.[test]' && pytest" in readme
    assert re.search(r"^python -m pip install .*-e '\.\[test\]'$", script, re.MULTILINE)
    assert re.search(r"^pytest$", script, re.MULTILINE)


def test_every_name_in_the_readme_exists():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"\bkmed(?:\.[A-Za-z_]\w*)+", readme))):
        operator.attrgetter(name.removeprefix("kmed."))(kmed)
    for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        compile(block, "README.md", "exec")


def test_pre_commit_runs_what_ci_runs():
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^\s+entry: (.+)$", hooks, re.MULTILINE)
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert entry in lines


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_of_the_documents_lead_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'<img[^>]* src="([^"]+)"', text)
    dead = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not dead


def test_the_changelog_knows_the_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(kmed.__version__)}\]", text, re.MULTILINE)


@pytest.mark.isolated
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path):
    pytest.importorskip("hatchling", reason="the wheel is built with hatchling, an extra of `test`")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--disable-pip-version-check", "--wheel-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"kmed-{kmed.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"kmed-{kmed.__version__}.dist-info"
        scripts = configparser.ConfigParser()
        scripts.read_string(archive.read(f"{info}/entry_points.txt").decode())
    assert {name.partition("/")[0] for name in names} == {"kmed", info}
    expected = [*MODULES, *PACKAGE.rglob("*.jinja"), *PACKAGE.rglob("*.j2")]
    assert {_relative(path) for path in expected} <= names
    module, _, function = scripts["console_scripts"]["kmed"].partition(":")
    source = (ROOT / module.replace(".", "/") / "__init__.py").read_text(encoding="utf-8")
    assert re.search(rf"^(def {function}\b|{function} =)", source, re.MULTILINE)
