"""The last step of a generator: from the network's [-1, 1] back to the units of an image."""

from __future__ import annotations

import keras

from kmed.layers.intensity import IntensityInverse


@keras.saving.register_keras_serializable("kmed")
class ImageDecoder(IntensityInverse):
    """Bring generated images `(B, [D,] H, W, C)` from [-1, 1] to raw units, in float32.

    Args:
        low: raw value of -1, for example -160 HU.
        high: raw value of 1.

    Raises:
        ValueError: if `high` is not above `low`.

    Example:
        >>> decoder = ImageDecoder(-160.0, 240.0)
        >>> decoder(keras.ops.array([[[[-1.0, 0.0, 1.0]]]]))["image"].numpy().ravel().tolist()
        [-160.0, 40.0, 240.0]
    """

    dense = True
    located = False
    fits = ("resize", "pad")
    signature = "generate"
    outputs = {"image": "float32, in the units of the images that were learnt from"}

    def __init__(self, low: float, high: float, **kwargs):
        """Check the range."""
        super().__init__(low, high, **({"name": "decoder"} | kwargs))

    def call(self, image):
        """Give the image in raw units, under a name."""
        return {"image": super().call(keras.ops.convert_to_tensor(image, "float32"))}

    def compute_output_spec(self, image):
        """float32 of the same shape."""
        return {"image": keras.KerasTensor(image.shape, "float32")}

    def classes(self, image) -> int:
        """No classes."""
        return 0

    def probe(self, image):
        """Give the image as the network made it."""
        return image
