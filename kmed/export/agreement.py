"""Do the exported formats say what Keras says? Counted on images, not assumed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kmed.export.box_comparison import AgreementError, BoxComparison
from kmed.export.bundle import Bundle
from kmed.export.embedding_comparison import EmbeddingComparison
from kmed.export.embedding_decoder import EmbeddingDecoder
from kmed.export.graph import has_switches
from kmed.export.image_comparison import ImageComparison
from kmed.export.image_decoder import ImageDecoder
from kmed.export.onnx import load_onnx
from kmed.export.openvino import load_openvino
from kmed.export.tflite import load_tflite
from kmed.layers import ResizeTo

_SWITCHED = 1e-3  # share of voxels that switches may change


def check_agreement(
    path: str | Path,
    images: Iterable[np.ndarray],
    *,
    tolerance: float = 1e-4,
    tie_margin: float = 1e-5,
) -> dict[str, dict[str, Any]]:
    """Compare each format of a saved bundle with its Keras model, image by image.

    The SavedModel sees the images as they are. Formats of one fixed size (TFLite, ONNX, OpenVINO)
    and Keras both see them resized to that size.

    No two float32 implementations round alike, so a label whose two best classes tie (or whose
    probability is its threshold) can fall to either side. Every differing label is counted (of a
    mask there is one for each voxel); those within `tie_margin` of a tie in Keras are counted
    again as ties, and only they are let pass.

    A network with switches (SegNet's unpooling by argmax) is not continuous: where two values of
    a window tie to their last bits, two implementations put the value into neighbouring pixels,
    and some probabilities around it jump. Of such a network one in a thousand voxels may differ
    in its probabilities or label; they are counted like all others.

    Detections are compared as `kmed.export.box_comparison` says, embeddings as
    `kmed.export.embedding_comparison` does, generated images as `kmed.export.image_comparison`.

    Args:
        path: the bundle's folder (NAME/VERSION).
        images: raw images `(H, W, C)` or `(D, H, W, C)`.
        tolerance: largest difference of a probability.
        tie_margin: distance from another label, as the bundle's decoder measures it, up to which
            a label counts as a tie.

    Returns:
        For "saved_model", "tflite", "onnx" and "openvino", as far as they are in the folder:
        images, voxels, max_probability_difference, beyond_tolerance (voxels), differing_voxels,
        differing_ties and largest_differing_margin; of detectors images, detections,
        max_box_difference (pixels), max_score_difference, differing and differing_ties; of
        embeddings and generated images, images and max_difference.

    Raises:
        AgreementError: if a probability differs by more, a mask off a tie, or a detection.
        ValueError: if there are no images.
    """
    folder = Path(path)
    bundle, runners = Bundle.load(folder), load_formats(folder)
    fit = ResizeTo(bundle.size) if bundle.size else None
    report = {name: _comparison(bundle.decoder, tolerance, tie_margin) for name in runners}
    allowed = _SWITCHED if has_switches(bundle.network) else 0.0
    for image in images:
        image = np.asarray(image, "float32")
        expected = {image.shape: bundle.answer(image)}
        for name, run in runners.items():
            seen = image
            if name != "saved_model" and image.shape[:-1] != bundle.size:
                seen = fit(image[None]).numpy()[0]
                expected.setdefault(seen.shape, bundle.answer(seen))
            report[name].add(expected[seen.shape], run(seen))
    for name, comparison in report.items():
        comparison.check(name, allowed)
    return {name: comparison.row() for name, comparison in report.items()}


def load_formats(
    folder: str | Path, threads: int = 2, *, quantized: bool = False
) -> dict[str, Callable[[np.ndarray], dict[str, np.ndarray]]]:
    """Open every exported format of a bundle's folder.

    Args:
        folder: the bundle's folder (NAME/VERSION).
        threads: number of CPU threads, where the runtime can be told.
        quantized: also the float16 and int8 TFLite files.

    Returns:
        By name a function from one raw image to the bundle's outputs.
    """
    folder = Path(folder)
    files = {
        "tflite": ("model.tflite", load_tflite),
        "tflite_float16": ("model_float16.tflite", load_tflite),
        "tflite_int8": ("model_int8.tflite", load_tflite),
        "onnx": ("model.onnx", load_onnx),
        "openvino": ("model.xml", load_openvino),
    }
    formats = {"saved_model": _load_saved_model(folder)}
    for name, (file, load) in files.items():
        if (folder / file).is_file() and (quantized or file.count("_") == 0):
            formats[name] = load(folder / file, threads)
    return formats


def quantization_loss(
    path: str | Path,
    images: Iterable[np.ndarray],
    truths: Iterable[Any],
    score: Callable[[Any, dict[str, np.ndarray]], float],
) -> list[dict[str, Any]]:
    """Measure what each TFLite file of a bundle loses against the float32 one.

    Args:
        path: the bundle's folder (NAME/VERSION).
        images: raw images of the bundle's size.
        truths: their known answers: masks, labels or boxes.
        score: from a known answer and the file's outputs to a number, for example the Dice
            coefficient.

    Returns:
        Rows of format, megabytes, score (the mean over images) and loss (float32's score less
        this one).
    """
    folder, rows = Path(path), []
    pairs = list(zip(images, truths, strict=True))
    for file in ("model.tflite", "model_float16.tflite", "model_int8.tflite"):
        if (folder / file).is_file():
            run = load_tflite(folder / file)
            scores = [score(truth, run(image)) for image, truth in pairs]
            size = (folder / file).stat().st_size / 1e6
            rows.append({"format": file, "megabytes": size, "score": float(np.mean(scores))})
    return [row | {"loss": rows[0]["score"] - row["score"]} for row in rows]


def _comparison(decoder, tolerance, tie_margin):
    if decoder.located:
        return BoxComparison(decoder.postprocessing)
    if isinstance(decoder, EmbeddingDecoder):
        return EmbeddingComparison()
    if isinstance(decoder, ImageDecoder):
        return ImageComparison(decoder.low, decoder.high)
    return _LabelComparison(decoder.margins, tolerance, tie_margin)


class _LabelComparison:
    """Running counts of one format against Keras."""

    def __init__(self, margins_of, tolerance=1e-4, tie_margin=1e-5):
        self.images, self.voxels, self.worst, self.beyond = 0, 0, 0.0, 0
        self.margins_of, self.tolerance, self.tie_margin = margins_of, tolerance, tie_margin
        self.margins = np.zeros(0)  # of Keras' probabilities where the labels differ

    def add(self, expected, found):
        labels, probabilities = expected["labels"], expected["probabilities"]
        other_labels, other_probabilities = found["labels"], found["probabilities"]
        self.images += 1
        self.voxels += labels.size
        difference = np.abs(probabilities - other_probabilities)
        if labels.shape == probabilities.shape[:-1]:
            difference = difference.max(axis=-1)
        self.beyond += int((~(difference <= self.tolerance)).sum())
        # A NaN is the largest difference of all, and np.maximum hands it on.
        self.worst = float(np.maximum(self.worst, difference.max()))
        differing = np.asarray(labels != other_labels)
        if differing.any():
            margins = np.asarray(self.margins_of(probabilities))[differing]
            self.margins = np.concatenate([self.margins, margins])

    def row(self):
        return {
            "images": self.images,
            "voxels": self.voxels,
            "max_probability_difference": self.worst,
            "beyond_tolerance": self.beyond,
            "differing_voxels": len(self.margins),
            "differing_ties": int((self.margins <= self.tie_margin).sum()),
            "largest_differing_margin": float(self.margins.max(initial=0.0)),
        }

    def check(self, name, allowed=0.0):
        row = self.row()
        if not self.images:
            raise ValueError("`images` is empty: agreement is counted on at least one image")
        if np.isnan(self.worst) or self.beyond > allowed * self.voxels:
            raise AgreementError(
                f"{name} differs from Keras by {self.worst:.3g} in a probability; at most "
                f"{self.tolerance:g} is allowed, and {self.beyond} of {self.voxels} differ by more"
            )
        if row["differing_voxels"] - row["differing_ties"] > allowed * self.voxels:
            raise AgreementError(
                f"{name} gives other labels than Keras: {row['differing_voxels']} of "
                f"{self.voxels} differ, {row['differing_ties']} of them ties within "
                f"{self.tie_margin:g}; the largest margin is {row['largest_differing_margin']:.3g}"
            )


def _load_saved_model(folder: Path):
    loaded = tf.saved_model.load(str(folder))
    answer = loaded.signatures["serving_default"]

    def run(image: np.ndarray) -> dict[str, np.ndarray]:
        outputs = answer(image=tf.constant(image[None], tf.float32))
        return {name: value.numpy()[0] for name, value in outputs.items()}

    run.keep = loaded  # the signature alone does not keep the variables alive
    return run
