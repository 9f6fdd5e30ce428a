"""The table of architectures: one literal row each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import keras

from kmed import applications
from kmed.export import bundle_folder
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


def task_of(bundle_path: str | Path) -> ModuleType:
    """Find the flow that a bundle belongs to.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.

    Returns:
        The task's module.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: if the bundle is of a task that this version does not have.
    """
    folder = bundle_folder(bundle_path)
    facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    name = facts["metadata"].get("task", "segmentation")
    tasks = {row.task.__name__.rpartition(".")[2]: row.task for row in CATALOG.values()}
    if name not in tasks:
        raise ValueError(f"{folder} is for the task {name!r}; this kmed has {', '.join(tasks)}")
    return tasks[name]
