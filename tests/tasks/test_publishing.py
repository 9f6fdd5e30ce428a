from types import SimpleNamespace

import pytest

from kmed.data import DataError, Sample, Split
from kmed.tasks.publishing import part_of, write_evaluation


def sample(name):
    return Sample(id=name, patient=name[0], files=(), read=None)


SAMPLES = tuple(map(sample, ("a1", "a2", "b1", "c1")))


def test_a_split_file_goes_before_the_data_sets_own_parts(tmp_path):
    own = Split(train=SAMPLES[:2], validation=SAMPLES[2:3], test=SAMPLES[3:], seed=0)
    other = Split(train=SAMPLES[3:], validation=SAMPLES[2:3], test=SAMPLES[:2], seed=0)
    other.save(tmp_path / "split.json")
    said = []
    chosen = part_of(SAMPLES, own, tmp_path / "split.json", "test", say=said.append)
    assert [one.id for one in chosen] == ["a1", "a2"] and said == ["2 images"]
    assert part_of(SAMPLES, own, None, "validation", say=said.append) == SAMPLES[2:3]
    assert "the data set's own validation part" in said
    assert part_of(SAMPLES, None, None, "test", say=said.append) == SAMPLES


def test_an_unknown_or_empty_part_is_refused():
    with pytest.raises(ValueError, match="must be train, validation or test; received 'all'"):
        part_of(SAMPLES, None, None, "all", say=str)
    own = Split(train=SAMPLES, validation=(), test=(), seed=0)
    with pytest.raises(DataError, match="no image in the test part"):
        part_of(SAMPLES, own, None, "test", say=str)


def test_an_evaluation_is_written_beside_where_one_works_unless_told(tmp_path):
    bundle = SimpleNamespace(name="found")
    measured = SimpleNamespace(summary={"all": {}})
    seen = {}

    def write_measures(bundle, measured, folder, *, title, facts):
        seen.update(folder=folder, title=title, facts=facts)
        return folder / "report.html"

    said = []
    summary = write_evaluation(
        bundle, measured, SAMPLES, write_measures, output=tmp_path, say=said.append
    )
    assert summary == {"all": {}} and said == [f"report: {tmp_path / 'report.html'}"]
    assert seen["facts"]["images"] == 4 and seen["facts"]["patients"] == 3
    write_evaluation(bundle, measured, SAMPLES, write_measures, output=None, say=str)
    assert str(seen["folder"]) == "evaluation-found"
