from pathlib import Path

import numpy as np
import pytest

from kmed.data.phantom_volume import phantom
from kmed.export import Bundle, check_agreement
from kmed.metrics import dice_score
from kmed.tasks.segmentation.demo import SETTINGS, demo


def test_demo_walks_the_whole_road(tmp_path):
    said = []
    run = demo(tmp_path, patients=5, epochs=1, say=said.append)
    assert run.report_path.is_file()
    assert run.bundle_path == tmp_path / "saved_models" / "phantom_unet" / "1"
    assert (tmp_path / "findings" / "ct.nii.gz").is_file()
    assert (tmp_path / "findings" / "ct_overlay.png").is_file()
    with pytest.raises(ValueError, match="other settings"):
        demo(tmp_path, patients=5, epochs=2, say=str)


def test_settings_are_small_enough_for_a_laptop():
    assert SETTINGS.epochs * SETTINGS.patients < 1000


SHIPPED = Path(__file__).resolve().parents[3] / "saved_models" / "phantom_unet" / "1"


def test_the_shipped_bundle_is_small_whole_and_finds_organs_of_new_phantoms():
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()]
    assert sum(sizes) < 5_000_000
    study = phantom(12345, patient=3)
    volume = study.ct[..., None]
    found = check_agreement(SHIPPED, volume[8:16])
    assert set(found) == {"saved_model", "tflite"}
    bundle = Bundle.load(SHIPPED)
    labels = np.stack([bundle.predict(image)[0] for image in volume])
    dice = dice_score(study.mask, labels, len(bundle.labels))
    assert min(dice[1:4]) > 0.85  # liver, kidney, spleen
