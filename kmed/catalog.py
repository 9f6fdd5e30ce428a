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
from kmed.tasks import (
    classification,
    detection,
    retrieval,
    segmentation,
    synthesis,
    translation,
)


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


_SMALL_CLASSIFIER = {"input_shape": (64, 64, 1), "classes": 3}
_VGG_PAPER = "Simonyan and Zisserman 2015"
_RESNET_PAPER = "He et al. 2016"
_SSD_PAPER = "Liu et al. 2016"
_YOLO_PAPER = "Redmon and Farhadi 2018"
_FCN_PAPER = "Long, Shelhamer and Darrell 2015"


def _row(
    task: ModuleType,
    name: str,
    title: str,
    paper: str,
    small: dict,
    settings: dict | None = None,
    builder: str | None = None,
) -> Row:
    return Row(
        name=name,
        title=title,
        paper=paper,
        task=task,
        builder=getattr(applications, builder or name),
        small=small,
        settings={"name": name} | (settings or {}),
    )


def _vgg(depth: int) -> Row:
    small = {"filters": (2, 4, 4, 4, 4), "dense_units": (8, 8), "dropout": 0.0}
    small, settings = _SMALL_CLASSIFIER | small, {"learning_rate": 1e-4}
    title = f"VGG of {depth} layers"
    return _row(classification, f"vgg{depth}", title, _VGG_PAPER, small, settings)


def _resnet(depth: int) -> Row:
    small, title = _SMALL_CLASSIFIER | {"width": 4}, f"ResNet of {depth} layers, 2D and 3D"
    return _row(classification, f"resnet{depth}", title, _RESNET_PAPER, small)


def _fcn(name: str, title: str, small: dict) -> Row:
    small = {"input_shape": (64, 64, 1), "classes": 2, "dropout": 0.0} | small
    return _row(segmentation, name, title, _FCN_PAPER, small, {"learning_rate": 1e-4})


def _segnet(name: str, title: str, filters: tuple[int, ...]) -> Row:
    # With batch normalisation rounding moves values across its switches, and no two trainings of
    # it stay together for ten steps.
    small = {"input_shape": (64, 64, 1), "classes": 2, "filters": filters, "normalization": None}
    paper = "Badrinarayanan, Kendall and Cipolla 2017"
    return _row(segmentation, name, title, paper, small, {"loss": "median_frequency"})


def _detector(name: str, title: str, paper: str, detector: str, small: dict, settings: dict) -> Row:
    return _row(detection, name, title, paper, small, {"detector": detector} | settings)


def _ssd(name: str, title: str, size: int | tuple[int, int], small: dict) -> Row:
    return _detector(name, title, _SSD_PAPER, "ssd", small, {"size": (size, size)})


def _yolov3(name: str, title: str, small: dict) -> Row:
    settings = {"size": (416, 416), "fit": "letterbox", "anchors": "data"}
    small = {"input_shape": (64, 64, 1), "classes": 3} | small
    return _detector(name, title, _YOLO_PAPER, "yolov3", small, settings)


def _retrieval(name: str, title: str, paper: str, settings: dict) -> Row:
    small = {
        "input_shape": (64, 64, 1),
        "dimension": 8,
        "backbone": "vgg11",
        "backbone_options": {"filters": (2, 4, 4, 4, 4)},
    }
    return _row(retrieval, name, title, paper, small, settings, "embedding")


_SMALL_SSD = {
    "input_shape": (300, 300, 1),
    "classes": 3,
    "filters": (4, 8, 8, 8, 8),
    "dense_filters": 16,
    "extra_filters": (8, 8, 8, 8),
}
_SMALL_YOLO = {"backbone": "resnet18", "backbone_options": {"width": 4}}
_SMALL_FCN = {
    "backbone_options": {"filters": (2, 4, 4, 4, 4)},
    "head_units": (8, 8),
}

