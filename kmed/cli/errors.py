"""Expected errors are told in one message; any other shows where it came from."""

from __future__ import annotations

import traceback
from typing import Any

import typer
from typer.core import TyperGroup

from kmed.cli.console import complain

_INTERRUPTED = (
    "stopped. The same command (without --fresh) goes on from the last whole epoch and ends with "
    "the same weights"
)
_OF_FILES = (
    FileNotFoundError,
    FileExistsError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


class Commands(TyperGroup):
    """The commands: exit status 2 for an expected error, 130 for an interruption by Ctrl-C."""

    def invoke(self, ctx: typer.Context) -> Any:
        """Run a command and explain its errors, unless `--debug` asks for the traceback."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            goes_on = ctx.invoked_subcommand in ("train", "demo")
            complain(_INTERRUPTED if goes_on else "stopped")
            raise typer.Exit(130) from None
        except Exception as error:
            message = None if ctx.params.get("debug") else explanation(error)
            if message is None:
                raise
            complain(f"error: {message}")
            raise typer.Exit(2) from None


def explanation(error: Exception) -> str | None:
    """Give the message of an error that its message explains.

    Args:
        error: what a command raised.

    Returns:
        The message, or None for an error that was not foreseen and needs its traceback.

    Example:
        >>> explanation(FileNotFoundError("no bundle in saved_models/x"))
        'no bundle in saved_models/x'
        >>> explanation(KeyError("x"))
    """
    if isinstance(error, ValueError):  # DataError and LeakageError are such
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        module = frames[-1].f_globals.get("__name__", "") if frames else "kmed"
        if module.partition(".")[0] == "kmed":
            return str(error)
        return f"{error}\n(from {module}; `kmed --debug COMMAND ...` shows the way there)"
    if isinstance(error, _OF_FILES):
        return str(error)
    if isinstance(error, ImportError):  # of an extra that is not installed; others have a name
        return str(error) if error.name is None else None
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "out of memory: give a smaller --batch-size or --size (`kmed --debug` shows where)"
    if isinstance(error, RuntimeError | AssertionError) and not isinstance(error, typer.Exit):
        from kmed.export import AgreementError
        from kmed.trainers.checkpoints import TrainingDiverged

        return str(error) if isinstance(error, AgreementError | TrainingDiverged) else None
    return None
