import json
from types import SimpleNamespace

import pytest

from kmed.data import Sample, Split
from kmed.tasks.runs import claim, run_facts, validation_batch
from kmed.tasks.training_settings import TrainingSettings


def test_batches_are_shared_evenly():
    assert validation_batch(8, 29, 1) == (8, 29)
    assert validation_batch(8, 29, 2) == (4, 28)
    assert validation_batch(8, 5, 2) == (4, 4)
    assert validation_batch(8, 8, 8) == (8, 8)
    with pytest.raises(ValueError, match="received 9 for 2"):
        validation_batch(9, 29, 2)
    with pytest.raises(ValueError, match="for each of 2 devices; it has 1"):
        validation_batch(8, 1, 2)


def test_a_folder_is_claimed_by_the_first_epoch(tmp_path):
    settings = TrainingSettings(run_dir=str(tmp_path / "run"))
    claim(settings)
    claim(settings.replaced(seed=1))  # nothing was trained yet
    (tmp_path / "run" / "head" / "epoch-0001").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"other settings \(seed differ\)"):
        claim(settings)
    claim(settings.replaced(seed=1))
    claim(settings.replaced(resume=False))
    assert not (tmp_path / "run" / "head" / "epoch-0001").exists()
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["seed"] == 0


def test_facts_count_and_name_nobody(tmp_path):
    (tmp_path / "x.png").write_bytes(b"x")
    files = (str(tmp_path / "x.png"),)
    samples = [
        Sample(id=f"doe-{i}", patient=f"doe-{i % 2}", files=files, read=None) for i in range(4)
    ]
    split = Split(tuple(samples[:2]), (samples[2],), (samples[3],), seed=7)
    phases = [
        SimpleNamespace(rows=[{"seconds": 30.0}] * 2, best_epoch=2),
        SimpleNamespace(rows=[{"seconds": 60.0}] * 4, best_epoch=3),
    ]
    facts = run_facts("images", 5, samples, split, phases, 1234)
    assert facts["data"]["images"] == {"train": 2, "validation": 1, "test": 1}
    assert facts["data"]["patients"] == {"train": 2, "validation": 1, "test": 1}
    assert facts["training"] == {
        "epochs": 6, "best epoch": 3, "minutes": 5.0, "parameters": 1234
    }  # fmt: skip
    assert "doe" not in json.dumps(facts)
