import json
from collections import Counter

import numpy as np
import pytest

from kmed.data.sample import DataError, Sample
from kmed.data.splits import Split, folds, split


def samples_of(patients, per_patient=2, label=lambda p: None):
    return [
        Sample(id=f"{p}-{k}", patient=f"p{p}", files=(f"{p}-{k}.png",), read=None, label=label(p))
        for p in range(patients)
        for k in range(per_patient)
    ]


def patients(part):
    return {sample.patient for sample in part}


def shape(parts):
    return [len(patients(part)) for part in (parts.train, parts.validation, parts.test)]


@pytest.mark.parametrize(
    ("count", "fractions", "expected"),
    [
        (10, (0.7, 0.1, 0.2), [7, 1, 2]),
        (260, (0.8, 0.0, 0.2), [208, 0, 52]),
        (3, (0.7, 0.1, 0.2), [1, 1, 1]),
        (4, (0.98, 0.01, 0.01), [2, 1, 1]),
        (7, (1.0, 0.0, 0.0), [7, 0, 0]),
        (11, (0.7, 0.1, 0.2), [8, 1, 2]),
    ],
)
def test_whole_patients_in_the_right_number(count, fractions, expected):
    samples = samples_of(count)
    parts = split(samples, fractions=fractions, seed=3)
    assert shape(parts) == expected
    taken = parts.train + parts.validation + parts.test
    assert sorted(s.id for s in taken) == sorted(s.id for s in samples)
    assert not patients(parts.train) & patients(parts.test)
    assert not patients(parts.validation) & (patients(parts.test) | patients(parts.train))


def test_order_of_samples_has_no_say_and_the_seed_has():
    samples = samples_of(30, label=lambda p: p % 3)
    shuffled = [samples[i] for i in np.random.default_rng(0).permutation(len(samples))]
    assert split(samples, seed=5) == split(shuffled, seed=5)
    assert folds(samples, 4, seed=5) == folds(shuffled, 4, seed=5)
    assert split(samples, seed=5).test != split(samples, seed=6).test


@pytest.mark.parametrize("seed", range(10))
def test_labels_keep_their_proportions(seed):
    # 60 patients: 42 of label 0, 12 of label 1, 6 of label 2.
    samples = samples_of(60, 1, label=lambda p: 0 if p < 42 else 1 if p < 54 else 2)
    parts = split(samples, fractions=(0.5, 0.25, 0.25), seed=seed)
    for part, share in ((parts.train, 0.5), (parts.validation, 0.25), (parts.test, 0.25)):
        counts = Counter(s.label for s in part)
        for label, total in ((0, 42), (1, 12), (2, 6)):
            assert abs(counts[label] - share * total) <= 1.5
    for part in folds(samples, 6, seed=seed):
        counts = Counter(s.label for s in part.validation)
        assert abs(counts[0] - 7) <= 1 and abs(counts[1] - 2) <= 1 and abs(counts[2] - 1) <= 1


def test_every_patient_may_be_tested():
    # Neither a patient's name nor its label decides where it goes.
    samples = samples_of(10, 1, label=lambda p: int(p == 9))
    seen = Counter(s.patient for seed in range(300) for s in split(samples, seed=seed).test)
    assert len(seen) == 10 and min(seen.values()) > 30 and max(seen.values()) < 100


def test_folds_validate_each_patient_once():
    samples = samples_of(11)
    parts = folds(samples, 3, seed=1)
    assert sorted(len(patients(p.validation)) for p in parts) == [3, 4, 4]
    seen = Counter(s.id for p in parts for s in p.validation)
    assert set(seen.values()) == {1} and len(seen) == 22
    for part in parts:
        assert part.test == () and len(part.train) + len(part.validation) == 22
        assert not patients(part.train) & patients(part.validation)


def test_refusals():
    with pytest.raises(DataError, match="no samples"):
        split([])
    with pytest.raises(DataError, match="3 parts need 3 patients at least; the data set has 2"):
        split(samples_of(2))
    with pytest.raises(DataError, match="5 folds need 5 patients"):
        folds(samples_of(4))
    with pytest.raises(DataError, match=r"ids must be unique; '0-0'"):
        split(samples_of(5) + samples_of(1))
    with pytest.raises(ValueError, match="`k` must be 2 or more"):
        folds(samples_of(4), 1)
    for bad in (
        (0.7, 0.2, 0.2),
        (0.5, 0.5),
        (1.2, -0.2, 0.0),
        (0.0, 0.5, 0.5),
        (float("nan"),) * 3,
    ):
        with pytest.raises(ValueError, match="`fractions` must"):
            split(samples_of(9), fractions=bad)


def test_saved_and_loaded(tmp_path):
    samples = samples_of(10)
    parts = split(samples, seed=4)
    parts.save(tmp_path / "split.json")
    loaded = Split.load(tmp_path / "split.json", samples[::-1] + [samples_of(12)[-1]])
    assert loaded == parts and loaded.seed == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as a split"),
        ("[]", "cannot be read as a split"),
        ('{"train": []}', "cannot be read as a split"),
        ({"train": "0-0"}, "'train' must be a list of sample ids"),
        ({"train": ["9-0"]}, "first '9-0'"),
        ({"train": ["0-0"], "test": ["0-0"]}, "sample '0-0' is in train and again in test"),
        ({"train": ["0-0", "0-0"]}, "sample '0-0' is in train and again in train"),
        ({"train": ["0-0"], "test": ["0-1"]}, "one patient is in train .sample '0-0'. and in test"),
    ],
)
def test_bad_files(tmp_path, content, message):
    if isinstance(content, dict):
        content = json.dumps({"train": [], "validation": [], "test": []} | content)
    (tmp_path / "split.json").write_text(content)
    with pytest.raises(DataError, match=message):
        Split.load(tmp_path / "split.json", samples_of(2))
