import pytest

from kmed.tasks.adversarial_settings import AdversarialSettings


def test_ranges_are_numbers_by_modality():
    settings = AdversarialSettings(intensity={"t1": [0, 4095]})
    assert settings.ranges == {"t1": (0.0, 4095.0)}
    with pytest.raises(ValueError, match="`intensity`"):
        AdversarialSettings(intensity={"t1": [5, 5]})


def test_lists_of_a_command_line_become_tuples():
    assert AdversarialSettings(differentiable=["cutout"]).differentiable == ("cutout",)
