"""From a path to the images and boxes that a detector trains on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from kmed.data import Annotated, DataError, Objects, Sample, Split, annotated
from kmed.data.cache import Cache, Case
from kmed.layers import Letterbox, ResizeTo
from kmed.ops.letterbox import boxes_to_frame, placement
from kmed.tasks import inputs
from kmed.tasks.detection.settings import Settings


def open_data(settings: Settings, say: Callable[[str], None] = print) -> Annotated:
    """Find the samples and the boxes drawn on them.

    Args:
        settings: data, format, labels, patient, fix.
        say: told of boxes that were mended.

    Returns:
        The data set with boxes.

    Raises:
        DataError: if the path holds no boxes that kmed understands, or boxes with faults.
    """
    if settings.data is None:
        raise DataError(
            "a detector needs images with boxes: give `data` (--data PATH), Pascal VOC XML, COCO "
            "JSON, YOLO text files, a CSV table of boxes, or masks"
        )
    found = annotated(
        settings.data,
        format=settings.format,
        labels=settings.labels,
        patient=settings.patient,
        fix=settings.fix,
    )
    if found.problems:
        say(f"mended or left out {len(found.problems)} boxes; the first: {found.problems[0]}")
    return found


def cache(settings: Settings, prepare: keras.Model) -> Cache:
    """Make the cache of images as the network sees them.

    Args:
        settings: size and fit.
        prepare: the preprocessor.

    Returns:
        The cache; its cases hold what the exported bundle computes from the same raw values.
    """
    names = ("preprocessor", "window_hu", "size", "fit")
    description = {"task": "detection"} | {name: getattr(settings, name) for name in names}
    fit = Letterbox(settings.size) if settings.fit == "letterbox" else ResizeTo(settings.size)

    def prepared(image, mask, spacing_mm):
        if image.ndim != 3:
            raise DataError(
                f"images of {image.ndim - 1} spatial axes: detectors take pictures (H, W, C)"
            )
        return inputs.prepared_image(prepare, fit, image, settings.rank), None, None

    return Cache(settings.cache_dir or settings.run_folder / "cache", prepared, description)


def objects_in_frame(sample: Sample, case: Case, settings: Settings) -> Objects:
    """Move a sample's boxes to where the network sees them.

    Args:
        sample: with objects.
        case: the sample, prepared.
        settings: size and fit.

    Returns:
        The objects that count in training: those marked as difficult are left out.
    """
    objects = sample.objects
    place = placement(*case.source_shape, settings.size, letterbox=settings.fit == "letterbox")
    boxes = keras.ops.convert_to_numpy(boxes_to_frame(objects.boxes, place))
    counts = ~objects.difficult
    return Objects(boxes=boxes[counts], labels=objects.labels[counts])


def truth(samples: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
    """Give the boxes of samples as the metrics take them.

    Args:
        samples: with objects.

    Returns:
        For each "boxes" `(N, 4)` xyxy in pixels of the raw image, "labels" and "difficult" `(N,)`.
    """
    return [
        {
            "boxes": sample.objects.boxes,
            "labels": sample.objects.labels,
            "difficult": sample.objects.difficult,
        }
        for sample in samples
    ]


def parts(
    found: Annotated,
    settings: Settings,
    digests: Callable[[Sample], str],
    *,
    say: Callable[[str], None] = print,
) -> Split:
    """Split as the split file says, as the data set itself says, or by patient.

    Args:
        found: the data set.
        settings: split, split_file, fractions, seed, duplicates.
        digests: from a sample to the hash of its pixels.
        say: told of images left out.

    Returns:
        The audited split, see `kmed.tasks.inputs.own_or_drawn`.

    Raises:
        LeakageError: naming the files that two parts share.
        DataError: if the split file does not fit the data.
    """
    own = None if settings.split == "random" else found.split
    return inputs.own_or_drawn(found.samples, own, settings, digests, say=say)
