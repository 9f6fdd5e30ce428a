"""Deep ensembles: several networks of one task as one network."""

from __future__ import annotations

from collections.abc import Sequence

import keras

from kmed.uncertainty.flat_copy import copy_onto, image_of
from kmed.uncertainty.mean_logits import MeanLogits, kind_of


def ensemble(
    networks: Sequence[keras.Model], *, kind: str | None = None, name: str = "ensemble"
) -> keras.Model:
    """Join networks to one whose probabilities are the mean of theirs.

    Reference: Lakshminarayanan, Pritzel and Blundell 2017, "Simple and Scalable Predictive
    Uncertainty Estimation using Deep Ensembles".

    The members' layers are copied into one graph, their names led by `member0_`, `member1_` ...:
    the weights are those of the given networks now, and what happens to either later does not
    reach the other.

    Args:
        networks: two or more functional models of the same input and logits `(B, [D,] H, W, K)` or
            `(B, K)`, or dictionaries with "logits". They may be different architectures.
        kind: "softmax", "sigmoid" (several labels may be true at once) or None: softmax, and
            sigmoid for networks of one logit.
        name: name of the model.

    Returns:
        A functional model from the members' image to float32 logits: the logarithm of the mean
        probability (softmax), or the logit of the mean (sigmoid).

    Raises:
        ValueError: if there are fewer than two networks, or they do not fit each other.

    Example:
        >>> image = keras.Input((4, 4, 1), name="image")
        >>> x = keras.layers.Flatten()(image)
        >>> networks = [keras.Model(image, keras.layers.Dense(3)(x)) for _ in range(2)]
        >>> ensemble(networks).output_shape
        (None, 3)
    """
    networks = list(networks)
    if len(networks) < 2:
        raise ValueError(f"`networks` must be two networks or more; received {len(networks)}")
    image = image_of(networks[0])
    members = []
    for i, network in enumerate(networks):
        shape = image_of(network).shape
        if shape != image.shape:
            raise ValueError(
                "`networks` must take images of one shape; received "
                f"{image.shape[1:]} (network 0) and {shape[1:]} (network {i})"
            )
        logits = copy_onto(image, network, rename=f"member{i}_{{}}".format)
        if members and logits.shape != members[0].shape:
            raise ValueError(
                "`networks` must give logits of one shape; received "
                f"{members[0].shape[1:]} (network 0) and {logits.shape[1:]} (network {i})"
            )
        members.append(logits)
    kind = kind_of(kind, members[0].shape[-1])
    rows = keras.layers.Concatenate(axis=0, dtype="float32", name="members")(members)
    return keras.Model(image, MeanLogits(len(members), kind, name="logits")(rows), name=name)
