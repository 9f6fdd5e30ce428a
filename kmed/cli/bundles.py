"""The commands that use bundles: evaluate, predict, export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kmed.cli.console import catalog, complain, show_metrics

BundlePath = Annotated[
    Path,
    typer.Argument(
        help="What a training wrote: saved_models/NAME, or saved_models/NAME/VERSION.",
        exists=True,
        show_default=False,
    ),
]
SplitFile = Annotated[Path | None, typer.Option(exists=True, help="A training's split.json.")]
Flips = Annotated[bool, typer.Option("--flips", help="Average over mirrored images: slower.")]
Overlap = Annotated[
    float, typer.Option(min=0, max=0.9, help="Of a sliding window with its neighbours.")
]


class Format(StrEnum):
    """What a bundle can be exported to, beside its SavedModel."""

    tflite = "tflite"
    float16 = "float16"
    int8 = "int8"
    onnx = "onnx"
    openvino = "openvino"


def evaluate(
    bundle: BundlePath,
    data: Annotated[
        Path, typer.Argument(exists=True, help="Images with masks.", show_default=False)
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of report, cases.csv, metrics.json; else evaluation-NAME."),
    ] = None,
    split_file: SplitFile = None,
    part: Annotated[str, typer.Option(help="Of a split: train, validation or test.")] = "test",
    flips: Flips = False,
    overlap: Overlap = 0.5,
) -> None:
    """Measure a bundle on images with known masks.

    Gives the mean of each measure over the images (or the split file's part of them), with its 95%
    interval over patients, as a table, an HTML report, CSV and JSON.
    """
    metrics = catalog().task_of(bundle).evaluate(
        bundle, data, output=output, split_file=split_file, part=part, flips=flips,
        overlap=overlap, say=typer.echo,
    )  # fmt: skip
    show_metrics(metrics)


def predict(
    bundle: BundlePath,
    inputs: Annotated[
        list[Path],
        typer.Argument(exists=True, help="Pictures, NIfTI, DICOM series.", show_default=False),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("findings"),
    to: Annotated[
        str, typer.Option(help="nifti, png, or auto: NIfTI of volumes, PNG of pictures.")
    ] = "auto",
    flips: Flips = False,
    overlap: Overlap = 0.5,
) -> None:
    """Segment images and volumes: a mask and an overlay picture of each.

    The exit status is 1 if an input failed; the others are written all the same.
    """
    task = catalog().task_of(bundle)
    done = task.predict(
        bundle, inputs, output=output, to=to, flips=flips, overlap=overlap, say=typer.echo
    )
    typer.echo(f"{len(done.written)} files in {output}")
    for which, why in done.failed:
        complain(f"failed: {which}: {why}")
    if done.failed:
        raise typer.Exit(1)


def export(
    bundle: BundlePath,
    to: Annotated[list[Format], typer.Option(help="May be given again.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(exists=True, help="Images with masks: for int8's ranges and what it loses."),
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(exists=True, help="Images on which each float32 format must equal Keras."),
    ] = None,
) -> None:
    """Add formats to a bundle: TFLite, float16 or int8 TFLite, ONNX, OpenVINO."""
    if Format.int8 in to and data is None:
        raise ValueError("--to int8 takes its value ranges from real images: give --data PATH")
    formats = list(dict.fromkeys(str(one) for one in to))
    task = catalog().task_of(bundle)
    for path in task.export(bundle, formats, data=data, check=check, say=typer.echo):
        typer.echo(f"wrote {path}")
