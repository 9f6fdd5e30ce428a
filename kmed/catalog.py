"""The table of architectures: one literal row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType

import keras

from kmed import applications
from kmed.tasks import segmentation


@dataclass(frozen=True)
class Row:
    """One architecture.

    Attributes:
        name: what users type, `kmed train NAME`.
        title: its name in words.
        paper: where it is from.
        task: the module of its flow, with `Settings`, `train`, `evaluate` and `predict`.
        builder: function that returns the network.
        small: arguments of a small network, for tests.
        settings: what its program changes of the task's settings.
    """

    name: str
    title: str
    paper: str
    task: ModuleType
    builder: Callable[..., keras.Model]
    small: dict
    settings: dict = field(default_factory=dict)


CATALOG = {
    row.name: row
    for row in (
        Row(
            name="unet",
            title="U-Net",
            paper="Ronneberger, Fischer and Brox 2015; 3D: Çiçek et al. 2016",
            task=segmentation,
            builder=applications.unet,
            small={"input_shape": (32, 32, 1), "classes": 2, "filters": (4, 8)},
            settings={"name": "unet", "network": {"filters": (16, 32, 64, 128, 256)}},
        ),
    )
}


def find(name: str) -> Row:
    """Look up an architecture.

    Args:
        name: its name in the catalogue.

    Returns:
        Its row.

    Raises:
        ValueError: for an unknown name, with the known ones.

    Example:
        >>> find("unet").title
        'U-Net'
    """
    if name not in CATALOG:
        raise ValueError(f"the catalogue has no {name!r}; it has {', '.join(CATALOG)}")
    return CATALOG[name]
