"""The commands that look into DICOM, convert it, and take the patient out of it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kmed.cli.console import complain, given, progress_bar, quietly

app = typer.Typer(
    no_args_is_help=True,
    help="See what DICOM folders hold, write them as NIfTI, take the patients' identity out.",
)

Sources = Annotated[
    list[Path],
    typer.Argument(
        exists=True, help="Folders, files, zip archives or a DICOMDIR.", show_default=False
    ),
]


class Resample(StrEnum):
    """What is done with slices that are no regular grid."""

    refuse = "refuse"
    resample = "resample"


class Missing(StrEnum):
    """What is done where slices are missing."""

    refuse = "refuse"
    largest_block = "largest_block"
    resample = "resample"


class Duplicates(StrEnum):
    """What is done with two slices at one place."""

    refuse = "refuse"
    first = "first"


class Values(StrEnum):
    """Which values are written."""

    units = "units"
    stored = "stored"
    suv = "suv"


class Dates(StrEnum):
    """What becomes of dates and times."""

    remove = "remove"
    shift = "shift"
    keep = "keep"


class Retained(StrEnum):
    """What the profile's options retain."""

    uids = "uids"
    patient = "patient"
    device = "device"
    institution = "institution"
    safe_private = "safe_private"


@app.command(epilog="Examples:\n\nkmed dicom inspect archive\n\nkmed dicom inspect disc.zip --json")
def inspect(
    sources: Sources,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    identifiers: Annotated[
        bool, typer.Option("--ids", help="Show Patient IDs; else patients are numbered.")
    ] = False,
) -> None:
    """Show patients, studies and series as a tree, with shapes, spacings and problems.

    Only headers are read. Each volume that can't be read as it is says why, what was measured and
    which option decides. Files that are no image, or broken, are listed with the reason.
    """
    dicom = quietly("kmed.data.dicom")
    content = dicom.described(dicom.volumes_of(sources), identifiers=identifiers)
    if as_json:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False))
        return
    _print_tree(content)


@app.command(
    epilog="Examples:\n\nkmed dicom convert archive --output volumes\n\n"
    "kmed dicom convert head-ct --tilt resample --spacing resample"
)
def convert(
    sources: Sources,
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("volumes"),
    series: Annotated[
        str | None, typer.Option(help="Only the series of this Series Instance UID.")
    ] = None,
    tilt: Annotated[Resample, typer.Option(help="Of a tilted gantry.")] = Resample.refuse,
    spacing: Annotated[Resample, typer.Option(help="Where it is uneven.")] = Resample.refuse,
    missing: Annotated[Missing, typer.Option(help="Slices.")] = Missing.refuse,
    duplicates: Annotated[Duplicates, typer.Option(help="Slices.")] = Duplicates.refuse,
    tolerate_mm: Annotated[
        float | None, typer.Option(min=0, help="How far a slice may lie off the regular grid.")
    ] = None,
    values: Annotated[
        Values, typer.Option(help="units: HU of CT, what the rescale gives of others.")
    ] = Values.units,
) -> None:
    """Write every volume as NIfTI (.nii.gz) with the affine that its positions give.

    Files are named after folders, not after patients. The exit status is 1 if a volume was
    refused; the others are written all the same.
    """
    dicom = quietly("kmed.data.dicom")
    decisions = given(
        series_uid=series, tilt=str(tilt), spacing=str(spacing), missing=str(missing),
        duplicates=str(duplicates), tolerate_mm=tolerate_mm, values=str(values),
    )  # fmt: skip
    written, failed = dicom.to_nifti_files(sources, output, say=typer.echo, **decisions)
    typer.echo(f"{len(written)} files in {output}")
    _fail(failed)


@app.command(
    epilog="Examples:\n\nkmed dicom deidentify study --output public --key study.key\n\n"
    "kmed dicom deidentify study --output public --key study.key --dates shift --retain patient"
)
def deidentify(
    sources: Sources,
    output: Annotated[Path, typer.Option(help="Folder to write to.", show_default=False)],
    key: Annotated[
        Path,
        typer.Option(
            help="Secret file that pseudonyms and shifts of dates come from; made if absent. Keep "
            "it with the originals.",
            show_default=False,
        ),
    ],
    dates: Annotated[
        Dates, typer.Option(help="shift: by a number of days of each patient.")
    ] = Dates.remove,
    retain: Annotated[
        list[Retained] | None, typer.Option(help="May be given again.", show_default=False)
    ] = None,
    allow_burned_in: Annotated[
        bool,
        typer.Option(
            "--allow-burned-in", help="Also images that may show text: ultrasound, screen captures."
        ),
    ] = False,
) -> None:
    """Write copies by DICOM's Basic Application Level Confidentiality Profile (PS3.15).

    UIDs and Patient IDs become pseudonyms of the key, the same in every run. Images in which text
    may be burned in, reports and private objects are refused and listed; the exit status is then
    1. Pixels are not looked at. Stopped, the same command goes on.
    """
    dicom = quietly("kmed.data.dicom")
    options = dicom.Options(
        dates=str(dates),
        allow_burned_in=allow_burned_in,
        **{f"retain_{name}": True for name in retain or ()},
    )
    with progress_bar(dicom.deidentify) as bar:
        report = dicom.deidentify(sources, output, key_file=key, options=options, **bar)
    typer.echo(
        f"{len(report.written)} files in {output}"
        + (f", {len(report.kept)} were there" if report.kept else "")
    )
    _fail([(one.name, str(one.error).removeprefix(f"{one.name}: ")) for one in report.refused])


def _print_tree(content: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    for patient in content["patients"]:
        tree = Tree(Text(patient["patient"] or "no Patient ID"))
        for study in patient["studies"]:
            branch = tree.add(Text(f"study {study['study_uid']}"))
            for series in study["series"]:
                title = f"{series['modality'] or 'no modality'}  {series['series_uid']}"
                node = branch.add(Text(f"{title}  {series['folder']}"))
                for volume in series["volumes"]:
                    _add_volume(node, volume)
                for one in series["left_out"]:
                    node.add(Text(f"left out: {one['file']}: {one['reason']}", "yellow"))
        Console().print(tree)
    if not content["patients"]:
        typer.echo("no DICOM images")
    for one in content["left_out"]:
        complain(f"left out: {one['file']}: {one['reason']}")


def _add_volume(node, volume: dict[str, Any]) -> None:
    from rich.text import Text

    text = " x ".join(str(length) for length in volume["shape"])
    if volume["spacing_mm"]:
        text += "  " + " x ".join(f"{length:g}" for length in volume["spacing_mm"]) + " mm"
    if volume["split_by"]:
        text += "  " + ", ".join(f"{name} {value}" for name, value in volume["split_by"].items())
    leaf = node.add(Text(text))
    for problem in volume["problems"]:
        leaf.add(Text(problem, "yellow"))
    if "error" in volume:
        leaf.add(Text(f"{volume['error']['type']}: {volume['error']['message']}", "red"))


def _fail(failed: list[tuple[str, str]]) -> None:
    """Say what failed, and exit with status 1 if anything did."""
    for which, why in failed:
        complain(f"failed: {which}: {why}")
    if failed:
        raise typer.Exit(1)
