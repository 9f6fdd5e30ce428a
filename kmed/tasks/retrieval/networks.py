"""The two towers before their training and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import keras

from kmed import distribute, losses, preprocessors
from kmed.applications import text_tower
from kmed.tasks.optimizers import scheduled_adam
from kmed.tasks.retrieval.settings import LOSSES, Settings
from kmed.trainers.two_towers import TwoTowers

Builder = Callable[..., keras.Model]


def vocabulary(settings: Settings, sentences: Sequence[str]) -> list[str]:
    """Collect the words of the training part's sentences.

    Args:
        settings: vocabulary and word_count.
        sentences: of the training part alone.

    Returns:
        The words, the most frequent first.
    """
    return preprocessors.text_vocabulary(
        sentences, size=settings.vocabulary, minimum=settings.word_count
    )


def build(
    builder: Builder,
    settings: Settings,
    channels: Mapping[str, int | None],
    words: Sequence[str] | None,
) -> dict[str, keras.Model]:
    """Build the towers.

    Args:
        builder: of image towers, `kmed.applications.embedding`.
        settings: size, dimension, share, text, and the builder's options in `network`.
        channels: of each modality's images; None for text.
        words: vocabulary of the text.

    Returns:
        By modality its tower, the same one twice where they share.

    Raises:
        ValueError: if towers are to share that do not take the same input.
    """
    if settings.share and (None in channels.values() or len(set(channels.values())) > 1):
        raise ValueError(
            "`share` takes two modalities of images with as many channels; received "
            f"{dict(channels)} (None: text)"
        )
    towers: dict[str, keras.Model] = {}
    for modality, count in channels.items():
        if settings.share and towers:
            towers[modality] = next(iter(towers.values()))
        elif count is None:
            towers[modality] = text_tower(
                vocabulary_size=len(words) + 2,
                length=settings.words,
                dimension=settings.dimension,
                name="text_tower",
                **settings.text,
            )
        else:
            name = "tower" if settings.share else f"{modality}_tower"
            towers[modality] = builder(
                input_shape=(*settings.size, count),
                dimension=settings.dimension,
                name=name,
                **settings.network,
            )
    return towers


def compiled(towers: Mapping[str, keras.Model], settings: Settings, steps: int) -> TwoTowers:
    """Put the trainer around the towers and compile it.

    Args:
        towers: by modality.
        settings: loss, match, memory, chunks, learning rate.
        steps: batches of the whole training.

    Returns:
        What is fitted.
    """
    trainer = TwoTowers(
        dict(towers),
        getattr(losses, LOSSES[settings.loss])(**settings.loss_options),
        relations={
            "by": settings.match,
            "near_mm": settings.near_mm,
            "same_patient": settings.same_patient,
        },
        memory=settings.memory,
        memory_start=settings.memory_start,
        chunks=settings.chunks,
        seed=settings.seed,
    )
    optimizer = scheduled_adam(settings.learning_rate, steps, weight_decay=settings.weight_decay)
    trainer.compile(optimizer, jit_compile=distribute.jit_compile())
    return trainer
