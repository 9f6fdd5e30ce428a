"""The command line as a newcomer meets it, and the programs that share its flow."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import kmed
from kmed import catalog, cli

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ("demo", "list", "train", "evaluate", "predict", "export")


def shown(*arguments):
    result = CliRunner().invoke(cli.app, arguments, env={"COLUMNS": "140", "NO_COLOR": "1"})
    assert result.exit_code == 0, result.output
    return result.stdout


def test_help_lists_the_commands():
    printed = shown("--help")
    assert all(re.search(rf"^\W*{command}\s", printed, re.MULTILINE) for command in COMMANDS)
    assert "Start with: kmed demo" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_explains_its_options(command):
    printed = shown(command, "--help")
    assert f"kmed {command}" in printed.partition("Example")[2]
    options = re.findall(r"^│ +\*? *(--[a-z-]+)(.*)│$", printed, re.MULTILINE)
    assert all(re.search(r"[a-z]{3}", text) for _, text in options)


def test_version():
    assert shown("--version") == f"kmed {kmed.__version__}\n"


def test_an_unknown_command_is_a_usage_error():
    result = CliRunner().invoke(cli.app, ["trian"])
    assert result.exit_code == 2
    assert "train" in result.stderr


def test_main_exits_with_the_status_of_the_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", "nosuch"])
    assert ended.value.code == 2
    assert "no 'nosuch'" in capsys.readouterr().err


def test_help_imports_nothing_heavy(run_isolated):
    run_isolated(
        "import sys\nfrom kmed.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )


@pytest.fixture
def trained(monkeypatch):
    """The arguments of every training that would have been."""
    calls = []

    class Stop(Exception):
        pass

    class Task:
        Settings = catalog.CATALOG["unet"].task.Settings

        @staticmethod
        def train(builder, settings, **_):
            calls.append((builder, settings))
            raise Stop

    row = dataclasses.replace(catalog.CATALOG["unet"], task=Task)
    monkeypatch.setitem(catalog.CATALOG, "unet", row)

    def call(function, *arguments, **options):
        with pytest.raises(Stop):
            function(*arguments, **options)
        return calls.pop()

    return call


def load(path):
    specification = importlib.util.spec_from_file_location(f"program_{path.stem}", path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_program_is_kmed_train(trained):
    settings = load(ROOT / "applications" / "unet.py").SETTINGS
    arguments = ["--epochs", "3", "--set", "network.dropout=0.5"]
    assert trained(cli.program, "unet", [], settings=settings) == trained(
        cli.main, ["train", "unet"]
    )
    assert trained(cli.program, "unet", arguments, settings=settings) == trained(
        cli.main, ["train", "unet", *arguments]
    )


def test_a_program_takes_its_options_from_the_command_line(trained, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["applications/unet.py", "--epochs", "3", "--debug"])
    assert trained(cli.program, "unet")[1].epochs == 3


def test_a_programs_settings_stand_between_the_catalogue_and_the_options(trained):
    options = {"settings": {"epochs": 7, "batch_size": 3}}
    settings = trained(cli.program, "unet", ["--epochs", "2"], **options)[1]
    assert (settings.epochs, settings.batch_size) == (2, 3)
    assert settings.network == catalog.CATALOG["unet"].settings["network"]


def test_the_papers_network_as_the_program_gives_it(trained):
    documentation = load(ROOT / "applications" / "unet.py").__doc__
    command = re.search(r"python applications/unet.py (--size 572.*?)\n\n", documentation, re.S)[1]
    builder, settings = trained(cli.program, "unet", shlex.split(command.replace("\\\n", " ")))
    network = builder(input_shape=(*settings.size, 1), classes=2, **settings.network)
    assert network.count_params() == 31_030_658
    assert network.output_shape[1:3] == (388, 388)
    assert (settings.fit, settings.batch_size, settings.loss) == ("patch", 1, "border_weighted")
