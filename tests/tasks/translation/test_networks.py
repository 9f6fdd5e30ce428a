import pytest

from kmed.applications import cyclegan_generator, pix2pix_generator
from kmed.tasks.translation import Settings, networks
from kmed.trainers.cyclegan import CycleGAN
from kmed.trainers.pix2pix import Pix2Pix

SMALL = {"size": (32, 32), "discriminator": {"filters": 4, "layers": 1}, "average": None}


def test_pix2pix_sees_source_and_image_together():
    settings = Settings(network={"filters": 4, "levels": 3}, crop=(16, 16), **SMALL)
    trainer = networks.build(pix2pix_generator, settings, {"t1": 1, "t2": 2}, 1)
    assert isinstance(trainer, Pix2Pix)
    assert trainer.discriminators["discriminator"].input_shape == (None, 16, 16, 3)
    assert trainer.generators["generator"].output_shape == (None, 16, 16, 2)
    alone = settings.replaced(adversarial=False)
    plain = networks.build(pix2pix_generator, alone, {"a": 1, "b": 1}, 1)
    assert not plain.discriminators


def test_cyclegan_has_two_of_each():
    settings = Settings(algorithm="cyclegan", network={"filters": 4, "blocks": 1}, **SMALL)
    trainer = networks.build(cyclegan_generator, settings, {"ct": 1, "t2": 1}, 2)
    assert isinstance(trainer, CycleGAN)
    networks.compiled(trainer, settings, 100)
    assert float(trainer.generator_optimizer._learning_rate(75)) == pytest.approx(1e-4)
    assert networks.directions(settings, ("ct", "t2")) == [("ct", "t2"), ("t2", "ct")]
    assert networks.directions(Settings(), ("ct", "t2")) == [("ct", "t2")]


def test_parts_that_no_whole_image_follows_are_refused_before_the_training():
    settings = Settings(network={"filters": 4}, crop=(32, 32), **SMALL | {"size": (40, 40)})
    with pytest.raises(ValueError, match=r"`size` \(40, 40\) does not fit"):
        networks.build(pix2pix_generator, settings, {"t1": 1, "t2": 1}, 1)
    fitting = settings.replaced(network={"filters": 4, "levels": 3})
    networks.build(pix2pix_generator, fitting, {"t1": 1, "t2": 1}, 1)
