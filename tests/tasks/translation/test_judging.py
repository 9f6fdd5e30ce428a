import numpy as np

from kmed.tasks.translation.judging import ValidationError


def test_a_constant_error():
    random = np.random.default_rng(0)
    target = random.uniform(-0.8, 0.8, (11, 16, 16, 1)).astype("float32")
    logs = {}
    ValidationError(lambda images: images + 0.1, target, target).on_epoch_end(0, logs)
    assert abs(logs["val_mae"] - 0.1) < 1e-6 and 0.1 < logs["val_ssim"] < 1
    ValidationError(lambda images: images, target, target).on_epoch_end(0, logs)
    assert logs["val_mae"] == 0 and abs(logs["val_ssim"] - 1) < 1e-6
