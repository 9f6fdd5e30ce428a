"""One processor, one GPU or all of them: where a training runs and what the device asks for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

PRECISIONS = ("auto", "float32", "mixed_float16", "mixed_bfloat16")


def strategy(devices: int | None = None) -> tf.distribute.Strategy:
    """Choose the devices of a training.

    Args:
        devices: how many; None takes every visible GPU, or the processor where there is none.
            Without GPUs, logical processors are counted (for tests).

    Returns:
        The default strategy for one device, a `MirroredStrategy` for several.

    Raises:
        ValueError: if there are fewer devices than asked for.
    """
    found = tf.config.list_logical_devices("GPU")
    if not found:
        found = tf.config.list_logical_devices("CPU")
        devices = 1 if devices is None else devices
    wanted = len(found) if devices is None else devices
    if not 1 <= wanted <= len(found):
        raise ValueError(
            f"`devices` must be between 1 and the number of visible devices, {len(found)} "
            f"({found[0].device_type}); received {wanted}"
        )
    names = [device.name for device in found[:wanted]]
    if wanted == 1 and found[0].device_type == "CPU":
        return tf.distribute.get_strategy()
    if wanted == 1:
        return tf.distribute.OneDeviceStrategy(names[0])
    if found[0].device_type == "CPU":
        # NCCL knows only GPUs.
        return tf.distribute.MirroredStrategy(names, tf.distribute.ReductionToOneDevice())
    return tf.distribute.MirroredStrategy(names)


def has_gpu() -> bool:
    """Say whether TensorFlow sees a GPU."""
    return bool(tf.config.list_physical_devices("GPU"))


def jit_compile() -> bool | str:
    """What `compile(jit_compile=...)` should be: XLA slows convolutions down on a processor.

    There a U-Net's step took twice as long with XLA as without; what "auto" means on a processor
    differs between versions of Keras, so it is said here.

    Returns:
        "auto" where there is a GPU, else False.
    """
    return "auto" if has_gpu() else False


@contextlib.contextmanager
def precision(name: str) -> Iterator[str]:
    """Set Keras' type policy while a network is built, and put the old one back.

    Args:
        name: "float32", "mixed_float16", "mixed_bfloat16", or "auto": mixed_float16 if every GPU
            computes it on tensor cores (compute capability 7.0 and above), else float32.

    Yields:
        The policy's name.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}; received {name!r}")
    if name == "auto":
        name = "mixed_float16" if _tensor_cores() else "float32"
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield name
    finally:
        keras.config.set_dtype_policy(before)


def _tensor_cores() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    found = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(found) and all(details.get("compute_capability", (0,))[0] >= 7 for details in found)


def synchronize_batch_norm(network: keras.Model, replicas: int) -> None:
    """Make batch normalisation use the statistics of the whole batch, not of one replica's part.

    Only then are N replicas equal to one. Keras' synchronised form is slower, so a single
    replica keeps the plain one.

    Args:
        network: changed in place, before it is compiled.
        replicas: number of replicas of the strategy.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = replicas > 1
