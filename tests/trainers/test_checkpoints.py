import json

import keras
import numpy as np
import pytest

from kmed.trainers.checkpoints import Checkpoints, TrainingDiverged

X = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
Y = X @ np.float32([[1], [2], [-1], [0.5]])


def model():
    """Dropout, so that the random state matters; Adam, so that the optimizer's state does."""
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
    )
    rate = keras.optimizers.schedules.CosineDecay(0.05, 30)
    network.compile(keras.optimizers.Adam(rate), "mse", jit_compile=False)
    return network


def fit(network, checkpoints, epochs, first=0, **options):
    network.fit(
        X, Y, batch_size=8, epochs=epochs, initial_epoch=first, shuffle=False, verbose=0,
        validation_data=(X, Y), callbacks=[checkpoints], **options,
    )  # fmt: skip


def test_resumed_training_ends_with_the_same_weights_and_log(tmp_path):
    whole, undisturbed = model(), Checkpoints(tmp_path / "whole")
    fit(whole, undisturbed, 6)
    fit(model(), Checkpoints(tmp_path / "parts"), 2)
    second, resumed = model(), Checkpoints(tmp_path / "parts")
    keras.utils.set_random_seed(99)
    first = resumed.restore(second)
    assert first == 2
    fit(second, resumed, 6, first)
    for a, b in zip(whole.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    def without_time(rows):
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]

    assert without_time(resumed.rows) == without_time(undisturbed.rows)
    assert len((tmp_path / "parts" / "log.csv").read_text().splitlines()) == 7


def test_half_written_checkpoints_are_not_taken(tmp_path):
    fit(model(), Checkpoints(tmp_path), 2)
    (tmp_path / "unfinished-0003").mkdir()
    (tmp_path / "unfinished-0003" / "model.weights.h5").write_bytes(b"half")
    assert Checkpoints(tmp_path).restore(model()) == 2
    assert [path.name for path in tmp_path.glob("epoch-*")] == ["epoch-0002"]


def test_best_weights_are_those_of_the_best_epoch(tmp_path):
    checkpoints = Checkpoints(tmp_path, monitor="score", mode="max")
    network = model()
    checkpoints.set_model(network)
    for epoch, score in enumerate([0.5, float("nan"), 0.9, 0.7]):
        network.layers[0].kernel.assign(np.full((4, 8), float(epoch)))
        checkpoints.on_epoch_begin(epoch)
        checkpoints.on_epoch_end(epoch, {"score": score, "loss": 1.0})
    assert (checkpoints.best, checkpoints.best_epoch) == (0.9, 3)
    network.load_weights(checkpoints.best_weights)
    assert float(network.layers[0].kernel[0, 0]) == 2


def test_patience_stops_and_is_remembered(tmp_path):
    checkpoints = Checkpoints(tmp_path, monitor="val_loss", patience=2)
    network = model()
    network.optimizer.build(network.trainable_variables)
    network.stop_training = False
    checkpoints.set_model(network)
    stops = []
    for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.1]):
        checkpoints.on_epoch_begin(epoch)
        checkpoints.on_epoch_end(epoch, {"val_loss": loss, "loss": 1.0})
        stops.append(network.stop_training)
    assert stops == [False, False, False, True]
    again = Checkpoints(tmp_path, monitor="val_loss", patience=2)
    assert again.restore(model()) == 4
    assert again.finished
    assert again.best == 2.0


def test_a_loss_that_is_no_number_stops_with_a_message(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(TrainingDiverged, match="became nan in epoch 1, batch 3"):
        checkpoints.on_train_batch_end(2, {"loss": float("nan")})


def test_any_loss_of_several_stops_a_training_and_nothing_else_does(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.on_train_batch_end(0, {"generator_loss": 1.0, "real_dice": float("nan")})
    with pytest.raises(TrainingDiverged, match="the generator_loss became inf in epoch 1, batch 1"):
        checkpoints.on_train_batch_end(0, {"real_dice": 1.0, "generator_loss": float("inf")})


def test_an_unknown_quantity_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path, monitor="val_dice")
    checkpoints.set_model(model())
    checkpoints.on_epoch_begin(0)
    with pytest.raises(ValueError, match=r"'val_dice', the log has \['loss'\]"):
        checkpoints.on_epoch_end(0, {"loss": 1.0})


def test_state_is_readable(tmp_path):
    fit(model(), Checkpoints(tmp_path), 1)
    state = json.loads((tmp_path / "epoch-0001" / "state.json").read_text())
    assert state["best_epoch"] == 1
    assert set(state["rows"][0]) == {"epoch", "seconds", "loss", "val_loss"}
