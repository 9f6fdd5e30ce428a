"""The whole road on synthetic studies, in a few minutes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kmed.applications import unet
from kmed.tasks.runs import Run
from kmed.tasks.segmentation.settings import Settings
from kmed.tasks.segmentation.training import train
from kmed.tasks.segmentation.use import predict

SETTINGS = Settings(
    name="phantom_unet",
    size=(96, 96),
    network={"filters": (12, 24, 48, 96)},
    patients=24,
    epochs=24,
    batch_size=16,
    learning_rate=3e-3,
    flip="none",  # the liver is on one side
    window_hu=(40.0, 400.0),
)


def demo(
    folder: str | Path = "kmed-demo",
    *,
    patients: int = SETTINGS.patients,
    epochs: int = SETTINGS.epochs,
    seed: int = 0,
    say: Callable[[str], None] = print,
) -> Run:
    """Make phantom studies, train, measure, export, predict a held-out study, and report.

    Args:
        folder: everything goes here.
        patients: number of studies.
        epochs: passes over the training studies.
        seed: of everything.
        say: told what is being done.

    Returns:
        Where the bundle and the report are and what was measured.

    Raises:
        ValueError: if the folder holds a demo of other settings.
    """
    folder = Path(folder)
    settings = SETTINGS.replaced(
        patients=patients,
        epochs=epochs,
        seed=seed,
        run_dir=str(folder / "run"),
        saved_models=str(folder / "saved_models"),
    )
    run = train(unet, settings, say=say, verbose=2)
    series = Path(run.split.test[0].files[0]).parent
    say("predicting a study that the network has not seen, from its DICOM files")
    predict(run.bundle_path, [series], output=folder / "findings", say=say)
    say(f"findings: {folder / 'findings'}")
    return run
