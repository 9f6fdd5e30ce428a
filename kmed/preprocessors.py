"""From the scanner's numbers to a network's: exportable Keras models, one for each kind of image.

A preprocessor takes float32 `(B, [D,] H, W, C)` of any size in the units that the file holds
(Hounsfield units, 8 or 16 bit pixel values) and gives float32 of the same shape. Statistics are
taken from each image by itself, so that nothing has to be remembered from the training set. `text`
is for sentences.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import keras
import numpy as np
from keras import ops

from kmed.layers.intensity import Standardize, Window, check_range

# What goes into each preprocessor, by the name of the model.
UNITS = {
    "ct": "Hounsfield units",
    "mr": "pixel values of any linear scale, 0 outside of the body or brain",
    "xray": "pixel values of any linear scale, 8 or 16 bits",
    "intensity": "pixel values of the scale that the training images had",
    "rgb": "8 bit red, green and blue, 0 to 255",
    "vocabulary": "UTF-8 strings",
}
# What keras.layers.TextVectorization strips.
_PUNCTUATION = re.compile(rb"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']""")


def ct(
    window_hu: tuple[float, float] = (40.0, 400.0), *, channels: int = 1, rank: int = 2
) -> keras.Model:
    """Clip CT to a window and scale the window to [-1, 1].

    Reference: DICOM PS3.3, C.11.2.1.3.2 "linear exact": the window covers
    `center - width / 2` to `center + width / 2`.

    Args:
        window_hu: (center, width) in Hounsfield units; the default shows soft tissue.
        channels: channels of the image.
        rank: spatial axes, 2 or 3.

    Returns:
        A model from `(B, [D,] H, W, channels)` in Hounsfield units to [-1, 1].

    Raises:
        ValueError: if the window's width is not positive or the rank is not 2 or 3.

    Example:
        >>> image = np.full((4, 4, 1), 240.0)
        >>> float(preprocess_array(ct((40, 400)), image).max())
        1.0
    """
    center, width = window_hu
    return _model(Window(center, width, name="window"), "ct", channels, rank)


def mr(*, channels: int = 1, rank: int = 2) -> keras.Model:
    """Standardise MR by the mean and deviation of its nonzero voxels.

    Each image and each channel (contrast) by itself; voxels of exactly 0, which skull stripping
    and scanners leave outside of the body, count for nothing and stay 0. A constant image gives 0.

    Reference: Isensee et al. 2021, "nnU-Net", z-score within the nonzero mask.

    Args:
        channels: channels of the image, for example one for each contrast.
        rank: spatial axes, 2 or 3.

    Returns:
        A model from `(B, [D,] H, W, channels)` in any linear scale to mean 0 and deviation 1.

    Raises:
        ValueError: if the rank is not 2 or 3.
    """
    return _model(Standardize(nonzero=True, name="standardize"), "mr", channels, rank)


def xray(*, channels: int = 1, rank: int = 2) -> keras.Model:
    """Standardise a radiograph by the mean and deviation of all its pixels.

    Each image and each channel by itself. A constant image gives 0.

    Args:
        channels: channels of the image.
        rank: spatial axes, 2 or 3 (for example tomosynthesis).

    Returns:
        A model from `(B, [D,] H, W, channels)` in any linear scale to mean 0 and deviation 1.

    Raises:
        ValueError: if the rank is not 2 or 3.
    """
    return _model(Standardize(name="standardize"), "xray", channels, rank)


def rgb(*, channels: int = 3, rank: int = 2) -> keras.Model:
    """Scale 8 bit colour from [0, 255] to [-1, 1].

    Args:
        channels: channels of the image.
        rank: spatial axes, 2 or 3 (for example a stack of histology sections).

    Returns:
        A model from `(B, [D,] H, W, channels)` in [0, 255] to [-1, 1].

    Raises:
        ValueError: if the rank is not 2 or 3.
    """
    return _model(Window(127.5, 255.0, name="window"), "rgb", channels, rank)


def intensity(low: float, high: float, *, channels: int = 1, rank: int = 2) -> keras.Model:
    """Clip values to a range and scale the range to [-1, 1].

    For generators, whose images have to find the way back (`kmed.layers.IntensityInverse`): the
    range is the same for all images, and no statistics of the single image are taken.

    Args:
        low: raw value that becomes -1.
        high: raw value that becomes 1.
        channels: channels of the image.
        rank: spatial axes, 2 or 3.

    Returns:
        A model from `(B, [D,] H, W, channels)` in raw units to [-1, 1].

    Raises:
        ValueError: if `high` is not above `low` or the rank is not 2 or 3.

    Example:
        >>> preprocess_array(intensity(0, 1000), np.full((1, 1, 1), 750)).item()
        0.5
    """
    check_range(low, high)
    window = Window((low + high) / 2, high - low, name="window")
    return _model(window, "intensity", channels, rank)


