import numpy as np
import pytest

from kmed.data import DataError, Sample, Split
from kmed.data.label_kinds import Labelled
from kmed.layers import ResizeTo
from kmed.tasks import inputs
from kmed.tasks.classification import data
from kmed.tasks.classification.settings import Settings


def samples(*names):
    return tuple(
        Sample(id=n, patient=n, files=(), read=None, label=i % 2) for i, n in enumerate(names)
    )


def digest(sample):
    return sample.id


def test_the_data_sets_own_parts_are_taken_or_drawn():
    all_ = samples(*"abcdefghij")
    own = Split(all_[:6], all_[6:8], all_[8:])
    found = Labelled(all_, ("no", "yes"), "binary", own)
    assert data.parts(found, Settings(), digest) == own
    drawn = data.parts(found, Settings(split="random"), digest)
    assert drawn.seed == 0 and len(drawn.test) == 2
    without_validation = found._replace(split=Split(all_[:8], (), all_[8:]))
    parts = data.parts(without_validation, Settings(validation=0.25), digest)
    assert parts.test == all_[8:] and (len(parts.train), len(parts.validation)) == (6, 2)


def test_cached_cases_are_what_the_bundle_computes(folders, tmp_path):
    settings = Settings(data=str(folders), size=(16, 24), cache_dir=str(tmp_path))
    found = data.open_data(settings)
    prepare = inputs.preprocessor(settings, 1)
    [case] = data.cache(settings, prepare).cases(found.samples[:1])
    raw = found.samples[0].read().image.astype("float32")
    expected = np.asarray(ResizeTo((16, 24))(prepare(raw[None])))[0]
    np.testing.assert_allclose(case.image(), expected, atol=1e-5)
    assert case.mask() is None


def test_targets():
    assert data.targets(samples("a", "b")).tolist() == [0, 1]
    several = [Sample(id="a", patient="a", files=(), read=None, label=(1, 0, 1))]
    assert data.targets(several).tolist() == [[1, 0, 1]]


def test_no_data():
    with pytest.raises(DataError, match="needs labelled images: give `data`"):
        data.open_data(Settings())
