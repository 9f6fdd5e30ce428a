"""Every program in applications/ is settings and one call, and says how to run it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = sorted((ROOT / "applications").glob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_a_program_is_short_and_tells_its_command(program):
    source = program.read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert f"applications/{program.name}" in docstring, "the docstring gives the command"
    assert len(source.splitlines()) <= 80, "settings and one call of the task's flow"


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_importing_a_program_runs_nothing(program):
    tree = ast.parse(program.read_text(encoding="utf-8"))
    guards = [ast.unparse(node.test) for node in tree.body if isinstance(node, ast.If)]
    assert "__name__ == '__main__'" in guards
    loose = [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ]
    assert not loose, f"calls stand below `if __name__ == '__main__'`; found {loose}"
