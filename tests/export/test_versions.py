"""Numbered folders: whole or absent, whatever stops the writer."""

import os

import pytest

from kmed.export.versions import latest_version, new_version


def write(folder, version=None):
    with new_version(folder, version) as (path, number):
        (path / "content").write_text(str(number))
    return number


def test_numbers_count_up(tmp_path):
    assert latest_version(tmp_path / "model") is None
    assert [write(tmp_path / "model") for _ in range(3)] == [1, 2, 3]
    assert write(tmp_path / "model", 10) == 10
    assert write(tmp_path / "model") == 11
    assert latest_version(tmp_path / "model") == 11
    assert (tmp_path / "model" / "10" / "content").read_text() == "10"
    assert (tmp_path / "model" / "1").stat().st_mode & 0o777 == 0o755


def test_versions_are_not_overwritten(tmp_path):
    write(tmp_path, 4)
    with pytest.raises(FileExistsError, match="never overwritten"):
        write(tmp_path, 4)
    with pytest.raises(ValueError, match="at least 1; received 0"):
        write(tmp_path, 0)


def test_an_error_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), new_version(tmp_path) as (path, _):
        (path / "half").write_text("")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_another_writer_in_between_is_named(tmp_path):
    with pytest.raises(FileExistsError, match="another process"):
        with new_version(tmp_path) as (path, _):
            (path / "mine").write_text("")
            write(tmp_path, 1)
    assert (tmp_path / "1" / "content").exists()
    assert len(list(tmp_path.iterdir())) == 1


def die_while_writing(folder):
    with new_version(folder) as (path, _):
        (path / "half").write_text("")
        os.kill(os.getpid(), 9)


def test_a_killed_writer_leaves_no_version(tmp_path, run_isolated):
    with pytest.raises(pytest.fail.Exception, match="-9"):
        run_isolated(die_while_writing, str(tmp_path / "model"))
    assert latest_version(tmp_path / "model") is None
    assert write(tmp_path / "model") == 1
