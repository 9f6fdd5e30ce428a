import pytest

from kmed.tasks.synthesis import Settings


def test_the_defaults_hold_and_are_the_papers():
    settings = Settings()
    assert (settings.learning_rate, settings.beta_1, settings.latent) == (2e-4, 0.5, 100)
    assert settings.loss == "cross_entropy" and settings.constant == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"latent": 0}, {"gradient_penalty": -1.0}, {"discriminator_steps": 0}, {"generated": 1},
        {"select": "best"}, {"split": "own"}, {"loss": "l2"}, {"differentiable": ("flip",)},
        {"average": 1.0}, {"beta_1": 1.0}, {"constant": 2.0}, {"samples": 0},
        {"preprocessor": "mr"}, {"intensity": {"image": (1, 0)}},
    ],
)  # fmt: skip
def test_what_is_out_of_range_is_named(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
        Settings(**wrong)
