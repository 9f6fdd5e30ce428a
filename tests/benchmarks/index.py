"""What an index of a million embeddings costs, by kind: building, memory, files, searching.

    python tests/benchmarks/index.py [COUNT [KIND ...]]

The vectors are synthetic: COUNT (by default 1,000,000) of 128 dimensions, float32, in 1,000
clusters whose sizes fall with the square root of their rank. A member is its cluster's centre
(standard normal) and a point of the cluster's own 24-dimensional plane (normal, 0.8 of the
centre's length) and normal noise of a tenth of it in all dimensions; then it has unit length.
Seed 0. The 1,000 queries are drawn likewise and are not in the index. Rows hold a file's name and a
slice.

Each kind is built by additions of 100,000 in a process of its own, and searched, k = 10, in another
that has just opened it: one query at a time and all in one call. Seconds are of the wall's clock
and, in brackets, of the processor (all threads together), which tells more on a busy machine; the
number of threads is that of OMP_NUM_THREADS. Memory is what the process has of its own beside what
importing took; what is mapped from files, and can be given back, is counted apart. Recall is the
share of the true ten nearest that are found.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import faiss
import numpy as np

from kmed.index import VectorIndex

DIMENSION, CLUSTERS, PLANE, QUERIES, STEP = 128, 1000, 24, 1000, 100_000


class Watch:
    """Seconds of the wall's clock and of the processor since it was made."""

    def __init__(self):
        self.wall, self.processor = time.perf_counter(), time.process_time()

    def __str__(self) -> str:
        wall, processor = self.read()
        return f"{wall:.2f} s ({processor:.2f} s)"

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.processor


def memory() -> tuple[float, float]:
    """Own and mapped memory of this process in MiB."""
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(fields[name].split()[0]) / 1024 for name in ("RssAnon", "RssFile"))


def make(folder: Path, count: int) -> None:
    """Write the vectors and the queries."""
    random = np.random.default_rng(0)
    centres = random.standard_normal((CLUSTERS, DIMENSION), np.float32)
    planes = random.standard_normal((CLUSTERS, PLANE, DIMENSION), np.float32)
    planes *= 0.8 / np.sqrt(PLANE)
    share = 1 / np.sqrt(np.arange(1, CLUSTERS + 1))
    total = count + QUERIES
    clusters = random.choice(CLUSTERS, total, p=share / share.sum())
    vectors = 0.1 * random.standard_normal((total, DIMENSION), np.float32)
    for cluster in range(CLUSTERS):
        here = np.flatnonzero(clusters == cluster)
        points = random.standard_normal((len(here), PLANE), np.float32)
        vectors[here] += centres[cluster] + points @ planes[cluster]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    np.save(folder / "vectors.npy", vectors[:count])
    np.save(folder / "queries.npy", vectors[count:])


def build(folder: Path, kind: str) -> None:
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    before, _ = memory()
    watch, peak = Watch(), 0.0
    with VectorIndex.create(folder / kind, DIMENSION, kind, {"tower": "synthetic"}) as index:
        for start in range(0, len(vectors), STEP):
            numbers = range(start, min(start + STEP, len(vectors)))
            rows = [{"file": f"study-{n // 100}.nii.gz", "slice": n % 100} for n in numbers]
            index.add([str(n) for n in numbers], vectors[start : start + STEP], rows)
            peak = max(peak, memory()[0] - before)
        index.save()
    sizes = {path.suffix: 0 for path in (folder / kind).iterdir()}
    for path in (folder / kind).iterdir():
        sizes[path.suffix] += path.stat().st_size
    print(f"  built in {watch}, {peak:.0f} MiB")
    print("  files:", ", ".join(f"{k} {v / 2**20:.0f} MiB" for k, v in sizes.items() if v > 4096))


def search(folder: Path, kind: str) -> None:
    queries = np.load(folder / "queries.npy")
    before, _ = memory()
    watch = Watch()
    index = VectorIndex.open(folder / kind)
    print(f"  opened in {watch}; options {index.options}")
    watch = Watch()
    index.search(queries[:1])
    print(f"  first search {watch}")
    watch = Watch()
    for query in queries[:200]:
        index.search(query)
    wall, processor = watch.read()
    print(f"  one by one: {200 / wall:.0f} queries/s ({200 / processor:.0f} per processor second)")
    watch = Watch()
    hits = index.search(queries)
    wall, processor = watch.read()
    own, mapped = memory()
    print(f"  at once: {QUERIES / wall:.0f} queries/s ({QUERIES / processor:.0f})")
    print(f"  memory {own - before:.0f} MiB; mapped files {mapped:.0f} MiB")
    found = np.array(hits.ids).astype(int)
    if kind == "exact":
        np.save(folder / "truth.npy", found)
    if (folder / "truth.npy").exists():
        truth = np.load(folder / "truth.npy")
        shared = [len(set(a) & set(b)) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]
        print(f"  recall@10 {np.sum(shared) / truth.size:.4f}")
    watch = Watch()
    index.add([f"new {n}" for n in range(100)], queries[:100])
    print(f"  first addition of 100: {watch}, which reads all ids")
    watch = Watch()
    index.add([f"newer {n}" for n in range(100)], queries[100:200])
    print(f"  second addition of 100: {watch}")
    index.close()


def main() -> None:
    if len(sys.argv) > 3 and sys.argv[1] in ("build", "search"):
        return globals()[sys.argv[1]](Path(sys.argv[2]), sys.argv[3])
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    kinds = sys.argv[2:] or ["exact", "hnsw", "ivf_pq"]
    print(f"{count:,} vectors, faiss {faiss.__version__}, {faiss.omp_get_max_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), count)
        for kind in kinds:
            print(kind, flush=True)
            for step in ("build", "search"):
                subprocess.run([sys.executable, "-u", __file__, step, folder, kind], check=True)


if __name__ == "__main__":
    main()
