"""What the training of two towers can be given, and the errors for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kmed.ops.relations import RULES
from kmed.trainers.embedding_memory import KEY_TYPES

DIRECTIONS = ("both", "first", "second")
_RELATIONS = ("by", "near_mm", "same_patient")


def checked_dimension(towers: Mapping[str, keras.Model]) -> int:
    """Give the dimension in which two towers meet.

    Args:
        towers: by modality.

    Returns:
        The length of their vectors.

    Raises:
        ValueError: if there are not two, or if they do not give vectors of one length.
    """
    if not isinstance(towers, Mapping) or len(towers) != 2:
        received = sorted(towers) if isinstance(towers, Mapping) else type(towers).__name__
        raise ValueError(
            f"`towers` must be a dictionary of two modalities' networks; received {received}"
        )
    shapes = {modality: tower.output_shape for modality, tower in towers.items()}
    first, second = shapes.values()
    if not isinstance(first, tuple) or len(first) != 2 or first[-1] is None or first != second:
        raise ValueError(
            f"`towers` must give vectors (B, dimension) of one dimension; received {shapes}"
        )
    return first[-1]


def check_loss(loss: Any) -> None:
    """Refuse a loss that does not compare two modalities.

    Args:
        loss: of `kmed.losses`.

    Raises:
        ValueError: if it has no `cross` or no `learnable`.
    """
    if not hasattr(loss, "cross") or not hasattr(loss, "learnable"):
        raise ValueError(
            "`loss` must have `cross` and `learnable`, as the losses of embeddings in kmed.losses "
            f"have; received {type(loss).__name__}"
        )


def check_settings(
    relations: Mapping[str, Any], directions: str, memory: int, memory_start: int, chunks: int
) -> None:
    """Refuse settings outside of their range.

    Args:
        relations: of `kmed.ops.relations.relations`.
        directions: one of `DIRECTIONS`.
        memory: 0 or more.
        memory_start: 0 or more.
        chunks: 1 or more.

    Raises:
        ValueError: naming the setting.
    """
    if set(relations) - set(_RELATIONS):
        raise ValueError(
            f"`relations` may have {', '.join(_RELATIONS)}; received {sorted(relations)}"
        )
    if relations.get("by", "key") not in RULES or not relations.get("near_mm", 0.0) >= 0:
        raise ValueError(
            f"`relations` must have `by` of {RULES} and `near_mm` of 0 or more; received "
            f"{dict(relations)}"
        )
    if directions not in DIRECTIONS:
        raise ValueError(f"`directions` must be one of {DIRECTIONS}; received {directions!r}")
    if memory < 0 or memory_start < 0 or chunks < 1:
        raise ValueError(
            "`memory` and `memory_start` must be at least 0 and `chunks` at least 1; received "
            f"{memory}, {memory_start} and {chunks}"
        )


def checked_sides(values: Any, argument: str, modalities: Iterable[str]) -> dict:
    """Give a batch's values in the order of the modalities.

    Args:
        values: by modality.
        argument: what the caller knows it as.
        modalities: which there must be.

    Returns:
        The same values.

    Raises:
        ValueError: if it is no dictionary of just these.
    """
    if not isinstance(values, Mapping) or set(values) != set(modalities):
        received = sorted(values) if isinstance(values, Mapping) else type(values).__name__
        raise ValueError(
            f"`{argument}` must be a dictionary of the modalities {sorted(modalities)}; received "
            f"{received}"
        )
    return {modality: values[modality] for modality in modalities}


def checked_keys(y: Any, modalities: Iterable[str]) -> dict:
    """Give the keys of a batch's rows in the types that they are compared in.

    Args:
        y: by modality, and then by name.
        modalities: which there must be.

    Returns:
        The same of tensors, in the order of `KEY_TYPES`.

    Raises:
        ValueError: if something is missing.
    """
    found = {}
    for modality, keys in checked_sides(y, "y", modalities).items():
        missing = set(KEY_TYPES) - set(keys if isinstance(keys, Mapping) else ())
        if missing:
            raise ValueError(
                f'`y["{modality}"]` must have {", ".join(KEY_TYPES)}; it lacks '
                f"{', '.join(sorted(missing))}"
            )
        found[modality] = {what: tf.cast(keys[what], type_) for what, type_ in KEY_TYPES.items()}
    return found
