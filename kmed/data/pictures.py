"""PNG, JPEG and TIFF files to arrays, with the values that are stored."""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

# The plugins are imported here because Pillow's own late import is not made for threads.
from PIL import Image, ImageOps, JpegImagePlugin, PngImagePlugin, TiffImagePlugin

from kmed.data.sample import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")

_FORMATS = tuple(
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,  # also opens MPO, a phone's JPEG with a preview behind it
        TiffImagePlugin.TiffImageFile,
    )
)

# Pillow's modes and how many channels kmed makes of them; alpha is not counted, see `read_picture`.
_CHANNELS = {"1": 1, "L": 1, "I": 1, "I;16": 1, "I;16B": 1, "I;16L": 1, "I;16N": 1, "F": 1, "LA": 1}
_CHANNELS |= {"P": 3, "PA": 3, "RGB": 3, "RGBA": 3}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _ORIENTATION = 258, 262, 274  # TIFF 6.0 tags; 274 also in EXIF


class Header(NamedTuple):
    """What a picture's first bytes say.

    Attributes:
        size: (height, width) as stored.
        channels: 1 or 3, what `read_picture` gives.
        orientation: EXIF orientation 1 to 8; PNG tells it only when decoded, then 1 is given.
    """

    size: tuple[int, int]
    channels: int
    orientation: int


def picture_header(path: str | os.PathLike) -> Header:
    """Reads size and kind of a picture without decoding it.

    Args:
        path: PNG, JPEG or TIFF file.

    Returns:
        Its `Header`.

    Raises:
        DataError: if the file is unreadable or of a kind that kmed refuses.
    """
    return _opened(path, lambda image: _header(image, path))


def read_picture(
    path: str | os.PathLike, *, channels: int | None = None, upright: bool = True
) -> np.ndarray:
    """Decodes a picture to (H, W, C) with its stored values.

    16 bits stay 16 bits. Palette pictures become RGB. An alpha channel is dropped if it is opaque
    everywhere, else the picture is refused, since what lies under transparent pixels is undefined.

    Args:
        path: PNG, JPEG or TIFF file with one page.
        channels: 1 turns colour to luminance (ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, exact
            where R = G = B); 3 repeats grey; None keeps what the file has.
        upright: turn the picture as its EXIF orientation says, as viewers do. False refuses a
            picture that would have to be turned.

    Returns:
        (H, W, 1) or (H, W, 3) array; uint8, or uint16, int16, int32, float32 where the file has
        more bits.

    Raises:
        DataError: if the file is unreadable or of a kind that kmed refuses.
    """
    array = _opened(path, lambda image: _decoded(image, path, upright))
    if array.ndim == 2:
        array = array[..., np.newaxis]
    if channels == 1 and array.shape[-1] == 3:
        grey = array.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        array = np.rint(grey).astype(array.dtype)[..., np.newaxis]
    elif channels == 3 and array.shape[-1] == 1:
        array = np.repeat(array, 3, axis=-1)
    return np.ascontiguousarray(array)


def read_mask_picture(path: str | os.PathLike) -> np.ndarray:
    """Decodes a picture that holds a mask to (H, W) with its stored values.

    The values of a palette picture are its indices. Colour is taken if its three channels agree.

    Args:
        path: PNG, JPEG or TIFF file with one page.

    Returns:
        (H, W) array.

    Raises:
        DataError: if the file is unreadable, or its classes are painted in colours.
    """
    array = _opened(path, lambda image: _decoded(image, path, upright=False, indices=True))
    if array.ndim == 3:
        if (array != array[..., :1]).any():
            raise DataError(
                f"{path}: a mask has one channel of class indices; this one is painted in "
                "colours; write the class index of each colour to a grey or palette PNG"
            )
        array = array[..., 0]
    return np.ascontiguousarray(array)


def _opened(path, use):
    try:
        # Given a path, Pillow maps uncompressed TIFF into memory, and scrambles it if its
        # orientation is 5 to 8; given a file it does not.
        with open(path, "rb") as file, Image.open(file, formats=_FORMATS) as image:
            return use(image)
    except DataError:
        raise
    except Exception as error:
        # Damaged files surface as OSError, SyntaxError, struct.error, zlib.error and others.
        raise DataError(f"{path}: cannot be read as PNG, JPEG or TIFF ({error})") from error


