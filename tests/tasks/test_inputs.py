import json

import numpy as np
import pytest

from kmed.data import DataError, Sample
from kmed.data.sample import Arrays
from kmed.layers import ResizeTo
from kmed.tasks import inputs
from kmed.tasks.training_settings import TrainingSettings


def sample(name, image=None, **options):
    arrays = Arrays(image, None, (1.0, 1.0), None)
    return Sample(id=name, patient=name, files=(f"{name}.dcm",), read=lambda: arrays, **options)


def test_split_file(tmp_path):
    content = {"format": "kmed-split", "version": 1, "seed": None}
    content |= {"train": ["p0", "p1"], "validation": ["p2"], "test": ["p3"]}
    (tmp_path / "split.json").write_text(json.dumps(content))
    settings = TrainingSettings(split_file=str(tmp_path / "split.json"))
    samples = [sample(f"p{i}") for i in range(5)]
    parts = inputs.split_and_audit(samples, settings, digests=lambda one: one.id)
    assert [s.id for s in parts.train] == ["p0", "p1"]


@pytest.mark.parametrize(
    ("modality", "preprocessor", "fits"),
    [
        ("CT", "ct", True),
        ("MR", "ct", False),
        ("MR", "mr", True),
        ("CT", "mr", False),
        ("DX", "xray", True),
        ("US", "xray", True),
        ("CT", "xray", False),
        ("DX", "ct", False),
        ("US", "mr", False),
        (None, "ct", True),
        ("MR", "of_my_own", True),
    ],
)
def test_modalities_in_other_units_are_refused(modality, preprocessor, fits):
    one = sample("a", modality=modality)
    if fits:
        inputs.check_modality(one, preprocessor)
    else:
        with pytest.raises(DataError, match=f"a.dcm: is of modality {modality}, whose values"):
            inputs.check_modality(one, preprocessor)


def test_channels_are_the_first_images_own():
    assert inputs.image_channels([sample("a", np.zeros((4, 4, 3)))]) == 3
    with pytest.raises(DataError, match="the data set is empty"):
        inputs.image_channels([])


def test_volumes_go_slice_by_slice_to_a_2d_network():
    settings = TrainingSettings(preprocessor="xray", size=(6, 6))
    prepare, resize = inputs.preprocessor(settings, 1), ResizeTo((6, 6))
    volume = np.random.default_rng(0).normal(size=(18, 9, 7, 1))
    found = inputs.prepared_image(prepare, resize, volume, 2)
    assert found.shape == (18, 6, 6, 1)
    alone = inputs.prepared_image(prepare, resize, volume[17], 2)
    np.testing.assert_allclose(found[17], alone, atol=1e-6)


def test_the_window_is_the_settings_own():
    prepare = inputs.preprocessor(TrainingSettings(window_hu=(0.0, 100.0)), 1)
    assert float(prepare(np.full((1, 2, 2, 1), 50.0)).numpy().max()) == 1.0
