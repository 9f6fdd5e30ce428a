"""Good DICOM files, broken in twenty thousand ways, must be read or refused, and nothing else.

    KMED_TEST_DATA=FOLDER python tests/benchmarks/dicom_mutations.py [COUNT] [SEED]

FOLDER/data/dicom holds good files of all transfer syntaxes, which its MANIFEST.csv lists, and bad
ones in `malformed`. Each mutation follows from its number and the seed alone (`dicom_broken.py`):
bits flipped, values, lengths, VRs and tags of elements overwritten, bytes of compressed frames
too, elements dropped, repeated, taken from other files, sequences nested without end, files cut.
It is then read in all ways that kmed has (`dicom_reading.py`); what is read must have the size
that the header declares. A warning counts as an error.

Two processes read. One that takes longer than 5 s for a file is ended; if that happens a second
time with the file, for the machine may have been busy, it is counted, and so is one that dies.
Peak memory is the resident set of a process, reset for each file; above 1 GiB it is counted, and
no process can take more than that above what it has after its start. What is neither read nor
refused by a typed error is kept in a folder that is named; the exit status is then 1.
"""

import json
import os
import platform
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

# Also where the file is not run as a program, which has its folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from dicom_broken import good_files, made  # noqa: E402

LIMIT_S, LIMIT_BYTES, WORKERS = 5.0, 2**30, 2
ROOT = Path(__file__).resolve().parents[2]
BAD = ("UNTYPED", "HANG", "CRASH", "MEMORY")


def corpus() -> Path:
    """Folder of the good and the malformed files."""
    return Path(os.environ["KMED_TEST_DATA"]) / "data" / "dicom"


