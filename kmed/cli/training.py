"""The commands that make bundles: demo, list, train."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from kmed.cli.console import catalog, given, print_table, show_run

Seed = Annotated[int | None, typer.Option(help="Seed of all randomness; by default 0.")]
SplitFile = Annotated[Path | None, typer.Option(exists=True, help="A training's split.json.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Passes over the training images.")]


def demo(
    folder: Annotated[Path, typer.Argument(help="Everything goes here.")] = Path("kmed-demo"),
    patients: Annotated[int | None, typer.Option(min=3, help="Studies to make.")] = None,
    epochs: Epochs = None,
    seed: Seed = None,
) -> None:
    """Walk the whole road on synthetic patients, in a few minutes.

    Makes phantom CT studies, trains a U-Net, measures and exports it, segments a study that it has
    not seen, and writes an HTML report.
    """
    options = given(patients=patients, epochs=epochs, seed=seed)
    show_run(catalog().find("unet").task.demo(folder, **options, say=typer.echo))


def list_(
    name: Annotated[
        str | None, typer.Argument(help="Show this one's settings.", show_default=False)
    ] = None,
) -> None:
    """List the architectures, or all settings of one with their defaults."""
    known = catalog()
    if name is None:
        rows = [
            (row.name, row.task.__name__.rpartition(".")[2], row.title, row.paper)
            for row in known.CATALOG.values()
        ]
        print_table(("name", "task", "what", "paper"), rows)
        return
    row = known.find(name)
    settings = row.task.Settings(**row.settings)
    fields = dataclasses.fields(settings)
    rows = [(f.name, str(getattr(settings, f.name)), f.metadata.get("help", "")) for f in fields]
    print_table(("--set ...", "default", "meaning"), rows)


def train(
    ctx: typer.Context,
    name: Annotated[
        str, typer.Argument(help="An architecture of `kmed list`.", show_default=False)
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Masks: a folder with images/ and masks/, a Decathlon or nnU-Net data set, an "
            ".npz file; without it, phantom studies are made. Labels: a folder with one folder "
            "for each class, a CSV table, an .npz file (MedMNIST). Boxes: Pascal VOC, COCO, YOLO, "
            "a CSV table, masks. Retrieval: volumes of two modalities (p1_t1.nii.gz, p1_t2.nii.gz; "
            "DICOM), a CSV or JSON lines file of images and sentences. Translation: the same "
            "volumes, or two folders of images. Synthesis: images, with classes or without.",
        ),
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="Names of the classes: background,lung")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Network's input: 256,256, or depth,height,width (3D).")
    ] = None,
    preprocessor: Annotated[
        str | None, typer.Option(help="What the pixels are: ct (in HU), mr, xray or rgb.")
    ] = None,
    epochs: Epochs = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a batch, all devices.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The optimizer's peak.")] = None,
    seed: Seed = None,
    devices: Annotated[int | None, typer.Option(help="Number of GPUs; by default all.")] = None,
    training: Annotated[
        str | None, typer.Option("--name", help="The bundle goes to saved_models/NAME.")
    ] = None,
    run_dir: Annotated[
        str | None, typer.Option(help="Checkpoints and logs; by default runs/NAME.")
    ] = None,
    split_file: SplitFile = None,
    resume: Annotated[
        bool | None,
        typer.Option("--resume/--fresh", help="Go on with an interrupted training, or start anew."),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Any setting of `kmed list NAME`; may be given again. network.KEY=VALUE is an "
            "argument of the network. Values are JSON or plain text.",
        ),
    ] = None,
) -> None:
    """Train a network on your data, measure it on patients it has not seen, and export it.

    Takes images with masks, labels or boxes (`kmed list` tells the task). Gives
    saved_models/NAME/VERSION (SavedModel, TFLite, model card), and in runs/NAME the report, the
    split, curves and checkpoints. An interrupted training goes on when the same command is given
    again. `kmed list NAME` shows every setting with its default.
    """
    row = catalog().find(name)
    from kmed.tasks.assignments import assigned

    typed = given(
        preprocessor=preprocessor, epochs=epochs, batch_size=batch_size, seed=seed, name=training,
        learning_rate=learning_rate, devices=devices, run_dir=run_dir, resume=resume,
        data=data and str(data), split_file=split_file and str(split_file),
    )  # fmt: skip
    texts = [f"{key}={text}" for key, text in given(labels=labels, size=size).items()]
    texts += [f"{key}={json.dumps(value)}" for key, value in typed.items()]
    defaults = {**row.settings, **(ctx.obj or {})}
    settings = assigned(row.task.Settings, row.builder, defaults, texts + (assignments or []))
    if settings.data is None and hasattr(settings, "patients"):
        typer.echo("no --data: makes phantom studies (synthetic patients) and trains on them")
    show_run(row.task.train(row.builder, settings, say=typer.echo, verbose="auto"))
