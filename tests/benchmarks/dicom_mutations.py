"""Good DICOM files, broken in twenty thousand ways, must be read or refused, and nothing else.

    python tests/benchmarks/dicom_mutations.py [COUNT] [SEED]

Needs KMED_TEST_DATA. Each mutation is made of its number and the seed alone: bits flipped, bytes
cut off, lengths and values of elements overwritten, VRs swapped, parts of other files spliced in,
sequences nested without end. It is then read as kmed reads files: header, data set, all frames
decoded, their values, a picture, and the volume. Two processes read; one that takes longer than
5 s for a file is ended and counted, and so is one that dies. Each may take 1 GiB of address space
more than it has after its start, so nothing can take more memory unseen. What is neither read nor
refused by an error of `kmed.data.dicom.errors` is kept in a folder that is named at the end; the
exit status is then 1.
"""

import csv
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections import Counter
from pathlib import Path

import numpy as np

LIMIT_S, LIMIT_BYTES, LARGEST_FILE = 5.0, 2**30, 600_000
ROOT = Path(__file__).resolve().parents[2]
VRS = [b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"FD", b"FL", b"IS", b"LO", b"OB", b"OW", b"PN"]
VRS += [b"SH", b"SL", b"SQ", b"SS", b"ST", b"TM", b"UI", b"UL", b"UN", b"US", b"UT"]
# Elements whose values decide how pixels are read, with the length of their explicit header.
TELLING = [(0x28, e) for e in (2, 4, 6, 8, 0x10, 0x11, 0x30, 0x100, 0x101, 0x102, 0x103)]
TELLING += [(0x28, 0x1052), (0x28, 0x1053), (0x28, 0x1050), (0x20, 0x32), (0x20, 0x37), (2, 0x10)]


def good_files(root: Path) -> list[Path]:
    """The files that the manifest calls decodable, without the large ones."""
    with open(root / "MANIFEST.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["decode"].startswith("ok")]
    paths = [root / row["path"] for row in rows]
    return [path for path in paths if path.is_file() and path.stat().st_size <= LARGEST_FILE]


def mutated(content: bytes, other: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """One mutation of a file, or two.

    Args:
        content: of a good file.
        other: of another one, to splice from.
        random: decides.

    Returns:
        What was done, and the bytes.
    """
    kinds = list(MUTATIONS)
    done = []
    for _ in range(1 + int(random.random() < 0.3)):
        if len(content) < 8:
            break
        done.append(kinds[int(random.integers(len(kinds)))])
        content = MUTATIONS[done[-1]](bytearray(content), other, random)
    return "+".join(done), bytes(content)


def _place(content, random) -> int:
    """Anywhere, but oftener in the header than its share of the bytes."""
    end = len(content) if random.random() < 0.4 else min(len(content), 4000)
    return int(random.integers(0, max(1, end - 8)))


def _flip(content, other, random):
    for _ in range(int(random.integers(1, 4))):
        content[_place(content, random)] ^= 1 << int(random.integers(8))
    return content


def _cut(content, other, random):
    return content[: int(random.integers(0, len(content)))]


def _drop(content, other, random):
    at = _place(content, random)
    return content[:at] + content[at + int(random.integers(1, 64)) :]


def _length(content, other, random):
    """Overwrites four bytes where a length may stand."""
    values = (0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF, int(random.integers(2**32)))
    at = _place(content, random)
    content[at : at + 4] = values[int(random.integers(len(values)))].to_bytes(4, "little")
    return content


def _telling(content, other, random):
    """Overwrites the value of an element that decides how pixels are read."""
    group, element = TELLING[int(random.integers(len(TELLING)))]
    at = content.find(group.to_bytes(2, "little") + element.to_bytes(2, "little"))
    if at < 0:
        return _flip(content, other, random)
    size = int(random.integers(1, 5))
    texts = (b"\xff\xff\xff\xff", b"\0\0\0\0", b"9999", b"-1\\-", b"1e99", random.bytes(4))
    content[at + 8 : at + 8 + size] = texts[int(random.integers(len(texts)))][:size]
    return content


def _vr(content, other, random):
    at = _place(content, random)
    for place in range(at, min(at + 4000, len(content) - 2)):
        if bytes(content[place : place + 2]) in VRS:
            content[place : place + 2] = VRS[int(random.integers(len(VRS)))]
            break
    return content


def _splice(content, other, random):
    start, size = _place(other, random), int(random.integers(1, 5000))
    at = _place(content, random)
    kept = at + (size if random.random() < 0.5 else 0)
    return content[:at] + other[start : start + size] + content[kept:]


def _nest(content, other, random):
    """Sequences in sequences, of undefined length, some without their end."""
    depth = int(random.integers(1, 3000))
    opened = b"\x08\0\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    closed = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    nested = opened * depth + closed * (depth if random.random() < 0.5 else depth // 2)
    at = content.find(b"\x08\0")
    at = at if 0 < at and random.random() < 0.7 else _place(content, random)
    return content[:at] + nested + content[at:]


def _repeat(content, other, random):
    at, size = _place(content, random), int(random.integers(1, 2000))
    return content[: at + size] + content[at : at + size] * 20 + content[at + size :]


MUTATIONS = {
    one.__name__[1:]: one
    for one in (_flip, _cut, _drop, _length, _telling, _vr, _splice, _nest, _repeat)
}


def made(files: list[Path], seed: int, number: int) -> tuple[str, str, bytes]:
    """Mutation `number`: of which file, what was done, and the bytes."""
    random = np.random.default_rng([seed, number])
    path, other = (files[int(random.integers(len(files)))] for _ in range(2))
    done, content = mutated(path.read_bytes(), other.read_bytes(), random)
    return path.name, done, content


def read_all(path: Path) -> str:
    """Reads a file in every way; the name of the typed error that refuses it, or "read"."""
    from kmed.data.dicom.errors import DicomError
    from kmed.data.dicom.header import read_dataset, read_header
    from kmed.data.dicom.pixels import display, frame_values, stored
    from kmed.data.dicom.series import read_volume
    from kmed.data.dicom.volumes import archive_of

    try:
        header = read_header(path)
        ds = read_dataset(path, pixels=True)
        if not header.is_image:
            return "no image"
        values, photometric = stored(ds)
        wanted = (header.number_of_frames, header.rows, header.columns)
        if values.shape[:3] != wanted:
            raise AssertionError(f"decoded to {values.shape}, its header says {wanted}")
        for frame in header.frames[:4]:
            plane = values[0 if frame.tile else frame.index]
            if photometric.startswith("MONOCHROME"):
                plane = frame_values(ds, plane, frame)
            display(ds, plane, photometric=photometric)
        for series in archive_of([header]).series:
            for volume in series.volumes:
                read_volume(volume, tilt="resample", spacing="resample")
    except DicomError as error:
        return type(error).__name__
    return "read"


def work(files: list[Path], seed: int) -> None:
    """Reads numbers from standard input, and answers each with a line of JSON."""
    # Stand-ins for packages whose `__init__` would import TensorFlow.
    for name in ("kmed.data", "kmed.results"):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / name.replace(".", "/"))]
        sys.modules[name] = package
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.dcm"
        path.write_bytes(files[0].read_bytes())
        read_all(path)  # loads all that is loaded once
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            path.write_bytes(made(files, seed, int(line))[2])
            start = time.perf_counter()
            try:
                outcome = read_all(path)
            except BaseException as error:
                outcome = f"UNTYPED {type(error).__name__}: {str(error)[:200]}"
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            answer = {
                "outcome": outcome, "seconds": time.perf_counter() - start, "memory": memory,
            }  # fmt: skip
            print(json.dumps(answer), flush=True)


