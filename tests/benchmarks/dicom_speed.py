"""Files per second of an archive's index and of decoding into tf.data, against plain pydicom.

    python tests/benchmarks/dicom_speed.py [--files 5000] [--size 256] [--workers 2]

Writes an archive of synthetic CT of 16 bit into a temporary folder, and compressed copies of some
of its series. Prints one table: files per second, MB of decoded pixels per second, and the ratio to
a loop over `pydicom.dcmread` in one process; then the same per second of processor time, which a
busy machine disturbs less. The files were written just before, so that all of them come from the
page cache: what is measured is the work, not the disk. Each figure is the best of three, in turns.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pydicom
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from kmed.data.dicom.index import ArchiveIndex
from kmed.data.dicom.pipeline import decoded
from kmed.data.dicom.writer import StudyHeader, write_series

SLICES = 100
DECODED = 1000  # files of each transfer syntax, at the least
AXIAL = np.array([[0, 0, 0.7, 0], [0, 0.7, 0, 0], [2.5, 0, 0, 0], [0, 0, 0, 1]])
SYNTAXES = {
    "uncompressed": None,
    "RLE": RLELossless,
    "JPEG 2000 lossless": JPEG2000Lossless,
    "JPEG-LS lossless": JPEGLSLossless,
}


def write_archive(root, files, size):
    """Series of 100 slices, two a patient: disks of some HU with noise of 15 HU."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size - 0.5
    for number in range(files // SLICES):
        volume = np.full((SLICES, size, size), -1000.0, np.float32)
        for radius, hu in ((0.45, -80), (0.4, 40), (0.15, 120), (0.05, 900)):
            volume[:, np.hypot(x, y) < radius] = hu
        volume += rng.normal(0, 15, (1, size, size)).astype(np.float32)
        study = StudyHeader(
            patient_id=f"P{number // 2}",
            patient_name="Benchmark",
            entropy=("speed", str(number // 2)),
            date="20200101",
        )
        write_series(
            root / f"patient-{number // 2}" / f"ct-{number}",
            np.clip(volume, -1024, 3071).astype(np.int16),
            AXIAL,
            study,
            modality="CT",
            name=f"ct-{number}",
            number=number % 2 + 1,
        )


def write_compressed(paths, root, out, syntax):
    """Copies of files in another transfer syntax."""
    for path in paths:
        ds = pydicom.dcmread(path)
        if syntax is not None:
            ds.compress(syntax)
        copy = out / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        ds.save_as(copy)


class Took(NamedTuple):
    """Least seconds of the clock, and of processors: of this process and those it started."""

    wall: float
    cpu: float


def best(functions, runs=3):
    """What each function took, called in turns so that a disturbance meets all of them."""
    took = {name: Took(float("inf"), float("inf")) for name in functions}
    for _ in range(runs):
        for name, function in functions.items():
            start, before = time.perf_counter(), sum(os.times()[:4])
            function()
            now = (time.perf_counter() - start, sum(os.times()[:4]) - before)
            took[name] = Took(*map(min, took[name], now))
    return took


def row(what, took, files, plain, nbytes=None):
    """One line of the table."""
    rate = f"{nbytes / took.wall / 1e6:8.0f}" if nbytes else " " * 8
    print(
        f"{what:<50} {files / took.wall:8.0f} {rate} {plain.wall / took.wall:7.2f} "
        f"{files / took.cpu:11.0f} {plain.cpu / took.cpu:7.2f}",
        flush=True,
    )


def headers(root, folder, workers):
    """The index against a loop over headers."""
    paths = sorted(root.rglob("*.dcm"))
    file = folder / "archive.index"

    def first(count):
        file.unlink(missing_ok=True)
        counts = ArchiveIndex(file).build(root, workers=count)
        assert counts.added == len(paths) and not counts.left_out

    def second():
        assert ArchiveIndex(file).build(root).unchanged == len(paths)

    def plain():
        for path in paths:
            pydicom.dcmread(path, stop_before_pixels=True)

    name = f"{workers} processes"
    seconds = best(
        {
            "plain": plain,
            "one": lambda: first(1),
            name: lambda: first(workers),
            "second": second,
            "samples": lambda: ArchiveIndex(file).samples(),
        }
    )
    count, base = len(paths), seconds["plain"]
    row("headers: pydicom.dcmread(stop_before_pixels=True)", base, count, base)
    row("headers: index, first run, one process", seconds["one"], count, base)
    row(f"headers: index, first run, {name}", seconds[name], count, base)
    row("headers: index, second run", seconds["second"], count, base)
    row("headers: samples of the index", seconds["samples"], count, base)
    print(f"{'':4}index: {file.stat().st_size / count:.0f} bytes a file")
    return ArchiveIndex(file).samples()


def decoding(name, samples, workers):
    """Volumes in tf.data against a loop over pixel arrays."""
    # Again and again, for the start of processes is not what a long run is about.
    samples = samples * max(1, DECODED // sum(len(sample.files) for sample in samples))
    paths = [file for sample in samples for file in sample.files]
    shape = pydicom.dcmread(paths[0]).pixel_array.shape
    nbytes = 2 * len(paths) * int(np.prod(shape))

    def plain():
        for path in paths:
            pydicom.dcmread(path).pixel_array  # noqa: B018

    def taken(**options):
        slices = sum(one["image"].shape[0] for one in decoded(samples, dtype="int16", **options))
        assert slices == len(paths)

    ways = {"plain": plain, "1 thread": lambda: taken(workers=1)}
    ways[f"{workers} processes"] = lambda: taken(workers=workers, processes=True)
    seconds = best(ways)
    for way, took in seconds.items():
        said = "pydicom.dcmread().pixel_array" if way == "plain" else f"tf.data, {way}"
        row(f"{name}: {said}", took, len(paths), seconds["plain"], nbytes)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--compressed", type=int, default=400, help="files in each other syntax")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        root = folder / "archive"
        write_archive(root, asked.files, asked.size)
        print(f"{asked.files} files of {asked.size} x {asked.size}, {os.cpu_count()} processors")
        print(
            f"{'':50} {'files/s':>8} {'MB/s':>8} {'x plain':>7} {'files/CPU s':>11} {'x plain':>7}"
        )
        samples = headers(root, folder, asked.workers)
        for name, syntax in SYNTAXES.items():
            if syntax is not None:
                out = folder / name
                some = sorted(root.rglob("*.dcm"))[: asked.compressed]
                write_compressed(some, root, out, syntax)
                index = ArchiveIndex(folder / f"{name}.index")
                index.build(out)
                samples = index.samples()
            decoding(name, samples, asked.workers)


if __name__ == "__main__":
    main()
