"""What every test may ask for: shared data, a quiet TensorFlow, seeds, and a process of its own."""

from __future__ import annotations

import inspect
import os
import random
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]

# Before anything imports tensorflow. Workers of pytest-xdist share the cores, so each takes one.
_THREADS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "2"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", _THREADS)
os.environ.setdefault("TF_NUM_INTEROP_THREADS", _THREADS)
os.environ.setdefault("OMP_NUM_THREADS", _THREADS)
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

_MARK_BY_FIXTURE = {"shared_data": "data", "goldens": "data", "run_isolated": "isolated"}
# Trainings and exports that take long and that the tests of several files of a folder look at.
_SHARED_BY_A_FOLDER = {"trained", "read", "saved", "saved_volume"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test that asks for the shared data or for a process of its own is marked so.

    For several workers a file's tests are a group, and those of a folder that look at the same
    training are one; of the catalogue's, the longest, each row is one.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for mark in {_MARK_BY_FIXTURE[name] for name in fixtures if name in _MARK_BY_FIXTURE}:
            item.add_marker(mark)
        if config.pluginmanager.hasplugin("xdist"):
            shared = _SHARED_BY_A_FOLDER.intersection(fixtures)
            group = str(item.path.parent if shared else item.path)
            row = getattr(item, "callspec", None) and item.callspec.params.get("row")
            if item.path.name == "test_catalog.py" and row is not None:
                group = f"{group} {row.name}"
            item.add_marker(pytest.mark.xdist_group(group))
    # The longest file first: with several processes it would otherwise be the last one's work.
    items.sort(key=lambda item: item.path.name != "test_catalog.py")


def _without_data(reason: str) -> None:
    """Absent data skips a test on a developer's machine and fails it in CI."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"{reason}; with CI=true this is a failure", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that KMED_TEST_DATA names: data sets, golden values and peers' scripts."""
    value = os.environ.get("KMED_TEST_DATA", "")
    if not value:
        _without_data("KMED_TEST_DATA is not set: it names the folder with the shared data sets")
    folder = Path(value).resolve()
    if not folder.is_dir():
        _without_data(f"KMED_TEST_DATA must name a folder; received {value!r}")
    return folder


@pytest.fixture(scope="session")
def goldens(shared_data: Path) -> Path:
    """The folder of values that other implementations computed."""
    folder = shared_data / "goldens"
    if not folder.is_dir():
        _without_data(f"KMED_TEST_DATA has no folder `goldens`: {folder}")
    return folder


@pytest.fixture(scope="session")
def golden_image() -> Callable[[str, int, int], np.ndarray]:
    """Gives the image of a name, height and width that the golden values were computed for."""

    def image(name: str, height: int, width: int, channels: int = 3) -> np.ndarray:
        random = np.random.default_rng(zlib.crc32(name.encode()))
        return random.uniform(0, 1, (height, width, channels)).astype("float32")

    return image


@pytest.fixture(scope="module")
def golden_weights() -> Callable[..., dict[str, np.ndarray]]:
    """Gives the checkpoint that the golden values were computed with, for a network of ours.

    Names come from the table that our converter takes, shapes from the network in torch's order.
    `factor` multiplies the weights of a detector's heads: 0.01 for SSD, 0.1 for Faster R-CNN.
    """
    from kmed.weights.torchvision import torch_name

    heads = ("module_list", "cls_logits", "bbox_pred", "cls_score")

    def draw(name: str, shape: tuple[int, ...], factor: float) -> np.ndarray:
        random = np.random.default_rng(zlib.crc32(name.encode()))
        last = name.rpartition(".")[2]
        if last == "running_var":
            return random.uniform(0.5, 1.5, shape)
        if last == "running_mean":
            return 0.1 * random.standard_normal(shape)
        if last == "scale_weight":
            return np.full(shape, 20.0)
        if len(shape) >= 2:
            values = random.standard_normal(shape)
            values *= np.sqrt(2 / np.prod(shape[1:]))
            return values * factor if any(head in name for head in heads) else values
        if last == "weight":
            return 0.5 + 0.05 * random.standard_normal(shape)
        return 0.01 * random.standard_normal(shape)

    drawn = {}  # VGG's dense layers have a hundred million weights, the same in all of them

    def weights(network, names, factor: float = 1.0) -> dict[str, np.ndarray]:
        checkpoint = {}
        for layer in network.layers:
            for variable in layer.weights:
                shape = tuple(variable.shape)
                if len(shape) >= 2:  # (..., in, out) here, (out, in, ...) there
                    shape = (*shape[:-3:-1], *shape[:-2])
                name = torch_name(names, layer.name, variable.name)
                if (name, shape, factor) not in drawn:
                    drawn[name, shape, factor] = draw(name, shape, factor).astype("float32")
                checkpoint[name] = drawn[name, shape, factor]
        return checkpoint

    return weights


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Every test starts from the same seeds and leaves Keras' dtype policy as it found it."""
    keras = sys.modules.get("keras")
    if keras is None:  # keras draws its own seed from `random`, so a late import is seeded too
        random.seed(0)
        np.random.seed(0)
        yield
        return
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


_CALL = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("isolated_test", {file!r})
module = importlib.util.module_from_spec(spec)
sys.modules["isolated_test"] = module
spec.loader.exec_module(module)
module.{name}(*{args!r})
"""


@pytest.fixture
def run_isolated(tmp_path: Path) -> Callable[..., str]:
    """Runs a script or a test file's function in a fresh Python and returns what it printed.

    For what a process can do only once, such as setting up logical devices, and for what must
    hold in a clean process. A script is a string of Python; a function stands at the top level of
    the test's file, and its arguments have a literal `repr` (numbers, strings, tuples, ...).
    """

    def run(
        target: str | Callable[..., object],
        *args: object,
        env: dict[str, str] | None = None,
        timeout: float = 300,
    ) -> str:
        if callable(target):
            if "<locals>" in target.__qualname__:
                raise ValueError(
                    "`run_isolated` takes a function at the top level of its file; "
                    f"received {target.__qualname__}"
                )
            source = inspect.getsourcefile(target)
            target = _CALL.format(file=source, name=target.__name__, args=args)
            args = ()
        script = tmp_path / "isolated.py"
        script.write_text(target, encoding="utf-8")
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, **(env or {})}
        try:
            done = subprocess.run(
                [sys.executable, str(script), *map(str, args)],
                env=environment,
                cwd=tmp_path,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout,
            )
        except subprocess.TimeoutExpired as error:
            printed = "".join(
                part.decode(errors="replace") if isinstance(part, bytes) else part or ""
                for part in (error.stdout, error.stderr)
            )
            pytest.fail(f"no end after {timeout} s; it printed:\n{printed[-6000:]}", pytrace=False)
        if done.returncode:
            pytest.fail(
                f"the process ended with exit code {done.returncode}; it printed:\n"
                f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}",
                pytrace=False,
            )
        return done.stdout

    return run
