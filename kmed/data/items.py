"""What a retrieval finds: slices, volumes, pictures and sentences of two modalities."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kmed.data.sample import Sample
from kmed.data.splits import Split

#: Of each key, the samples of each modality that match.
Studies = Sequence[tuple[str, Mapping[str, Sequence[Sample]]]]


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that can be asked for and be found.

    Attributes:
        id: unique within its modality.
        patient: items of one patient never part in a split.
        study: items of one study may show nearly the same; positions are compared within one only.
        key: items of the two modalities match if they have the same key.
        sample: the image or volume that shows it; None for a sentence.
        slice: index on the first axis of the sample's volume; None for the whole image.
        text: the sentence; None for an image.
        label: class index of the item, or None where it is unknown.
        position_mm: place along the normal of the slices, comparable within one study; None where
            it is unknown.
    """

    id: str
    patient: str
    study: str
    key: str
    sample: Sample | None = None
    slice: int | None = None
    text: str | None = None
    label: int | None = None
    position_mm: float | None = None


@dataclass(frozen=True, kw_only=True)
class CrossModal:
    """Items of two modalities that match.

    Attributes:
        modalities: names of the first and of the second, such as ("t1", "t2").
        items: the items of each modality; every key of one is a key of the other.
        labels: names of the classes in the order of the items' labels; empty without labels.
        split: the data set's own split of its samples, or None where it has none. A part that it
            does not have is empty.
    """

    modalities: tuple[str, str]
    items: dict[str, tuple[Item, ...]]
    labels: tuple[str, ...] = ()
    split: Split | None = None

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The images and volumes of both modalities, each once, sorted by id."""
        found = {
            item.sample.id: item.sample
            for items in self.items.values()
            for item in items
            if item.sample is not None
        }
        return tuple(found[name] for name in sorted(found))

    def part(self, patients: Iterable[str | Sample]) -> CrossModal:
        """Keeps the items of some patients.

        Args:
            patients: names of patients, or samples, whose patients are meant.

        Returns:
            The same without the others, and without split.

        Example:
            >>> items = tuple(
            ...     Item(id=name, patient=name[0], study=name[0], key=name, text=name)
            ...     for name in ("a1", "a2", "b1")
            ... )
            >>> both = CrossModal(modalities=("t1", "t2"), items={"t1": items, "t2": items})
            >>> [item.id for item in both.part(["a"]).items["t2"]]
            ['a1', 'a2']
        """
        wanted = {p.patient if isinstance(p, Sample) else p for p in patients}
        items = {
            name: tuple(item for item in items if item.patient in wanted)
            for name, items in self.items.items()
        }
        return replace(self, items=items, split=None)


def whole_items(
    studies: Studies, *, label_of: Callable[[Sample], int | None] = lambda sample: sample.label
) -> dict[str, tuple[Item, ...]]:
    """Makes one item of each picture or volume.

    Args:
        studies: key and samples by modality.
        label_of: gives the label of a sample.

    Returns:
        Items by modality, in the order of the studies; the key is also the study.
    """
    items: dict[str, list[Item]] = {}
    for key, of in studies:
        for modality, samples in of.items():
            items.setdefault(modality, []).extend(
                Item(
                    id=sample.id,
                    patient=sample.patient,
                    study=key,
                    key=key,
                    sample=sample,
                    label=label_of(sample),
                )
                for sample in samples
            )
    return {modality: tuple(found) for modality, found in items.items()}
