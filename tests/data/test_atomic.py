import pytest

from kmed.data.atomic import replacing, write_bytes


def test_replaces_what_was_there_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "folder" / "card.json"
    assert write_bytes(path, b"first") == path
    write_bytes(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert [p.name for p in path.parent.iterdir()] == ["card.json"]


def test_a_failure_keeps_the_old_file(tmp_path):
    path = write_bytes(tmp_path / "a.txt", b"old")
    with pytest.raises(RuntimeError, match="half way"):
        with replacing(path) as unfinished:
            unfinished.write_bytes(b"ha")
            raise RuntimeError("half way")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_a_block_that_writes_nothing_is_an_error_and_keeps_the_old_file(tmp_path):
    path = write_bytes(tmp_path / "a.txt", b"old")
    with pytest.raises(FileNotFoundError), replacing(path):
        pass
    assert path.read_bytes() == b"old"


def test_the_temporary_name_keeps_all_suffixes_and_is_hidden(tmp_path):
    with replacing(tmp_path / "scan.nii.gz") as unfinished:
        assert unfinished.name.endswith(".nii.gz") and unfinished.name.startswith(".")
        assert unfinished.parent == tmp_path
        unfinished.write_bytes(b"x")
