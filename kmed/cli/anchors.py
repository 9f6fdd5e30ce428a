"""The command that finds anchors for a user's own boxes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kmed.cli.bundles import BoxFormat, Fix
from kmed.cli.console import catalog, print_table
from kmed.cli.training import Seed


def anchors(
    data: Annotated[
        Path, typer.Argument(exists=True, help="Images with boxes.", show_default=False)
    ],
    count: Annotated[int, typer.Option(min=1, help="Anchors: YOLOv3 has 9, the tiny one 6.")] = 9,
    size: Annotated[
        str | None, typer.Option(help="Network's input: height,width; else the images' own size.")
    ] = None,
    fit: Annotated[str, typer.Option(help="How images meet it: resize or letterbox.")] = (
        "letterbox"
    ),
    box_format: BoxFormat = None,
    fix: Fix = None,
    seed: Seed = None,
) -> None:
    """Find the anchors that fit the boxes of a data set, and say how well they do.

    By k-means with the distance 1 - IoU, over the training part where the data declare one. The
    recall is the share of boxes whose best anchor overlaps them by one half or more.
    """
    catalog()
    from kmed.tasks.detection.anchors import anchors_of

    sides = None
    if size is not None:
        try:
            sides = tuple(int(number) for number in size.split(","))
        except ValueError:
            sides = ()
        if len(sides) != 2 or min(sides) < 1:
            raise ValueError(f"--size takes height,width in pixels; received {size!r}")
    found, boxes = anchors_of(
        data, count, size=sides, fit=fit, format=box_format, fix=bool(fix), seed=seed or 0
    )
    rows = [
        (str(i), f"{width:.1f}", f"{height:.1f}")
        for i, (width, height) in enumerate(found.anchors, start=1)
    ]
    print_table(("anchor", "width (px)", "height (px)"), rows)
    typer.echo(
        f"{boxes} boxes: recall {found.recall:.4f} at an overlap of one half, mean overlap with "
        f"the best anchor {found.mean_iou:.4f}"
    )
    listed = [[round(float(side), 1) for side in anchor] for anchor in found.anchors]
    typer.echo(f"kmed train yolov3 --set 'codec.anchors={listed}'")