def peak_bytes() -> int:
    """Largest resident set since `clear_refs` was written to."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def work(seed: int) -> None:
    """Reads a number or a path a line from standard input, and answers each with JSON."""
    # Stand-ins for packages whose `__init__` would import TensorFlow.
    for name in ("kmed.data", "kmed.data.dicom", "kmed.results"):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / name.replace(".", "/"))]
        sys.modules[name] = package
    from dicom_reading import read_all

    groups = good_files(corpus())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated.dcm"
        for files in groups:  # loads decoders and all else that is loaded once
            read_all(min(files, key=lambda file: file.stat().st_size))
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + LIMIT_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(json.dumps({"ready": True}), flush=True)
        for line in sys.stdin:
            wanted = json.loads(line)
            if isinstance(wanted, int):
                path.write_bytes(made(groups, seed, wanted)[2])
            Path("/proc/self/clear_refs").write_text("5")
            start = time.perf_counter()
            decoded = False
            try:
                reading = read_all(path if isinstance(wanted, int) else Path(wanted))
                outcome, decoded = reading.outcome, reading.decoded
            except BaseException as error:
                outcome = f"UNTYPED {type(error).__name__}: {str(error)[:200]}"
            answer = {"outcome": outcome, "seconds": time.perf_counter() - start}
            answer |= {"memory": peak_bytes(), "decoded": decoded}
            if answer["memory"] > LIMIT_BYTES:
                answer["outcome"] = f"MEMORY {answer['memory'] / 2**20:.0f} MiB, {outcome}"
            print(json.dumps(answer), flush=True)


class Worker:
    """A process that reads mutations, and is started anew when it dies or hangs."""

    def __init__(self, seed: int):
        self.seed, self.process = seed, None

    def _start(self) -> None:
        command = [sys.executable, __file__, "--work", str(self.seed)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        if not self.process.stdout.readline():
            sys.exit(f"no worker: {self.process.stderr.read()}")
        # What decoders print is for no one, and must not fill the pipe.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def ask(self, wanted: int | str) -> dict:
        """The answer for one file; that of a process that died or hung says so."""
        if self.process is None:
            self._start()
        self.process.stdin.write(json.dumps(wanted) + "\n")
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
        outcome = f"CRASH signal {-status}" if ready else f"HANG over {LIMIT_S} s"
        return {"outcome": outcome, "seconds": LIMIT_S, "memory": 0, "decoded": False}

    def end(self) -> None:
        """Lets the process go."""
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait()


class Run:
    """All mutations and malformed files, read by two processes."""

    def __init__(self, count: int, seed: int):
        self.seed, self.groups = seed, good_files(corpus())
        malformed = sorted(
            str(path) for path in (corpus() / "malformed").rglob("*") if path.is_file()
        )
        self.malformed, self.total = len(malformed), count + len(malformed)
        self.wanted, self.lock = iter([*malformed, *range(count)]), threading.Lock()
        self.kept = Path(tempfile.mkdtemp(prefix="mutations-"))
        self.outcomes: dict[str, Counter] = {"malformed": Counter(), "mutations": Counter()}
        self.slowest, self.memory, self.offenders = (0.0, ""), 0, []
        self.done = self.decoded = self.again = 0
        self.start = time.perf_counter()
        threads = [threading.Thread(target=self._serve) for _ in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        worker = Worker(self.seed)
        while True:
            with self.lock:
                wanted = next(self.wanted, None)
            if wanted is None:
                worker.end()
                return
            answer = worker.ask(wanted)
            if again := answer["outcome"].startswith("HANG"):
                answer = worker.ask(wanted)
            with self.lock:
                self.again += again
                self._count(wanted, answer)

    def _count(self, wanted: int | str, answer: dict) -> None:
        outcome = answer["outcome"]
        kind = "mutations" if isinstance(wanted, int) else "malformed"
        words = outcome.split(":")[0].split()
        self.outcomes[kind][words[0] if words[0] != "UNTYPED" else " ".join(words)] += 1
        self.slowest = max(self.slowest, (answer["seconds"], str(wanted)))
        self.memory = max(self.memory, answer["memory"])
        self.decoded += answer["decoded"]
        if words[0] in BAD:
            name, how = wanted, ""
            if isinstance(wanted, int):
                name, how, content = made(self.groups, self.seed, wanted)
                (self.kept / f"{wanted}.dcm").write_bytes(content)
            self.offenders.append(f"{wanted} ({name}, {how}): {outcome}")
            print(self.offenders[-1], flush=True)
        self.done += 1
        if self.done % 1000 == 0:
            seconds = time.perf_counter() - self.start
            print(f"{self.done} of {self.total}, {seconds:.0f} s", flush=True)

    def print_table(self) -> None:
        """Counts by outcome, and what bounds them."""
        seconds, total = time.perf_counter() - self.start, sum(self.outcomes.values(), Counter())
        print(f"\n{'outcome':34}{'malformed':>11}{'mutations':>11}")
        for outcome in sorted({"read", *BAD} | set(total), key=lambda one: -total[one]):
            counts = "".join(f"{counter[outcome]:11}" for counter in self.outcomes.values())
            print(f"{outcome:34}{counts}")
        files = sum(map(len, self.groups))
        print(
            f"\npixels of {self.decoded} files decoded, all in the size declared\n"
            f"mutations of {files} files in {len(self.groups)} transfer syntaxes, seed "
            f"{self.seed}; {self.malformed} malformed files\n"
            f"slowest file {self.slowest[0]:.2f} s ({self.slowest[1]}), {self.again} read a second "
            f"time; peak memory of a process {self.memory / 2**20:.0f} MiB; "
            f"{len(self.offenders)} offenders\n"
            f"{seconds:.0f} s, {WORKERS} processes, {os.cpu_count()} cores, "
            f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
        )
        if self.offenders:
            print(f"kept in {self.kept}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(int(sys.argv[2]))
    else:
        asked = [int(word) for word in sys.argv[1:]]
        finished = Run(*(asked + [20_000, 0][len(asked) :]))
        finished.print_table()
        sys.exit(min(1, len(finished.offenders)))
