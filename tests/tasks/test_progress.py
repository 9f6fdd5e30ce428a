import pytest

from kmed.tasks.progress import tenths


@pytest.mark.parametrize(("count", "lines"), [(3, 3), (100, 10), (705, 11)])
def test_about_ten_lines_and_the_last(count, lines):
    said = []
    progress = tenths(said.append, "read")
    for done in range(1, count + 1):
        progress(done, count)
    assert len(said) == lines
    assert said[-1] == f"read {count} of {count}"
