"""Do two formats of a tower give the same embeddings?"""

from __future__ import annotations

from typing import Any

import numpy as np

from kmed.export.box_comparison import AgreementError

TOLERANCE = 1e-5  # of a component of a vector of unit length


class EmbeddingComparison:
    """Running difference of one format's embeddings from those of Keras.

    Every component must be found again within 1e-5.
    """

    def __init__(self):
        """Begin with nothing counted."""
        self.images, self.worst = 0, 0.0

    def add(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
        """Count one image.

        Args:
            expected: Keras' "embedding" `(dimension,)`.
            found: the same of the other format.
        """
        self.images += 1
        difference = np.abs(expected["embedding"] - found["embedding"]).max()
        # A NaN is the largest difference of all, and np.maximum hands it on.
        self.worst = float(np.maximum(self.worst, difference))

    def row(self) -> dict[str, Any]:
        """Give the counts."""
        return {"images": self.images, "max_difference": self.worst}

    def check(self, name: str, allowed: float = 0.0) -> None:
        """Raise if the format differs.

        Args:
            name: of the format.
            allowed: taken and not used: no share of the embeddings may differ.

        Raises:
            AgreementError: saying by how much.
            ValueError: if no image was compared.
        """
        if not self.images:
            raise ValueError("`images` is empty: agreement is counted on at least one image")
        if not self.worst <= TOLERANCE:
            raise AgreementError(
                f"{name} differs from Keras by {self.worst:.3g} in a component of an embedding; at "
                f"most {TOLERANCE:g} is allowed"
            )
