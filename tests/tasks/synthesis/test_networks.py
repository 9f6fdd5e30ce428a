from kmed.applications import dcgan_generator
from kmed.tasks.synthesis import Settings, networks


def test_both_networks_follow_the_settings():
    settings = Settings(
        size=(32, 32), latent=7, network={"filters": 8}, discriminator={"filters": 4},
        discriminator_steps=2, constant=0.5,
    )  # fmt: skip
    made = networks.generator(dcgan_generator, settings, 1, 3)
    judged = networks.discriminator(settings, 1, 3)
    assert made.input["latent"].shape == (None, 7) and made.output_shape == (None, 32, 32, 1)
    assert judged.output_shape == (None, 1) and set(judged.input) == {"image", "labels"}
    trainer = networks.compiled(made, judged, settings, 100)
    rates = [
        float(optimizer._learning_rate(100))
        for optimizer in (trainer.generator_optimizer, trainer.discriminator_optimizer)
    ]
    # The discriminator takes twice as many steps, so that its rate falls half as fast.
    assert abs(rates[0]) < 1e-9 and abs(rates[1] - 2e-4) < 1e-9


def test_without_classes():
    settings = Settings(size=(32, 32), network={"filters": 4})
    assert networks.generator(dcgan_generator, settings, 3, 0).output_shape[-1] == 3