def text(vocabulary: Sequence[str], *, length: int = 64) -> keras.Model:
    """Turn sentences into the ids of their words.

    Letters become lower case (A to Z only), punctuation is removed, so that "T2-weighted" is one
    word, and white space separates. The vocabulary is part of the saved model: no patients' names!

    Args:
        vocabulary: words as `text_vocabulary` gives them.
        length: ids of a sentence; words beyond are cut off.

    Returns:
        A model from strings `(B,)` or `(B, 1)` to int32 `(B, length)`: 0 is padding, 1 a word that
        the vocabulary does not have, 2 its first word. So a network needs two ids more than words.

    Raises:
        ValueError: if a word is twice there or cannot occur, or there is none, or no length.

    Example:
        >>> model = text(["lung", "left"], length=4)
        >>> model(keras.ops.convert_to_tensor(["The left lung."])).numpy().tolist()
        [[1, 3, 2, 0]]
    """
    vocabulary = [str(word) for word in vocabulary]
    if not vocabulary or length < 1:
        raise ValueError(
            "`vocabulary` must have at least one word and `length` be at least 1; received "
            f"{len(vocabulary)} words and {length}"
        )
    for word, count in Counter(vocabulary).items():
        if _words(word) != [word] or count > 1:
            raise ValueError(
                "`vocabulary` must be different words in lower case without punctuation and white "
                f"space, as `text_vocabulary` gives them; received {word!r} {count} time(s)"
            )
    sentence = keras.Input((), dtype="string", name="text")
    ids = keras.layers.TextVectorization(
        vocabulary=vocabulary, output_sequence_length=length, name="words"
    )(sentence)
    return keras.Model(sentence, ops.cast(ids, "int32"), name="vocabulary")


def text_vocabulary(texts: Iterable[str], *, size: int = 5000, minimum: int = 2) -> list[str]:
    """Give the words of a training set's sentences, frequent ones first, equal ones by alphabet.

    Args:
        texts: sentences; those of the training part only.
        size: number of ids that a network knows. Padding and the unknown word take two, so that
            there are at most `size - 2` words.
        minimum: how often a word must occur. A rare word is learnt by heart, and it may be a name.

    Returns:
        Words for `text`, split and spelt as it does.

    Raises:
        ValueError: if no word is left, or an argument is outside of what is said above.

    Example:
        >>> text_vocabulary(["Left lung, right lung.", "The left lung!"])
        ['lung', 'left']
    """
    if size < 3 or minimum < 1:
        raise ValueError(f"`size` must be 3, `minimum` 1 or more; received {size} and {minimum}")
    counts = Counter(word for sentence in texts for word in _words(sentence))
    words = sorted((-count, word) for word, count in counts.items() if count >= minimum)
    if not words:
        raise ValueError(f"`texts` must have a word that occurs {minimum} times; received none")
    return [word for _, word in words[: size - 2]]


def preprocess_array(preprocessor: keras.Model, image: np.ndarray) -> np.ndarray:
    """Apply a preprocessor to one image or volume without batch axis.

    Args:
        preprocessor: a model of this module.
        image: `(H, W, C)` or `(D, H, W, C)` in the preprocessor's units, of any number type.

    Returns:
        A float32 array of the same shape.

    Raises:
        ValueError: if the image's rank or channels are not the preprocessor's.
    """
    image = np.asarray(image)
    expected = preprocessor.input_shape
    if image.ndim != len(expected) - 1 or image.shape[-1] != expected[-1]:
        layout = "(D, H, W, C)" if len(expected) == 5 else "(H, W, C)"
        raise ValueError(
            f"`image` must be {layout} with {expected[-1]} channels for the preprocessor "
            f'"{preprocessor.name}"; received shape {image.shape}'
        )
    batch = image[None].astype("float32")
    return ops.convert_to_numpy(preprocessor(batch, training=False))[0]


def _words(sentence: str) -> list[str]:
    # As TextVectorization: bytes know the lower case of A to Z and ASCII's white space only.
    split = _PUNCTUATION.sub(b"", sentence.encode().lower()).split()
    return [word.decode() for word in split]


def _model(layer, name, channels, rank):
    if rank not in (2, 3):
        raise ValueError(f"`rank` must be 2 or 3 spatial axes; received {rank}")
    if channels < 1:
        raise ValueError(f"`channels` must be at least 1; received {channels}")
    image = keras.Input((*[None] * rank, channels), dtype="float32", name="image")
    return keras.Model(image, layer(image), name=name)
