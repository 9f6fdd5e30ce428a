"""kmed index: what is typed arrives in the flow, and answers are a table."""

from __future__ import annotations

import pytest

from kmed.tasks.retrieval import indexing


@pytest.fixture
def calls(monkeypatch):
    """What the flow was asked, and what it answers."""
    found = []

    def take(name, answer):
        def called(*arguments, **options):
            options.pop("say", None)
            found.append((name, arguments, options))
            return answer

        monkeypatch.setattr(indexing, name, called)

    take("build", [])
    take("add", [("b.png", "not an image")])
    rows = [
        {"rank": 1, "score": 0.91234, "file": "a.nii", "slice": 7, "position_mm": 3.5},
        {"rank": 2, "score": 0.5, "text": "a mass", "file": "x.txt"},
    ]
    take("search", rows)
    return found


def test_build(run, folder, calls):
    result = run("index", "build", folder / "bundle", folder / "data", "--kind", "hnsw")
    assert result.exit_code == 0, result.output
    ((name, arguments, options),) = calls
    assert (name, arguments) == ("build", (folder / "bundle", [folder / "data"]))
    assert options == {"index": None, "kind": "hnsw", "every_mm": None}


def test_what_could_not_be_added_is_named_and_makes_the_status_1(run, folder, calls):
    result = run("index", "add", folder / "bundle", folder / "data", "--every-mm", "5")
    assert result.exit_code == 1
    assert "failed: b.png: not an image" in result.stderr
    assert calls[0][2] == {"index": None, "every_mm": 5.0}


def test_search(run, folder, calls):
    result = run("index", "search", folder / "bundle", "--text", "mass", "-k", "2")
    assert result.exit_code == 0, result.output
    assert calls[0][2] == {"text": "mass", "index": None, "slice": None, "k": 2}
    for text in ("0.912", "a.nii", "7", "3.5", "a mass"):
        assert text in result.stdout


def test_an_unknown_kind_is_told_with_the_known_ones(run, folder, calls):
    result = run("index", "build", folder / "bundle", folder / "data", "--kind", "tree")
    assert result.exit_code == 2 and "ivf_pq" in result.stderr
    assert not calls
