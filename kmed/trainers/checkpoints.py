"""Best weights, early stopping, the log, and resumption after the process is killed."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import time
from pathlib import Path

import keras
import numpy as np

from kmed.data.atomic import replacing, write_bytes

_STATE = "state.json"


class TrainingDiverged(RuntimeError):
    """The loss is no longer a number."""


class Checkpoints(keras.callbacks.Callback):
    """Save everything that the next epoch depends on, at the end of each.

    Keras' own BackupAndRestore, EarlyStopping, ModelCheckpoint and CSVLogger each keep state of
    their own, which a killed process loses: a resumed training would forget its best epoch and
    its patience, and go on with other random numbers. Here the weights, the optimizer, the seed
    generators, the log and the patience are one checkpoint, which is on disk whole or not at
    all. Together with batches that depend only on the seed and the epoch, a training that was
    killed ends with the weights of one that was not.

    Args:
        directory: holds `epoch-0007/` (the newest state), `best.weights.h5` and `log.csv`.
        monitor: name of the quantity that decides which epoch is best; None: the last one is.
        mode: "max" or "min".
        patience: epochs without improvement after which the training stops, or None.
    """

    def __init__(
        self,
        directory: str | os.PathLike,
        *,
        monitor: str | None = "val_loss",
        mode: str = "min",
        patience: int | None = None,
    ):
        super().__init__()
        if mode not in ("min", "max"):
            raise ValueError(f'`mode` must be "min" or "max"; received {mode!r}')
        self.directory = Path(directory)
        self.monitor, self.mode, self.patience = monitor, mode, patience
        self.rows: list[dict] = []
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.finished = False

    @property
    def best_weights(self) -> Path:
        """The file of the best epoch's weights."""
        return self.directory / "best.weights.h5"

    def restore(self, model: keras.Model) -> int:
        """Load the newest checkpoint into a compiled model.

        Args:
            model: compiled, with the architecture of the interrupted training.

        Returns:
            The number of epochs done, 0 if there is no checkpoint.
        """
        folders = sorted(self.directory.glob("epoch-[0-9]*[0-9]"))
        if not folders:
            return 0
        folder = folders[-1]
        if hasattr(model, "build_optimizers"):  # else their state has nowhere to go
            model.build_optimizers()
        else:
            model.optimizer.build(model.trainable_variables)
        model.load_weights(folder / "model.weights.h5")
        with np.load(folder / "random.npz") as saved:
            for i, variable in enumerate(_random_state(model)):
                variable.assign(saved[str(i)])
        state = json.loads((folder / _STATE).read_text())
        self.rows, self.best, self.best_epoch = state["rows"], state["best"], state["best_epoch"]
        self.finished = state["finished"]
        return len(self.rows)

    def on_epoch_begin(self, epoch, logs=None):
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        """Stop at once where a loss has become infinite or not a number."""
        for name, value in (logs or {}).items():
            if name.endswith("loss") and not math.isfinite(value):
                raise TrainingDiverged(
                    f"the {name} became {value} in epoch {len(self.rows) + 1}, batch {batch + 1}; "
                    "lower the learning rate or check the data. The last whole epoch's state is "
                    f"in {self.directory}"
                )

    def on_epoch_end(self, epoch, logs=None):
        """Log, keep the best weights, and save the state."""
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if self.monitor is not None and self.monitor not in logs:
            raise ValueError(
                f"`monitor` must name a quantity of the log; received {self.monitor!r}, "
                f"the log has {sorted(logs)}"
            )
        seconds = round(time.monotonic() - self._started, 2)
        self.rows.append({"epoch": epoch + 1, "seconds": seconds, **logs})
        sign = 1 if self.mode == "max" else -1
        value = sign * (epoch + 1) if self.monitor is None else logs[self.monitor]
        if math.isnan(value):  # a mean Dice where no image had or got any structure
            value = -sign * math.inf
        if self.best is None or sign * value > sign * self.best:
            self.best, self.best_epoch = value, epoch + 1
            with replacing(self.best_weights) as unfinished:
                self.model.save_weights(unfinished)
        if self.patience is not None and epoch + 1 - self.best_epoch >= self.patience:
            self.finished = self.model.stop_training = True
        self._save(epoch + 1)
        self._write_log()

    def _save(self, done: int) -> None:
        folder = self.directory / f"epoch-{done:04d}"
        unfinished = self.directory / f"unfinished-{done:04d}"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.model.save_weights(unfinished / "model.weights.h5")
        state = {str(i): np.asarray(v) for i, v in enumerate(_random_state(self.model))}
        np.savez(unfinished / "random.npz", **state)
        names = ("rows", "best", "best_epoch", "finished")
        (unfinished / _STATE).write_text(json.dumps({name: getattr(self, name) for name in names}))
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
        for old in self.directory.glob("epoch-[0-9]*[0-9]"):
            if old != folder:
                shutil.rmtree(old)

    def _write_log(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_bytes(self.directory / "log.csv", text.getvalue().encode())


def _random_state(model: keras.Model) -> list[keras.Variable]:
    """Seed generators of dropout and the like: Keras saves them with no checkpoint."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