def _header(image: Image.Image, path) -> Header:
    if image.mode not in _CHANNELS:
        raise DataError(f"{path}: expected grey, RGB or palette; received colour mode {image.mode}")
    # Of an MPO kmed reads the first picture, as viewers do.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise DataError(
            f"{path}: holds {image.n_frames} pages; write one file per page, or a volume as NIfTI"
        )
    if image.format == "TIFF":
        if image.mode.startswith("I;16") and image.tag_v2.get(_PHOTOMETRIC) == 0:
            raise DataError(f"{path}: 16-bit TIFF with WhiteIsZero; write it with BlackIsZero")
        if _CHANNELS[image.mode] == 3 and _bits(image, path) > 8:
            raise DataError(
                f"{path}: TIFF with {_bits(image, path)} bits per colour; write it as PNG"
            )
    orientation = 1
    if image.format == "TIFF":
        orientation = image.tag_v2.get(_ORIENTATION, 1)
    elif image.format != "PNG":
        orientation = image.getexif().get(_ORIENTATION, 1)
    return Header((image.height, image.width), _CHANNELS[image.mode], orientation)


def _decoded(image: Image.Image, path, upright: bool, indices: bool = False) -> np.ndarray:
    orientation = _header(image, path).orientation
    if image.format == "PNG":
        orientation = image.getexif().get(_ORIENTATION, 1)  # decodes: PNG may tell it at the end
    if not upright and orientation not in (0, 1):
        raise DataError(
            f"{path}: its EXIF orientation {orientation} asks viewers to turn it, and whether the "
            "mask was drawn before or after turning is unknown; save both upright "
            "(PIL.ImageOps.exif_transpose)"
        )
    bits = _bits(image, path)
    if image.format == "PNG" and bits == 16 and not image.mode.startswith("I"):
        # Pillow cuts 16-bit colour to 8.
        array = _without_alpha(_deep_png(path), path, opaque=65535)
        return array if orientation in (0, 1) else _turned(array, orientation)
    image.load()  # turns TIFF upright by itself
    if image.format != "TIFF" and orientation not in (0, 1):
        image = ImageOps.exif_transpose(image)
    if image.mode == "PA" or (image.mode == "P" and not indices):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    array = np.asarray(image)
    if image.mode == "1":
        array = array.astype(np.uint8)
    elif image.mode in ("LA", "RGBA"):
        array = _without_alpha(array, path, opaque=255)
    elif image.mode == "L" and bits in (2, 4):
        array = array // (255 // (2**bits - 1))  # Pillow stretches them to 0..255
    elif image.mode == "I" and bits == 16:
        array = array.astype(np.int16 if array.min() < 0 else np.uint16)
    elif image.mode == "F" and not np.isfinite(array).all():
        raise DataError(f"{path}: holds values that are not finite")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _bits(image: Image.Image, path) -> int:
    if image.format == "TIFF":
        return max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    if image.format == "PNG":
        # Byte 24 of a PNG is IHDR's bit depth (ISO/IEC 15948, 11.2.2).
        with open(path, "rb") as file:
            return file.read(25)[24]
    return 8


def _deep_png(path) -> np.ndarray:
    import tensorflow as tf  # slow to import, and needed for 48-bit pictures only

    return tf.io.decode_png(tf.io.read_file(os.fspath(path)), dtype=tf.uint16).numpy()


def _turned(array: np.ndarray, orientation: int) -> np.ndarray:
    # EXIF 2.32, tag 274: 1 upright, 2 mirrored, 3 turned by 180 degrees, 4 both; 5 to 8 transposed.
    if orientation >= 5:
        array, orientation = array.swapaxes(0, 1), {5: 1, 6: 2, 7: 3, 8: 4}[orientation]
    flips = {1: (), 2: (1,), 3: (0, 1), 4: (0,)}[orientation]
    return np.flip(array, flips)


def _without_alpha(array: np.ndarray, path, opaque: int) -> np.ndarray:
    if array.ndim == 3 and array.shape[-1] in (2, 4):
        if (array[..., -1] != opaque).any():
            raise DataError(f"{path}: has transparent pixels; save it without an alpha channel")
        array = array[..., :-1]
    return array
