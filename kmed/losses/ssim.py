"""One minus the structural similarity."""

from __future__ import annotations

import keras

from kmed.ops.structural_similarity import WINDOWS, ssim


@keras.saving.register_keras_serializable(package="kmed")
class SSIMLoss(keras.losses.Loss):
    """One minus the structural similarity of image or volume and truth, of each example.

    Reference:
        Zhao, Gallo, Frosio, Kautz 2017, "Loss Functions for Image Restoration with Neural
        Networks", equation 8, here with the mean over all places.

    Args:
        data_range: largest possible value less the smallest; of images in [-1, 1] it is 2.
        window: "gaussian" or "uniform".
        size: length of the window's sides in pixels, at most that of the images.
        sigma: of the gaussian window, in pixels.
        reduction: how Keras joins the values of the examples.
        name: name of the loss.
        dtype: Keras' type of the result; it is computed in float32.

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((1, 16, 16, 1), "float32")
        >>> loss = SSIMLoss()
        >>> float(loss(image, image)), round(float(loss(image - 1, image + 1)), 3)
        (0.0, 2.0)
    """

    def __init__(
        self,
        data_range: float = 2.0,
        *,
        window: str = "gaussian",
        size: int = 11,
        sigma: float = 1.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "ssim_loss",
        dtype=None,
    ):
        """Takes the arguments that the class describes."""
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if not data_range > 0:
            raise ValueError(f"`data_range` must be above 0; received {data_range}")
        if window not in WINDOWS or size < 1 or not sigma > 0:
            raise ValueError(
                f"`window` must be one of {WINDOWS}, `size` 1 or more and `sigma` above 0; "
                f"received {window!r}, {size} and {sigma}"
            )
        self.data_range, self.window = float(data_range), window
        self.size, self.sigma = int(size), float(sigma)

    def call(self, y_true, y_pred):
        """Returns `(B,)` for images `(B, [D,] H, W, C)`, from 0 to 2."""
        return 1.0 - ssim(
            y_true,
            y_pred,
            data_range=self.data_range,
            window=self.window,
            size=self.size,
            sigma=self.sigma,
        )

    def get_config(self) -> dict:
        """Returns the arguments that rebuild this loss."""
        return {
            **super().get_config(),
            "data_range": self.data_range,
            "window": self.window,
            "size": self.size,
            "sigma": self.sigma,
        }
