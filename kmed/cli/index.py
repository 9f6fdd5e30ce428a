"""The commands that make an index of an archive and search it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kmed.cli.bundles import BundlePath
from kmed.cli.console import catalog, complain, print_table

app = typer.Typer(
    no_args_is_help=True,
    help="Make an index of an archive's images, and find what is nearest to an image or a text.",
)

Folder = Annotated[
    Path | None,
    typer.Option("--index", help="Folder of the index; by default beside the bundle's version."),
]
Archive = Annotated[
    list[Path],
    typer.Argument(
        exists=True,
        help="Pictures, NIfTI, DICOM series, folders of them; for a text tower .txt files with a "
        "sentence in each line.",
        show_default=False,
    ),
]
EveryMm = Annotated[
    float | None, typer.Option(min=0, help="Distance of the slices taken; else as in training.")
]


class Kind(StrEnum):
    """How an index searches."""

    exact = "exact"
    hnsw = "hnsw"
    ivf_pq = "ivf_pq"


@app.command(epilog="Example: kmed index build saved_models/brain-t2 archive")
def build(
    bundle: BundlePath,
    archive: Archive,
    index: Folder = None,
    kind: Annotated[
        Kind,
        typer.Option(
            help="exact compares with everything; hnsw (a graph) and ivf_pq (a tenth of the "
            "memory) are faster for millions."
        ),
    ] = Kind.exact,
    every_mm: EveryMm = None,
) -> None:
    """Embed an archive with one modality's tower and write an index of it.

    The index holds embeddings and the path of each file, nothing else of it. Stopped, the same
    command goes on.
    """
    catalog()
    from kmed.tasks.retrieval import indexing

    failed = indexing.build(
        bundle, archive, index=index, kind=str(kind), every_mm=every_mm, say=typer.echo
    )
    _tell(failed)


@app.command(epilog="Example: kmed index add saved_models/brain-t2 todays-studies")
def add(
    bundle: BundlePath,
    archive: Archive,
    index: Folder = None,
    every_mm: EveryMm = None,
) -> None:
    """Add images to an index; what it has already is left as it is."""
    catalog()
    from kmed.tasks.retrieval import indexing

    failed = indexing.add(bundle, archive, index=index, every_mm=every_mm, say=typer.echo)
    _tell(failed)


@app.command(
    epilog="Examples:\n\nkmed index search saved_models/brain-t1 t1.nii.gz --slice 60\n\n"
    'kmed index search saved_models/reports-text --text "mass in the left lung"'
)
def search(
    bundle: BundlePath,
    query: Annotated[
        Path | None, typer.Argument(exists=True, help="An image.", show_default=False)
    ] = None,
    text: Annotated[str | None, typer.Option(help="A sentence instead of an image.")] = None,
    slice_: Annotated[
        int | None, typer.Option("--slice", min=0, help="Of a volume; by default its middle.")
    ] = None,
    index: Folder = None,
    count: Annotated[int, typer.Option("-k", min=1, help="Number of answers.")] = 10,
) -> None:
    """Find what is nearest to an image or a sentence, read by the bundle of its modality."""
    catalog()
    from kmed.tasks.retrieval import indexing

    rows = indexing.search(bundle, query, text=text, index=index, slice=slice_, k=count)
    print_table(
        ("rank", "cosine", "file", "slice", "position (mm)"),
        (
            (
                str(row["rank"]),
                f"{row['score']:.3f}",
                row.get("text") or row["file"],
                "" if row.get("slice") is None else str(row["slice"]),
                "" if row.get("position_mm") is None else f"{row['position_mm']:.1f}",
            )
            for row in rows
        ),
    )


def _tell(failed: list[tuple[str, str]]) -> None:
    """Say what failed, and exit with status 1 if anything did."""
    for which, why in failed:
        complain(f"failed: {which}: {why}")
    if failed:
        raise typer.Exit(1)
