"""The commands that use bundles: evaluate, predict, generate, explain, export."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kmed.cli.console import asked, catalog, complain, progress_bar, show_metrics

BundlePath = Annotated[
    Path,
    typer.Argument(
        help="What a training wrote: saved_models/NAME, or saved_models/NAME/VERSION.",
        exists=True,
        show_default=False,
    ),
]
SplitFile = Annotated[Path | None, typer.Option(exists=True, help="A training's split.json.")]
Flips = Annotated[
    bool | None, typer.Option("--flips", help="Average over mirrored images: slower.")
]
BoxFormat = Annotated[
    str | None, typer.Option("--format", help="Boxes: voc, coco, yolo, table or masks.")
]
Fix = Annotated[
    bool | None, typer.Option("--fix", help="Boxes: mend those with faults, do not refuse them.")
]
Overlap = Annotated[
    float | None,
    typer.Option(min=0, max=0.9, help="Masks: of a sliding window with its neighbours."),
]


Inputs = Annotated[
    list[Path],
    typer.Argument(exists=True, help="Pictures, NIfTI, DICOM series.", show_default=False),
]


Extractor = Annotated[
    str | None,
    typer.Option(help="Generators: features of the FID: random, or a classifier's bundle."),
]


class Format(StrEnum):
    """What a bundle can be exported to, beside its SavedModel."""

    tflite = "tflite"
    float16 = "float16"
    int8 = "int8"
    onnx = "onnx"
    openvino = "openvino"


class Variant(StrEnum):
    """How an explanation weights the feature maps."""

    grad_cam = "grad_cam"
    grad_cam_plus = "grad_cam++"


def evaluate(
    bundle: BundlePath,
    data: Annotated[
        Path,
        typer.Argument(exists=True, help="Images with masks, labels or boxes.", show_default=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option(help="Folder of report, cases.csv, metrics.json; else evaluation-NAME."),
    ] = None,
    split_file: SplitFile = None,
    part: Annotated[
        str | None, typer.Option(help="Of a split: train, validation or test (the default).")
    ] = None,
    patient: Annotated[
        str | None, typer.Option(help="Regular expression of one group: the patient in a name.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(exists=True, help="Labels: a CSV file of files and labels.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Labels: regular expression of one group in a file's name.")
    ] = None,
    box_format: BoxFormat = None,
    fix: Fix = None,
    segmenter: Annotated[
        Path | None,
        typer.Option(exists=True, help="Translation: a segmentation's bundle, of the target."),
    ] = None,
    extractor: Extractor = None,
    flips: Flips = None,
    overlap: Overlap = None,
) -> None:
    """Measure a bundle on images with known masks, labels, boxes or translations.

    Gives each measure over the images (or the split file's part of them), with its 95% interval
    over patients, as a table, an HTML report, CSV and JSON.
    """
    measured = catalog().task_of(bundle).evaluate
    options = asked(
        measured, output=output, split_file=split_file, part=part, patient=patient, table=table,
        label=label, format=box_format, fix=fix, flips=flips, overlap=overlap,
        segmenter=segmenter, extractor=extractor,
    )  # fmt: skip
    show_metrics(measured(bundle, data, **options, say=typer.echo))


def predict(
    bundle: BundlePath,
    inputs: Inputs,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("findings"),
    to: Annotated[
        str | None,
        typer.Option(
            help="Masks, translations: nifti, png; auto: NIfTI of volumes, else PNG. Of DICOM: "
            "masks seg (Segmentation), masks and boxes sr (Structured Report), translations dicom."
        ),
    ] = None,
    codes: Annotated[
        Path | None,
        typer.Option(exists=True, help="seg, sr: JSON of labels' codes that kmed does not know."),
    ] = None,
    resample: Annotated[
        bool | None,
        typer.Option("--resample", help="DICOM: of tilted, uneven, incomplete series make a grid."),
    ] = None,
    score: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Boxes: show those of this score; else the bundle's own."),
    ] = None,
    pictures: Annotated[
        bool | None, typer.Option("--pictures/--no-pictures", help="Boxes: draw each image's.")
    ] = None,
    flips: Flips = None,
    overlap: Overlap = None,
) -> None:
    """Find in images and volumes what the bundle was trained to find, or translate them.

    Writes a mask and an overlay picture of each, a table of labels and probabilities of all, the
    boxes of all (COCO JSON, CSV) and a picture of each, or the translated images. The exit status
    is 1 if an input failed; the others are written all the same.
    """
    task = catalog().task_of(bundle)
    options = asked(
        task.predict, to=to, codes=codes, resample=resample, score=score, pictures=pictures,
        flips=flips, overlap=overlap,
    )  # fmt: skip
    with progress_bar(task.predict) as bar:
        done = task.predict(bundle, inputs, output=output, **options, **bar, say=typer.echo)
    _tell(done, output)


def generate(
    bundle: BundlePath,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of images.")] = 16,
    class_name: Annotated[
        str | None, typer.Option("--class", help="By default the classes take turns.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Equal seeds give equal images.")] = 0,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("generated"),
    to: Annotated[
        str, typer.Option(help="png (8 bits), npy or nifti (raw units); auto: NIfTI of volumes.")
    ] = "auto",
) -> None:
    """Make new images with a generator.

    Writes the images and overview.png. They show no patient.
    """
    task = catalog().task_of(bundle)
    if not hasattr(task, "generate"):
        raise ValueError(f"{bundle} makes no new images; kmed predict uses it on images of yours")
    files = task.generate(
        bundle, count, class_name=class_name, seed=seed, output=output, to=to, say=typer.echo
    )
    typer.echo(f"{len(files)} files in {output}")


def explain(
    bundle: BundlePath,
    inputs: Inputs,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("explanations"),
    class_name: Annotated[
        str | None, typer.Option("--class", help="By default what the bundle says of each image.")
    ] = None,
    variant: Annotated[Variant, typer.Option(help="Of Grad-CAM.")] = Variant.grad_cam,
) -> None:
    """Show where in an image the network sees what speaks for a class (Grad-CAM).

    Writes a picture and the map as a NumPy array of each input. It shows where the network looks,
    not whether it is right.
    """
    task = catalog().task_of(bundle)
    if not hasattr(task, "explain"):
        raise ValueError(
            f"{bundle} neither classifies nor segments, which is what explain shows the places of"
        )
    options = asked(task.explain, class_name=class_name)
    done = task.explain(
        bundle, inputs, output=output, variant=str(variant), **options, say=typer.echo
    )
    _tell(done, output)


def _tell(done: Any, output: Path) -> None:
    """Say what was written and what failed, and exit with status 1 if anything did."""
    typer.echo(f"{len(done.written)} files in {output}")
    for which, why in done.failed:
        complain(f"failed: {which}: {why}")
    if any('="resample"' in why for _, why in done.failed):
        complain("kmed predict --resample makes a grid of tilted, uneven or incomplete series")
    if done.failed:
        raise typer.Exit(1)


def export(
    bundle: BundlePath,
    to: Annotated[list[Format], typer.Option(help="May be given again.", show_default=False)],
    data: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="With masks, labels or boxes: for int8's ranges and what it loses."
        ),
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
