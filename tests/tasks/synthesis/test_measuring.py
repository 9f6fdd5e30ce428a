import numpy as np

from kmed.export import GeneratorBundle
from kmed.tasks.extractors import feature_space
from kmed.tasks.synthesis.measuring import measure, normalised


def test_training_images_handed_out_again_are_seen_as_copies(trained):
    run, *_ = trained
    bundle = GeneratorBundle.load(run.bundle_path)
    space = feature_space("random", (32, 32, 1), (0.0, 255.0))
    random = np.random.default_rng(0)
    known = random.uniform(-1, 1, (30, 32, 32, 1)).astype("float32")
    real = random.uniform(-1, 1, (30, 32, 32, 1)).astype("float32")
    labels = np.array([0] * 20 + [1] * 10)
    honest = measure(bundle, space, real=real, known=known, labels=labels, count=30)
    bundle.answer = lambda latent, labels: (known[: len(latent)] + 1) * 127.5
    copied = measure(bundle, space, real=real, known=known, labels=labels, count=30)
    assert copied.summary["all"]["copies"].value == 1
    assert honest.summary["all"]["copies"].value == 0
    np.testing.assert_allclose(copied.nearest, copied.fake, atol=1e-5)
    assert copied.labels.count("disc") == 20 and copied.labels.count("ring") == 10


def test_raw_units_back_to_the_networks_range(trained):
    bundle = GeneratorBundle.load(trained[0].bundle_path)
    np.testing.assert_allclose(normalised(bundle, np.array([0.0, 127.5, 255.0])), [-1, 0, 1])
