import pytest

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
