"""Ratios that matter to a segmentation training, all from one run.

    python tests/benchmarks/segmentation.py [--size 256] [--batch 8] [--images 64]

Prints seconds per training step and per inference of kmed's compile against a plain
`model.compile("adam", ...)`; images per second of the input pipeline (first epoch: decoding and
preparing; later epochs: from the cache, with and without augmentation) against the bare decoder;
and the peak memory of a process that goes through a data set of 1x and of 10x the images.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from kmed import distribute, preprocessors
from kmed.applications import unet
from kmed.data import image_folder
from kmed.data.augmentation import Augmentation
from kmed.data.cache import Cache
from kmed.data.pipeline import training_batches
from kmed.preprocessors import preprocess_array
from kmed.tasks.segmentation.networks import compile_network
from kmed.tasks.segmentation.settings import Settings

FILTERS = (16, 32, 64, 128, 256)


def median_seconds(functions: dict, repeats: int) -> dict[str, float]:
    """Time functions in turn, so that a slow moment of the machine falls on all of them."""
    times = {name: [] for name in functions}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values)) for name, values in times.items()}


def network_benchmark(size: int, batch: int) -> None:
    random = np.random.default_rng(0)
    images = tf.constant(random.normal(size=(batch, size, size, 1)).astype("float32"))
    masks = tf.constant((images.numpy()[..., 0] > 0.5).astype("int32"))
    ours = unet(input_shape=(size, size, 1), filters=FILTERS)
    compile_network(ours, Settings(size=(size, size)), 1000, classes=2)
    plain = unet(input_shape=(size, size, 1), filters=FILTERS)
    plain.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    steps = {
        "kmed": lambda: ours.train_on_batch(images, masks),
        "plain": lambda: plain.train_on_batch(images, masks),
    }
    step = median_seconds(steps, 5)
    one = images[:1]
    function = tf.function(lambda x: ours(x, training=False))
    uses = {
        "kmed": lambda: function(one).numpy(),
        "plain": lambda: plain.predict(one, verbose=0),
    }
    use = median_seconds(uses, 15)
    print(f"U-Net {FILTERS}, {size}x{size}, XLA off: {distribute.jit_compile() is False}")
    for what, found in (("training step", step), ("inference, one image", use)):
        print(
            f"  {what}: kmed {found['kmed']:.4f} s, plain compile {found['plain']:.4f} s, "
            f"ratio {found['kmed'] / found['plain']:.2f}"
        )


def write_images(folder: Path, count: int, size: int) -> None:
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    for i in range(count):
        noise = np.random.default_rng(i).integers(0, 256, (size // 8, size // 8), "uint8")
        image = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / "images" / f"{i:05d}.jpg")
        Image.fromarray((np.asarray(image) > 128).astype("uint8") * 255).save(
            folder / "masks" / f"{i:05d}.png"
        )


def prepared(folder: Path):
    prepare = preprocessors.xray()
    samples = image_folder(folder / "images", folder / "masks")
    store = Cache(
        folder / "cache", lambda i, m, s: (preprocess_array(prepare, i), m, None), {"bench": 1}
    )
    return samples, store


def pipeline_benchmark(folder: Path, count: int, batch: int) -> None:
    samples, store = prepared(folder)
    start = time.perf_counter()
    for sample in samples:
        for file in sample.files:
            np.asarray(Image.open(file))
    bare = count / (time.perf_counter() - start)
    start = time.perf_counter()
    cases = store.cases(samples)
    rows = {"first time: decoded, checked, prepared, cached": count / (time.perf_counter() - start)}
    for name, change in (("from the cache", None), ("and augmented", Augmentation())):
        batches, steps = training_batches(cases, batch_size=batch, epochs=5, augmentation=change)
        iterator = iter(batches)
        next(iterator)
        start = time.perf_counter()
        seen = sum(len(image) for image, _ in iterator)
        rows[name] = seen / (time.perf_counter() - start)
    print(f"input pipeline, {count} images; the bare decoder reads {bare:.0f} images/s")
    for name, rate in rows.items():
        print(f"  {name}: {rate:.0f} images/s, {rate / bare:.2f} of the bare decoder")


def memory(folder: Path) -> None:
    """In a process of its own: prepare the images and go through two epochs, then tell the peak."""
    samples, store = prepared(folder)
    batches, _ = training_batches(
        store.cases(samples), batch_size=8, epochs=2, augmentation=Augmentation()
    )
    for _ in batches:
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        memory(options.memory_of)
        return
    network_benchmark(options.size, options.batch)
    with tempfile.TemporaryDirectory() as name:
        peaks = []
        for factor in (1, 10):
            folder = Path(name) / f"{factor}x"
            write_images(folder, factor * options.images, options.size)
            command = [sys.executable, __file__, "--memory-of", str(folder)]
            found = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks.append(float(found.stdout.split()[-1]))
        fresh = Path(name) / "pipeline"
        write_images(fresh, 4 * options.images, options.size)
        pipeline_benchmark(fresh, 4 * options.images, options.batch)
        print(
            f"peak memory: {peaks[0]:.0f} MB over {options.images} images, {peaks[1]:.0f} MB over "
            f"{10 * options.images}, ratio {peaks[1] / peaks[0]:.2f}"
        )


if __name__ == "__main__":
    main()
