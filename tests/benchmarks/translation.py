"""What a translation has to beat: the source itself, with the target's histogram.

    python tests/benchmarks/translation.py DATA runs/NAME/split.json saved_models/NAME [BUNDLE ...]

Prints the mean absolute error, PSNR and SSIM on the split's test part, slice by slice in raw
units, of the source whose values are mapped monotonously to the target's distribution in the
training part, and of each bundle (such as Pix2Pix's, and that of the same generator trained by the
mean absolute difference alone).

Reference:
    Gonzalez, Woods: Digital image processing, section 3.3 (histogram specification).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

_LEVELS = 4096  # of each distribution


def quantiles(images: Sequence[np.ndarray]) -> np.ndarray:
    """Computes the distribution of values.

    Args:
        images: of any shapes.

    Returns:
        `(4097,)` values at equally spaced shares from 0 to 1.
    """
    values = np.concatenate([np.ravel(image) for image in images])
    return np.quantile(values, np.linspace(0, 1, _LEVELS + 1))


def matched(image: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Maps values so that those distributed as `source` become distributed as `target`.

    Equal values stay equal: a value gets the middle of the shares that it covers.

    Args:
        image: values of the source.
        source: quantiles of the source.
        target: quantiles of the target.

    Returns:
        float32 of the image's shape.

    Example:
        >>> ramp = np.linspace(0.0, 1.0, 4097)
        >>> matched(np.array([0.25, 1.0]), ramp, 10 * ramp).tolist()
        [2.5, 10.0]
    """
    shares = np.linspace(0, 1, len(source))
    # The middle of a value's shares: of a background of 0 half of its share.
    low = np.searchsorted(source, source, "left")
    high = np.searchsorted(source, source, "right") - 1
    middle = (shares[low] + shares[high]) / 2
    known, first = np.unique(source, return_index=True)
    return np.interp(np.interp(image, known, middle[first]), shares, target).astype("float32")


def main() -> None:
    """Measures the baseline and the bundles on the test part."""
    from kmed.data import Split
    from kmed.data.translation_pairs import translation_source
    from kmed.export import Bundle
    from kmed.metrics.translation_report import translation_report
    from kmed.tasks.translation import measure
    from kmed.tasks.translation.data import pairs, samples_of

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("split")
    parser.add_argument("bundles", nargs="+")
    given = parser.parse_args()
    bundles = [Bundle.load(path) for path in given.bundles]
    facts, decoder = bundles[0].metadata, bundles[0].decoder
    found = translation_source(
        given.data, modalities=(facts["source"], facts["target"]), paired=True
    )
    split = Split.load(given.split, found.samples)
    train, test = found.part(split.train), found.part(split.test)
    of = [quantiles([s.read().image for s in samples_of(train, name)]) for name in found.modalities]
    images = {sample.id: sample.read().image for sample in test.samples}
    cases = []
    for one, other in pairs(test):
        truth = np.clip(images[other.sample.id][other.slice], decoder.low, decoder.high)
        copied = matched(images[one.sample.id][one.slice], *of)
        cases.append((truth.astype("float32"), np.clip(copied, decoder.low, decoder.high),
                      one.patient))  # fmt: skip
    rows = {"matched histogram": translation_report(cases, data_range=decoder.high - decoder.low)}
    for bundle in bundles:
        (rows[bundle.name],) = measure(bundle, test).summary.values()
    print(f"{len(cases)} slices of {len(split.test)} samples, {facts['source']} to "
          f"{facts['target']}, range {decoder.low:g} to {decoder.high:g}")  # fmt: skip
    for name, report in rows.items():
        values = ", ".join(f"{key} {report[key].value:.4f}" for key in ("mae", "psnr", "ssim"))
        print(f"{name:24} {values}")


if __name__ == "__main__":
    main()
