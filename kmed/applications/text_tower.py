"""A text tower: a small encoder from a sentence's word ids to a vector of length 1.

References:
    Vaswani et al. 2017, "Attention Is All You Need", section 3.1 (the encoder).
    Xiong et al. 2020, "On Layer Normalization in the Transformer Architecture" (normalisation in
    front of each sublayer, which trains without a warm-up).
    Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder" (the GRU).
"""

from __future__ import annotations

from pathlib import Path

import keras

from kmed.applications.classifier_head import drop
from kmed.layers.sentences import LearntPositions, MaskedMean, WordMask
from kmed.layers.unit_length import UnitLength
from kmed.weights import load

ENCODERS = ("transformer", "gru", "bag")


def text_tower(
    *,
    vocabulary_size: int = 5000,
    length: int = 64,
    dimension: int = 128,
    width: int = 128,
    encoder: str = "transformer",
    layers: int = 2,
    heads: int = 4,
    dropout: float = 0.1,
    weights: str | Path | None = None,
    name: str = "text_tower",
) -> keras.Model:
    """Build a network from a sentence's word ids to a vector of length 1.

    Words become vectors, the encoder relates them to each other, and what it gives is averaged
    over the sentence's words. `kmed.preprocessors.text` makes ids of strings: 0 is padding, which
    changes nothing wherever it stands behind the words, and 1 any word that is not in the
    vocabulary. A sentence without words has a vector of its own.

    Reference: Vaswani et al. 2017, figure 1; Xiong et al. 2020, figure 1b.

    Args:
        vocabulary_size: number of ids, padding and the unknown word counted: two more than the
            words that `kmed.preprocessors.text` is given.
        length: ids of a sentence.
        dimension: components of the vector.
        width: components of a word's vector.
        encoder: "transformer"; "gru" (read from both ends, half of `width` each); or "bag", the
            words themselves, whose order does not count.
        layers: layers of the Transformer or of the GRU.
        heads: attention heads of the Transformer; `width` must be a multiple.
        dropout: rate of dropout behind the words' vectors and each part of the encoder, in [0, 1).
        weights: None, or the path of a `.weights.h5` or `.keras` file of the same network.
        name: name of the model.

    Returns:
        A functional model from int32 `(B, length)` ("ids") to float32 `(B, dimension)`, each row
        of length 1. Its last layers are "embedding" (dense) and "unit_length".

    Raises:
        ValueError: if an argument is outside of what is said above.

    Example:
        >>> tower = text_tower(vocabulary_size=9, length=4, dimension=3, width=8, heads=2)
        >>> tower(keras.ops.array([[2, 5, 1, 0], [0, 0, 0, 0]])).shape
        TensorShape([2, 3])
    """
    _check(vocabulary_size, length, dimension, width, encoder, layers, heads, dropout)
    ids = keras.Input((length,), dtype="int32", name="ids")
    mask = WordMask(name="mask")(ids)  # (B, L)
    x = keras.layers.Embedding(vocabulary_size, width, name="words")(ids)  # (B, L, width)
    if encoder == "transformer":
        x = LearntPositions(name="positions")(x)
    x = drop(x, dropout, name="words_dropout")
    if encoder == "transformer":
        for i in range(layers):
            x = _attended(x, mask, heads, dropout, f"layer{i}_attention")
            x = _transformed(x, dropout, f"layer{i}_dense")
        x = keras.layers.LayerNormalization(epsilon=1e-5, name="norm")(x)
    elif encoder == "gru":
        for i in range(layers):
            x = _read(x, mask, f"layer{i}_gru")
            x = drop(x, dropout, name=f"layer{i}_dropout")
    x = MaskedMean(name="mean")([x, mask])  # (B, width)
    # float32 under mixed precision too: neighbours are told apart by small differences.
    x = keras.layers.Dense(dimension, dtype="float32", name="embedding")(x)
    network = keras.Model(ids, UnitLength(name="unit_length")(x), name=name)
    load(network, weights)
    return network


def _attended(x, mask, heads, dropout, name):
    """Add to each word what it finds in the others."""
    y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(x)
    attention = keras.layers.MultiHeadAttention(
        heads, x.shape[-1] // heads, dropout=dropout, name=name
    )
    y = attention(y, y, value_mask=mask)
    return keras.layers.Add(name=f"{name}_add")([x, drop(y, dropout, name=f"{name}_dropout")])


def _transformed(x, dropout, name):
    """Add to each word what two dense layers make of it."""
    width = x.shape[-1]
    y = keras.layers.LayerNormalization(epsilon=1e-5, name=f"{name}_norm")(x)
    y = keras.layers.Dense(4 * width, kernel_initializer="he_normal", name=f"{name}1")(y)
    y = keras.layers.Activation("relu", name=f"{name}_relu")(y)
    y = keras.layers.Dense(width, name=f"{name}2")(y)
    return keras.layers.Add(name=f"{name}_add")([x, drop(y, dropout, name=f"{name}_dropout")])


def _read(x, mask, name):
    """Read the sentence from both ends."""
    # float32 under mixed precision too: what is carried from word to word adds up its rounding.
    # Without cuDNN, which refuses sentences with padding in front of their words.
    gru = keras.layers.GRU(
        x.shape[-1] // 2, return_sequences=True, use_cudnn=False, dtype="float32"
    )
    return keras.layers.Bidirectional(gru, dtype="float32", name=name)(x, mask=mask)


def _check(vocabulary_size, length, dimension, width, encoder, layers, heads, dropout):
    if vocabulary_size < 3:
        raise ValueError(
            "`vocabulary_size` must be at least 3: padding, the unknown word and one word; "
            f"received {vocabulary_size}"
        )
    numbers = {"length": length, "dimension": dimension, "width": width}
    numbers |= {"layers": layers, "heads": heads}
    for argument, value in numbers.items():
        if value < 1:
            raise ValueError(f"`{argument}` must be at least 1; received {value}")
    if encoder not in ENCODERS:
        raise ValueError(f"`encoder` must be one of {', '.join(ENCODERS)}; received {encoder!r}")
    parts = {"transformer": heads, "gru": 2, "bag": 1}[encoder]
    if width % parts:
        raise ValueError(
            f"`width` must be a multiple of {parts}, which the {encoder} divides it by; "
            f"received {width}"
        )
    if not 0 <= dropout < 1:
        raise ValueError(f"`dropout` must be in [0, 1); received {dropout}")