CATALOG = {
    row.name: row
    for row in (
        Row(
            name="unet",
            title="U-Net, 2D and 3D",
            paper="Ronneberger, Fischer and Brox 2015; 3D: Çiçek et al. 2016",
            task=segmentation,
            builder=applications.unet,
            small={"input_shape": (32, 32, 1), "classes": 2, "filters": (4, 8)},
            settings={"name": "unet", "network": {"filters": (16, 32, 64, 128, 256)}},
        ),
        _fcn("fcn32s", "FCN of stride 32", _SMALL_FCN),
        _fcn("fcn16s", "FCN of stride 16", _SMALL_FCN),
        _fcn("fcn8s", "FCN of stride 8", _SMALL_FCN),
        _fcn(
            "fcn_resnet50",
            "FCN on a dilated ResNet-50",
            {"backbone_options": {"width": 4}, "head_units": 8},
        ),
        _segnet("segnet", "SegNet", (2, 4, 4, 4, 4)),
        _segnet("segnet_basic", "SegNet-Basic", (4, 4, 4, 4)),
        Row(
            name="alexnet",
            title="AlexNet",
            paper="Krizhevsky, Sutskever and Hinton 2012; in one column: Krizhevsky 2014",
            task=classification,
            builder=applications.alexnet,
            small=_SMALL_CLASSIFIER
            | {"filters": (4, 4, 8, 8, 4), "dense_units": (8, 8), "dropout": 0.0},
            settings={"name": "alexnet", "learning_rate": 1e-4},
        ),
        *map(_vgg, (11, 13, 16, 19)),
        *map(_resnet, (18, 34, 50, 101, 152)),
        _ssd(
            "ssd",
            "SSD on any backbone",
            300,
            {
                "input_shape": (64, 64, 1),
                "classes": 3,
                "backbone_options": {"width": 4},
                "extra_filters": (8,),
                "head_filters": 8,
            },
        ),
        _ssd("ssd300", "SSD300 on VGG16", 300, _SMALL_SSD),
        _ssd("ssd512", "SSD512 on VGG16", 512, _SMALL_SSD | {"extra_filters": (8, 8, 8, 8, 8)}),
        _yolov3("yolov3", "YOLOv3 on Darknet-53", _SMALL_YOLO),
        _yolov3("yolov3_spp", "YOLOv3 with spatial pyramid pooling", _SMALL_YOLO),
        _yolov3("yolov3_tiny", "tiny YOLOv3", {"width": 2}),
        _detector(
            "faster_rcnn",
            "Faster R-CNN on a feature pyramid",
            "Ren et al. 2015; Lin et al. 2017",
            "faster_rcnn",
            {
                "input_shape": (64, 64, 1),
                "classes": 3,
                "backbone": "resnet18",
                "backbone_options": {"width": 4},
                "pyramid_channels": 8,
                "head_units": 8,
                "anchor_sizes": (8, 16, 24, 32, 48),
                "proposals": 20,
            },
            {"size": (512, 512), "fit": "letterbox", "batch_size": 2},
        ),
        _retrieval(
            "triplet",
            "cross-modal retrieval by triplets",
            "Schroff, Kalenichenko and Philbin 2015; Hermans, Beyer and Leibe 2017",
            {
                "loss": "triplet_semihard",
                "loss_options": {"margin": 0.2, "distance_metric": "squared-L2"},
            },
        ),
        _retrieval(
            "contrastive",
            "cross-modal retrieval by contrast, of images and of text",
            "Hadsell, Chopra and LeCun 2006; Radford et al. 2021",
            {"loss": "infonce"},
        ),
        _row(
            synthesis,
            "dcgan",
            "DCGAN: new images, of a class too, 2D and 3D",
            "Radford, Metz and Chintala 2016; Miyato and Koyama 2018",
            {"input_shape": (32, 32, 1), "latent": 8, "filters": 16, "normalization": None},
            builder="dcgan_generator",
        ),
        _row(
            translation,
            "cyclegan",
            "CycleGAN: translation without pairs, both ways",
            "Zhu et al. 2017",
            {"input_shape": (32, 32, 1), "blocks": 1, "filters": 16},
            {"algorithm": "cyclegan", "loss": "least_squares"},
            builder="cyclegan_generator",
        ),
        _row(
            translation,
            "pix2pix",
            "Pix2Pix: translation from pairs",
            "Isola et al. 2017",
            {
                "input_shape": (32, 32, 1),
                "levels": 3,
                "filters": 16,
                "dropout": 0.0,
                "normalization": None,
            },
            {"algorithm": "pix2pix"},
            builder="pix2pix_generator",
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
        'U-Net, 2D and 3D'
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
