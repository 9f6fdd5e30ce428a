"""Where a network looks: Grad-CAM of a bundle's answer on the original pixels, for every task."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from kmed.data import DataError
from kmed.explanations import explain as heat_of
from kmed.export import Bundle
from kmed.results import save_png
from kmed.results.heatmap import heatmap, heatmap_montage
from kmed.tasks.inputs import check_modality
from kmed.tasks.predictions import Predicted, samples_of, unused_name


def explain(
    bundle_path: str | Path,
    inputs: Iterable[str | Path],
    *,
    output: str | Path = "explanations",
    class_name: str | None = None,
    variant: str = "grad_cam",
    say: Callable[[str], None] = print,
) -> Predicted:
    """Draw what speaks for a class over each image, and save the map as an array.

    Args:
        bundle_path: saved_models/NAME or saved_models/NAME/VERSION.
        inputs: files and folders.
        output: folder for NAME.png and NAME.npy, the map `(H, W)` or `(D, H, W)` in [0, 1].
        class_name: the class to explain; by default what the bundle says of each image, of a mask
            the class of most voxels.
        variant: "grad_cam" or "grad_cam++".
        say: told what is being done.

    Returns:
        What was written and what failed.

    Raises:
        FileNotFoundError: if there is no bundle.
        ValueError: for an unknown class, with the known ones.
    """
    bundle = Bundle.load(bundle_path)
    chosen = None if class_name is None else class_index(bundle, class_name)
    written, failed, names = [], [], set()
    for sample in samples_of(inputs, failed):
        try:
            check_modality(sample, bundle.preprocessor.name)
            image = sample.read().image
            index = answered_class(bundle, image) if chosen is None else chosen
            picture, heat = explained(bundle, image, index, variant=variant)
        except DataError as error:
            failed.append((sample.id, str(error)))
            continue
        base = Path(output) / unused_name(sample.id, names)
        written.append(save_png(base.with_name(base.name + ".png"), picture))
        np.save(base.with_name(base.name + ".npy"), heat)
        written.append(base.with_name(base.name + ".npy"))
        say(f"{sample.id}: what speaks for {bundle.labels[index]}")
    return Predicted(written, failed)


def explained(
    bundle: Bundle, image: np.ndarray, index: int, *, variant: str = "grad_cam"
) -> tuple[np.ndarray, np.ndarray]:
    """Explain one class of one image.

    Args:
        bundle: the bundle.
        image: raw `(H, W, C)` or `(D, H, W, C)`; a volume goes slice by slice to a 2D network.
        index: of the class.
        variant: "grad_cam" or "grad_cam++".

    Returns:
        The picture `(H, W, 3)` uint8 and the map, float32 of the image's spatial shape.
    """
    image = np.asarray(image)
    whole = image.ndim - 1 == bundle.rank
    maps = [
        heat_of(
            bundle.preprocessor,
            bundle.network,
            one,
            fit=bundle.fit,
            size=bundle.size,
            levels=bundle.levels,
            class_index=_logit(bundle, index),
            variant=variant,
        )
        for one in (image[None] if whole else image)
    ]
    heat = maps[0] if whole else np.stack(maps)
    draw = heatmap if heat.ndim == 2 else heatmap_montage
    shown = image if image.shape[-1] in (1, 3) else image[..., :1]
    label = f"evidence for {bundle.labels[index]}"
    return draw(shown, heat, window=bundle.metadata.get("window_hu"), label=label), heat


def answered_class(bundle: Bundle, image: np.ndarray) -> int:
    """Choose the class to explain: of a mask the largest structure, of several the likeliest.

    Args:
        bundle: the bundle.
        image: raw `(H, W, C)` or `(D, H, W, C)`.

    Returns:
        Its index.
    """
    whole = image.ndim - 1 == bundle.rank
    labels, probabilities = zip(
        *(bundle.predict(one) for one in (image[None] if whole else image)), strict=True
    )
    if bundle.decoder.dense:
        counts = np.bincount(np.stack(labels).ravel(), minlength=len(bundle.labels))
        return 1 + int(counts[1:].argmax())
    if bundle.decoder.kind == "multilabel":
        return int(probabilities[0].argmax())
    return int(labels[0])


def class_index(bundle: Bundle, name: str) -> int:
    """Find a class by its name.

    Args:
        bundle: the bundle.
        name: of the class.

    Returns:
        Its index.

    Raises:
        ValueError: for an unknown name, with the known ones.
    """
    if name not in bundle.labels:
        near = difflib.get_close_matches(name, bundle.labels)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(bundle.labels)}"
        raise ValueError(f"the bundle {bundle.name!r} has no class {name!r}; {hint}")
    return bundle.labels.index(name)


def _logit(bundle: Bundle, index: int) -> int:
    """Which logit speaks for a class: of ordered classes the one of having passed the one below."""
    if getattr(bundle.decoder, "kind", None) == "ordinal":
        return max(index - 1, 0)
    return index if bundle.network.output_shape[-1] > 1 else 0
