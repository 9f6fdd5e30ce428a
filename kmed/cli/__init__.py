"""The command line: `kmed demo | list | train | evaluate | predict | export | index` and more.

Nothing heavy is imported before a command needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

import kmed
from kmed.cli import anchors, bundles, dicom, index, training
from kmed.cli.errors import Commands

app = typer.Typer(
    cls=Commands,
    name="kmed",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # a plain traceback: no local variables of patients' data
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: kmed demo\n\nThen, with data of your own:\n\n"
    "kmed train unet --data PATH --epochs 20\n\n"
    "kmed predict saved_models/unet image.png --output found\n\n"
    "kmed COMMAND --help explains each command, with examples.",
)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status.

    Args:
        arguments: as typed after `kmed`; by default those of the process.
    """
    app(args=arguments, prog_name="kmed")


def program(
    name: str,
    arguments: list[str] | None = None,
    *,
    settings: dict[str, Any] | None = None,
    models: bool = False,
) -> None:
    """Run `kmed train NAME`, as the programs in applications/ do, and exit with its status.

    Args:
        name: an architecture of the catalogue.
        arguments: options of `kmed train`; by default those of the process.
        settings: the program's own defaults, over the catalogue's and under the arguments.
        models: whether `--model NAME` among the arguments chooses another architecture.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if models:
        name, arguments = _model(name, arguments)
        settings = {**(settings or {}), "name": name}
    before = ["--debug"] if "--debug" in arguments else []
    rest = [argument for argument in arguments if argument != "--debug"]
    app(args=[*before, "train", name, *rest], prog_name="kmed", obj=settings)


def _model(name: str, arguments: list[str]) -> tuple[str, list[str]]:
    """Take `--model NAME` or `--model=NAME` out of arguments."""
    rest = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option == "--model":
            name = value if equals else next(words, "")
        else:
            rest.append(word)
    return name, rest


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kmed {kmed.__version__}")
        raise typer.Exit()


@app.callback()
def _kmed(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Before a command: show where an error came from.")
    ] = False,
) -> None:
    """From medical images to findings: train a network, measure it, export it, use it.

    Not a medical device.
    """


app.command("demo", epilog="Example: kmed demo my-first-run")(training.demo)
app.command("list", epilog="Examples:\n\nkmed list\n\nkmed list unet")(training.list_)
app.command(
    "train",
    epilog="Examples:\n\nkmed train unet --epochs 5\n\n"
    "kmed train unet --data lungs --labels background,lung --preprocessor xray --name lungs\n\n"
    "kmed train unet --data Task04_Hippocampus --preprocessor mr --size 32,48,32 --name memory\n\n"
    "kmed train unet --set loss=dice --set network.filters=8,16,32\n\n"
    "kmed train resnet18 --data pneumoniamnist.npz --size 28,28 --set network.stem=small\n\n"
    "kmed train ssd --data cells --preprocessor rgb --size 240,320\n\n"
    "kmed train contrastive --data reports.csv --set modalities=image,text\n\n"
    "kmed train pix2pix --data brains --set modalities=t1,t2",
)(training.train)
app.command(
    "anchors",
    epilog="Examples:\n\nkmed anchors cells\n\n"
    "kmed anchors cells --count 6 --size 416,416 --fit letterbox",
)(anchors.anchors)
app.command(
    "evaluate",
    epilog="Example: kmed evaluate saved_models/lungs other-hospital --output evaluation\n\n"
    "For a training's own figures: its data, and --split-file runs/NAME/split.json.",
)(bundles.evaluate)
app.command(
    "predict",
    epilog="Examples:\n\nkmed predict saved_models/lungs chest.png\n\n"
    "kmed predict saved_models/liver ct-series --output found --to sr",
)(bundles.predict)
app.command(
    "generate",
    epilog="Examples:\n\nkmed generate saved_models/dcgan -n 64\n\n"
    "kmed generate saved_models/dcgan --class Hand --seed 7 --output hands",
)(bundles.generate)
app.command(
    "explain",
    epilog="Examples:\n\nkmed explain saved_models/pneumonia chest.png\n\n"
    "kmed explain saved_models/pneumonia chest.png --class pneumonia --variant grad_cam++",
)(bundles.explain)
app.command(
    "export",
    epilog="Examples:\n\nkmed export saved_models/lungs --to onnx --to float16\n\n"
    "kmed export saved_models/lungs --to int8 --data lungs --check lungs/images",
)(bundles.export)
app.add_typer(index.app, name="index")
app.add_typer(dicom.app, name="dicom")
