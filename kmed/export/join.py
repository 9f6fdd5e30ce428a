"""How the parts of a bundle are joined, and what must hold for them to join."""

from __future__ import annotations

import keras

from kmed.layers import CropLike, Letterbox, MirrorTile, PadToMultiple, ResizeLike, ResizeTo

FITS = ("resize", "pad", "tile", "letterbox")


def join(bundle, network: keras.Model) -> keras.Model:
    """Join a bundle's preprocessor, a network and the decoder to one model.

    Args:
        bundle: the Bundle that says how.
        network: its network, or a rewritten copy of it.

    Returns:
        A functional model from raw images `(B, [D,] H, W, C)` of any size to the decoder's
        outputs.
    """
    image = keras.Input(bundle.preprocessor.input_shape[1:], dtype="float32", name="image")
    # float32 under mixed precision too: nothing here gains by half precision.
    options = {"name": "fit", "dtype": "float32"}
    if bundle.fit == "resize":
        fit, back = ResizeTo(bundle.size, **options), ResizeLike
    elif bundle.fit == "letterbox":
        fit, back = Letterbox(bundle.size, **options), None
    elif bundle.fit == "pad":
        fit, back = PadToMultiple(2 ** (bundle.levels - 1), **options), CropLike
    else:
        fit, back = MirrorTile(bundle.levels, **options), CropLike
    logits = logits_of(network(fit(bundle.preprocessor(image))))
    if bundle.decoder.dense:
        logits = back(name="fit_back", dtype="float32")([logits, image])  # (B, [D,] H, W, K)
    decoded = bundle.decoder([logits, image] if bundle.decoder.located else logits)
    return keras.Model(image, decoded, name=bundle.name)


def logits_of(outputs):
    """Logits among a network's outputs: of deep supervision's dictionary those of full size."""
    return outputs["logits"] if isinstance(outputs, dict) and "logits" in outputs else outputs


def check_parts(bundle) -> None:
    """Refuse a bundle whose parts do not fit each other.

    Args:
        bundle: a Bundle whose fields are set.

    Raises:
        ValueError: naming the argument, the rule and what was received.
    """
    network, preprocessor = bundle.network, bundle.preprocessor
    if bundle.rank not in (2, 3) or len(preprocessor.input_shape) != bundle.rank + 2:
        raise ValueError(
            "`preprocessor` and `network` must both be 2D or both 3D; received input shapes "
            f"{preprocessor.input_shape} and {network.input_shape}"
        )
    if preprocessor.output_shape[-1] != network.input_shape[-1]:
        raise ValueError(
            "the preprocessor must give as many channels as the network takes; received "
            f"{preprocessor.output_shape[-1]} and {network.input_shape[-1]}"
        )
    if preprocessor.name == network.name:
        raise ValueError(
            "`preprocessor` and `network` must have different names; received "
            f'"{network.name}" twice'
        )
    logits, decoder = logits_of(network.output), bundle.decoder
    if decoder.located:
        _check_detector(bundle)
    elif decoder.dense != (len(logits.shape) > 2):
        raise ValueError(
            f"a {type(decoder).__name__} takes logits of shape "
            f"{'(B, [D,] H, W, K)' if decoder.dense else '(B, K)'}; the network gives "
            f"{logits.shape}"
        )
    fits = decoder.fits
    if bundle.fit not in fits:
        raise ValueError(
            f"a {type(decoder).__name__} takes `fit` {' or '.join(fits)}; received {bundle.fit!r}"
        )
    classes = decoder.classes(logits)
    if len(bundle.labels) != classes:
        first = ", background first," if decoder.dense else ""
        raise ValueError(
            f"`labels` must name the {classes} classes{first} of the network's outputs; "
            f"received {bundle.labels}"
        )
    if bundle.spacing_mm is not None and len(bundle.spacing_mm) != bundle.rank:
        raise ValueError(f"`spacing_mm` needs {bundle.rank} numbers; received {bundle.spacing_mm}")
    sized = bundle.fit in ("resize", "letterbox")
    if bundle.size is None and sized:
        raise ValueError(
            f'fit="{bundle.fit}" needs a size: the network has none, so give the bundle a `size`'
        )
    if bundle.size is not None and len(bundle.size) != bundle.rank:
        raise ValueError(f"`size` needs {bundle.rank} numbers; received {bundle.size}")
    own = network.input_shape[1:-1]
    fitting = (o in (None, s) for o, s in zip(own, bundle.size or own, strict=True))
    if sized and not all(fitting):
        raise ValueError(
            f'fit="{bundle.fit}" resizes to the network\'s own size {own}; received size '
            f"{bundle.size}"
        )


def _check_detector(bundle) -> None:
    decoder = bundle.decoder
    if decoder.size != bundle.size or decoder.letterbox != (bundle.fit == "letterbox"):
        raise ValueError(
            "a DetectionDecoder undoes what the bundle's `fit` and `size` do; received "
            f"fit={bundle.fit!r} and size={bundle.size}, and of the decoder size={decoder.size} "
            f"and letterbox={decoder.letterbox}"
        )


def check_margin(bundle) -> None:
    """Refuse a network whose output is not as large as `fit` takes it to be.

    Args:
        bundle: a Bundle whose fields are set.

    Raises:
        ValueError: naming the sizes.
    """
    if not bundle.decoder.dense:
        return
    margin, smallest = 0, 2 ** (bundle.levels - 1)
    sizes = bundle.size if bundle.fit == "resize" else (2 * smallest,) * bundle.rank
    if bundle.fit == "tile":
        frame = MirrorTile(bundle.levels)
        margin = frame.margin
        sizes = frame.compute_output_shape((1, *[smallest] * bundle.rank, 1))[1:-1]
    example = keras.KerasTensor((1, *sizes, bundle.network.input_shape[-1]))
    received = tuple(logits_of(bundle.network(example)).shape[1:-1])
    wanted = tuple(size - margin for size in sizes)
    if received != wanted:
        raise ValueError(
            f'with fit="{bundle.fit}" and {bundle.levels} levels the network must give {wanted} '
            f'for an input of {tuple(sizes)}; it gives {received}. Use fit="tile" for valid '
            'convolutions and fit="pad" or "resize" for all others, and give `levels` where the '
            "network's strides do not tell them"
        )
