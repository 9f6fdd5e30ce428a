import numpy as np
import pytest

from kmed.index.errors import VectorIndexError
from kmed.index.given import row_lines
from kmed.index.segments import Segment, paths, write_segment

VECTORS = np.arange(15, dtype=np.float32).reshape(5, 3)
ROWS = [{"text": f"line\n{number}", "é": number} for number in range(5)]
LINES = row_lines([f"id {number}" for number in range(5)], ROWS)


@pytest.fixture
def entry(tmp_path):
    return write_segment(tmp_path, "segment-0", [VECTORS[:2], VECTORS[2:]], LINES)


def test_vectors_and_rows_come_back(tmp_path, entry):
    segment = Segment(tmp_path, entry, 3)
    assert segment.count == 5
    np.testing.assert_array_equal(segment.vectors, VECTORS)
    assert [segment.row(place) for place in (4, 0, 2)] == [
        ("id 4", ROWS[4]), ("id 0", ROWS[0]), ("id 2", ROWS[2]),
    ]  # fmt: skip
    assert list(segment.lines()) == LINES


def test_the_files_are_plain(tmp_path, entry):
    vectors, rows = paths(tmp_path, "segment-0")
    assert {path.name for path in tmp_path.iterdir()} == {vectors.name, rows.name}
    np.testing.assert_array_equal(np.load(vectors), VECTORS)
    assert rows.read_bytes() == b"\n".join(LINES) + b"\n"


def test_a_deleted_file_stays_readable_to_who_has_it_open(tmp_path, entry):
    segment = Segment(tmp_path, entry, 3)
    for path in paths(tmp_path, "segment-0"):
        path.unlink()
    assert segment.row(1) == ("id 1", ROWS[1])
    np.testing.assert_array_equal(segment.vectors, VECTORS)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("keep", [0, 20, -1])
def test_a_file_cut_short_is_found_when_it_is_opened(tmp_path, entry, which, keep):
    path = paths(tmp_path, "segment-0")[which]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(VectorIndexError, match=f"{path.name} is not what was written: restore"):
        Segment(tmp_path, entry, 3)


@pytest.mark.parametrize("which", [0, 1])
def test_a_changed_byte_is_found_when_it_is_read(tmp_path, entry, which):
    path = paths(tmp_path, "segment-0")[which]
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    segment = Segment(tmp_path, entry, 3)
    with pytest.raises(VectorIndexError, match=f"{path.name} is not what was written"):
        _ = segment.row(0) if which else segment.vectors


def test_another_dimension_is_found(tmp_path, entry):
    with pytest.raises(VectorIndexError, match="is not what was written"):
        Segment(tmp_path, entry, 4)


def test_a_missing_file_is_told_to_the_caller(tmp_path, entry):
    paths(tmp_path, "segment-0")[1].unlink()
    with pytest.raises(FileNotFoundError):
        Segment(tmp_path, entry, 3)
