"""What the commands share with the terminal: a quiet start, messages, tables."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import typer

# Of all that metrics.json and the report have, what fits a terminal.
SHOWN_MEASURES = (
    *("dice", "iou", "hd95_mm", "surface_dice", "volume_difference_ml"),
    *("ap50", "ap", "froc", "precision"),
    *("auc", "average_precision", "accuracy", "balanced_accuracy", "sensitivity", "specificity"),
    *("f1", "kappa", "ece", "brier"),
    *("mae", "psnr", "ssim", "ms_ssim", "dice_of_real", "dice_ratio"),
    *("fid", "kid", "conditional_accuracy", "diversity", "copies"),
    *("recall_1", "recall_10", "recall_1_among_100", "median_rank", "map_r", "error_mm"),
)


def catalog() -> ModuleType:
    """Import the catalogue, and TensorFlow with it, without the lines that its start prints."""
    return quietly("kmed.catalog")


def quietly(module: str) -> ModuleType:
    """Import a module, and TensorFlow with it, without the lines that its start prints.

    Args:
        module: its full name.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _quiet():
        return importlib.import_module(module)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what C++ writes to standard error; shown after all if an import fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def given(**options: Any) -> dict[str, Any]:
    """Leave out the options that were not typed.

    Example:
        >>> given(epochs=3, seed=None)
        {'epochs': 3}
    """
    return {name: value for name, value in options.items() if value is not None}


@contextlib.contextmanager
def progress_bar(function: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Show a bar for a function that tells its progress, on a terminal.

    Args:
        function: perhaps with an argument `progress`, called with the number done and of all.

    Yields:
        The argument, or nothing for a function that has none.
    """
    if "progress" not in inspect.signature(function).parameters:
        yield {}
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield {"progress": lambda done, total: bar.update(task, completed=done, total=total)}


def asked(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Leave out the options that were not typed, and refuse those that a task does not have.

    Args:
        function: what they are for.
        **options: as typed, None for those that were not.

    Returns:
        The typed ones.

    Raises:
        ValueError: for a typed option that the function does not take.

    Example:
        >>> asked(lambda path, flips=False: None, flips=True, overlap=None)
        {'flips': True}
    """
    typed, known = given(**options), inspect.signature(function).parameters
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        for name in typed:
            if name not in known:
                option = "--" + name.replace("_", "-")
                raise ValueError(f"{option} is not for bundles of this task")
    return typed


def complain(message: str) -> None:
    """Print a message in red to standard error."""
    typer.secho(message, fg=typer.colors.RED, err=True)


def show_run(run: Any) -> None:
    """Print what a training measured and where its results are."""
    show_metrics(run.metrics)
    typer.echo(f"bundle: {run.bundle_path}\nreport: {run.report_path}")


def show_metrics(metrics: Mapping[str, Mapping[str, Any]]) -> None:
    """Print `{class: {measure: Interval}}` as a table, an interval as "value [low, high]"."""
    rows = [
        (name if i == 0 else "", measure, _interval(interval), str(interval.n))
        for name, measures in metrics.items()
        for i, (measure, interval) in enumerate(
            (measure, measures[measure]) for measure in SHOWN_MEASURES if measure in measures
        )
    ]
    print_table(("class", "measure", "value [95% interval]", "patients"), rows)


def print_table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table of plain texts as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for title in titles:
        table.add_column(Text(title), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _interval(interval: Any) -> str:
    text = _number(interval.value)
    if math.isfinite(interval.low) and math.isfinite(interval.high):
        text += f" [{_number(interval.low)}, {_number(interval.high)}]"
    return text + (f", {interval.omitted} not finite" if interval.omitted else "")


def _number(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else "-"
