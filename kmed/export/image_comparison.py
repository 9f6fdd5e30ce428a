"""Do two formats of a generator make the same image?"""

from __future__ import annotations

from typing import Any

import numpy as np

from kmed.export.box_comparison import AgreementError

TOLERANCE = 1e-4  # of the network's [-1, 1]


class ImageComparison:
    """Running difference of one format's images from those of Keras.

    Every voxel must be found again within 1e-4 of the network's range, which is 2 wide.

    Args:
        low: raw value that the decoder gives for -1.
        high: raw value that it gives for 1.
    """

    def __init__(self, low: float, high: float):
        """Begin with nothing counted."""
        self.scale = (high - low) / 2
        self.images, self.worst = 0, 0.0

    def add(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
        """Count one image.

        Args:
            expected: Keras' "image" `([D,] H, W, C)` in raw units.
            found: the same of the other format.
        """
        self.images += 1
        difference = np.abs(expected["image"] - found["image"]).max() / self.scale
        # A NaN is the largest difference of all, and np.maximum hands it on.
        self.worst = float(np.maximum(self.worst, difference))

    def row(self) -> dict[str, Any]:
        """Give the counts; the difference in the network's range and in raw units."""
        raw = self.worst * self.scale
        return {"images": self.images, "max_difference": self.worst, "max_raw_difference": raw}

    def check(self, name: str, allowed: float = 0.0) -> None:
        """Raise if the format differs.

        Args:
            name: of the format.
            allowed: taken and not used: no share of the voxels may differ.

        Raises:
            AgreementError: saying by how much.
            ValueError: if no image was compared.
        """
        if not self.images:
            raise ValueError("`images` is empty: agreement is counted on at least one image")
        if not self.worst <= TOLERANCE:
            raise AgreementError(
                f"{name} differs from Keras by {self.worst:.3g} of a generator's [-1, 1]; at most "
                f"{TOLERANCE:g} is allowed"
            )