class Worker:
    """A process that reads mutations, and is started anew when it dies or hangs."""

    def __init__(self, seed: int):
        self.seed, self.process = seed, None

    def _start(self) -> None:
        command = [sys.executable, "-W", "ignore", __file__, "--work", str(self.seed)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        self.process.stdout.readline()

    def ask(self, number: int) -> dict:
        """The answer for one mutation; that of a process that died or hung says so."""
        if self.process is None:
            self._start()
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], LIMIT_S + 1)
        line = self.process.stdout.readline() if ready else ""
        if line:
            answer = json.loads(line)
            if answer["seconds"] > LIMIT_S:
                answer["outcome"] = f"HANG {answer['seconds']:.1f} s"
            return answer
        self.process.kill()
        status = self.process.wait()
        self.process = None
        outcome = f"CRASH {status}" if ready else f"HANG over {LIMIT_S} s"
        return {"outcome": outcome, "seconds": LIMIT_S, "memory": 0}


def run(count: int, seed: int) -> int:
    """Reads all mutations with two workers and prints the table; the number of offenders."""
    files = good_files(Path(os.environ["KMED_TEST_DATA"]) / "data" / "dicom")
    kept = Path(tempfile.mkdtemp(prefix="mutations-"))
    numbers, lock = iter(range(count)), threading.Lock()
    outcomes: Counter = Counter()
    slowest, memory, offenders, start = 0.0, 0, [], time.perf_counter()

    def serve() -> None:
        nonlocal slowest, memory
        worker = Worker(seed)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            answer = worker.ask(number)
            with lock:
                outcome = answer["outcome"]
                outcomes[outcome.split(":")[0]] += 1
                slowest = max(slowest, answer["seconds"])
                memory = max(memory, answer["memory"])
                if outcome.split()[0] in ("UNTYPED", "HANG", "CRASH"):
                    name, done, content = made(files, seed, number)
                    (kept / f"{number}.dcm").write_bytes(content)
                    offenders.append(f"{number} ({name}, {done}): {outcome}")
                    print(offenders[-1], flush=True)
                if sum(outcomes.values()) % 1000 == 0:
                    print(f"{sum(outcomes.values())} of {count}", flush=True)

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome, number in outcomes.most_common():
        print(f"{number:7}  {outcome}")
    print(
        f"{count} mutations of {len(files)} files, seed {seed}: slowest {slowest:.2f} s, peak "
        f"memory of a process {memory / 2**20:.0f} MiB, {len(offenders)} offenders, "
        f"{time.perf_counter() - start:.0f} s"
    )
    if offenders:
        print(f"kept in {kept}")
    return len(offenders)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        corpus = good_files(Path(os.environ["KMED_TEST_DATA"]) / "data" / "dicom")
        work(corpus, int(sys.argv[2]))
    else:
        words = [int(word) for word in sys.argv[1:]]
        sys.exit(min(1, run(*(words + [20_000, 0][len(words) :]))))
