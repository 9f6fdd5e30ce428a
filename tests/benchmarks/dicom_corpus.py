"""Decodes every file of a DICOM corpus and compares it with what its manifest says.

    python tests/benchmarks/dicom_corpus.py

Needs KMED_TEST_DATA. Prints, by transfer syntax, how many of the files that the manifest calls
decodable decode to the shape it gives and how many of them equal pydicom's own decoding; how the
others are refused; and whether the lossless variants of the WG04 images equal their reference.
"""

import csv
import os
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pydicom

from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.pixels import stored

LOSSLESS = ("RLE", "J2KR", "JLSL", "JPLL")


def expected_shape(row):
    """(frames, rows, columns[, samples]) of a row that says "ok 2x100x100x3"."""
    shape = tuple(int(number) for number in row["decode"].split()[1].split("x"))
    plain = len(shape) - (len(shape) > 2 and shape[-1] == 3 and not row["pi"].startswith("MONO"))
    return shape if plain == 3 else (1, *shape)


def rows_of(root):
    """The rows of the manifest whose files there are."""
    with open(root / "MANIFEST.csv", newline="") as file:
        return [row for row in csv.DictReader(file) if (root / row["path"]).is_file()]


def equals_pydicom(path, values):
    """Whether pydicom decodes a file to the same values; None where it can't."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ds = pydicom.dcmread(path, force=True)
            theirs = pydicom.pixels.pixel_array(ds, raw=True)
        except Exception:
            return None
    return bool(np.array_equal(theirs.reshape(values.shape), values))


def main():
    """Walks the manifest."""
    root = Path(os.environ["KMED_TEST_DATA"]) / "data" / "dicom"
    rows = rows_of(root)
    right, same, refused, problems = Counter(), Counter(), defaultdict(Counter), []
    listed = Counter(row["ts"] for row in rows if row["decode"].startswith("ok"))
    unexpected, nbytes, start = [], 0, time.perf_counter()
    for row in rows:
        path, wanted = root / row["path"], row["decode"].startswith("ok")
        try:
            values = stored(path).values
        except DicomError as error:
            if wanted:
                problems.append(f"{row['path']}: {type(error).__name__}: {error}")
            else:
                refused[type(error).__name__][row["path"]] += 1
                print(f"refused {type(error).__name__:17} {str(error)[len(str(root)) + 1 :][:200]}")
            continue
        nbytes += values.nbytes
        equal = equals_pydicom(path, values)
        if not wanted:
            unexpected.append(f"{row['path']}: {values.shape}, as pydicom: {equal}")
        elif values.shape != expected_shape(row):
            problems.append(f"{row['path']}: {values.shape}, the manifest says {row['decode']}")
        else:
            right[row["ts"]] += 1
            same[row["ts"]] += equal is True
            if equal is not True:
                print(f"not as pydicom ({equal}): {row['path']} {row['ts']}")
    print(f"\n{'decodable':>9} {'right':>6} {'=pydicom':>8}  transfer syntax")
    for syntax, count in listed.most_common():
        print(f"{count:9} {right[syntax]:6} {same[syntax]:8}  {syntax}")
    print(f"{sum(listed.values()):9} {sum(right.values()):6} {sum(same.values()):8}  all")
    print("refused:", {kind: len(paths) for kind, paths in refused.items()})
    print("decoded beyond the manifest:", *unexpected, sep="\n  ")
    print(f"{nbytes / 2**20:.0f} MiB decoded, {time.perf_counter() - start:.1f} s, twice each")
    for kind in LOSSLESS:
        for path in sorted((root / "wg04" / kind).glob("*.dcm")):
            reference = root / "wg04" / "REF" / f"{path.stem.split('_')[0]}_UNC.dcm"
            if not np.array_equal(stored(path).values, stored(reference).values):
                problems.append(f"{path.name} differs from {reference.name}")
    print(f"{len(problems)} problems", *problems, sep="\n  ")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
