"""The items of one modality, ready to be put into batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from kmed.data.cache import Case
from kmed.data.items import CrossModal, Item
from kmed.data.sample import DataError

# Images of a modality below this size are read once and kept; others come from the disk.
_KEPT_BYTES = 512 * 2**20
_NAMES = ("key", "patient", "study")


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Items of one modality with the numbers that tell which of them match.

    Attributes:
        items: the items, in order.
        keys: "key", "patient", "study" and "label" `(N,)` int32, the label -1 where it is unknown,
            and "position" `(N,)` float32 in mm, NaN where it is unknown; as
            `kmed.ops.relations.relations` takes them.
        text: whether the items are sentences.
        shape: `([D,] H, W, C)` of all images; None for sentences, and for images without cases.
    """

    items: tuple[Item, ...]
    keys: Mapping[str, np.ndarray]
    text: bool
    shape: tuple[int, ...] | None
    _read: Callable[[np.ndarray], np.ndarray] | None = field(repr=False)

    @classmethod
    def of(
        cls,
        items: Sequence[Item],
        cases: Mapping[str, Case] | None = None,
        *,
        numbers: Mapping[str, Mapping[str, int]] | None = None,
    ) -> View:
        """Makes the view of one modality.

        Args:
            items: of one modality, all of them images or all sentences.
            cases: by sample id what `Cache.cases` prepared, of one common size of images or
                slices; None makes a view that tells what matches and has no images.
            numbers: for "key", "patient" and "study" the number of each name, where another
                modality shares them; by default those of these items.

        Returns:
            The view.

        Raises:
            DataError: if there are no items.
            ValueError: if images and sentences are mixed, a case is missing or does not fit its
                item, or sizes differ.
        """
        items = tuple(items)
        if not items:
            raise DataError("a part of the data has no items of one of the two modalities")
        numbers = _numbers(items) if numbers is None else numbers
        text = _all_text(items)
        keys = {
            name: np.array([numbers[name][getattr(item, name)] for item in items], np.int32)
            for name in _NAMES
        }
        labels = [-1 if item.label is None else item.label for item in items]
        places = [np.nan if item.position_mm is None else item.position_mm for item in items]
        keys["label"] = np.array(labels, np.int32)
        keys["position"] = np.array(places, np.float32)
        shape, read = None, None
        if text:
            sentences = np.array([item.text.encode() for item in items], object)
            read = sentences.__getitem__
        elif cases is not None:
            images = _Images(items, cases)
            shape, read = images.shape, images.read
        return cls(items=items, keys=keys, text=text, shape=shape, _read=read)

    def __len__(self) -> int:
        return len(self.items)

    def read(self, entries: np.ndarray) -> np.ndarray:
        """Reads some of the items.

        Args:
            entries: `(B,)` indices of items.

        Returns:
            Images float32 `(B, [D,] H, W, C)`, or sentences `(B,)`, objects of bytes in UTF-8.

        Raises:
            ValueError: if the view was made without cases.
        """
        if self._read is None:
            raise ValueError(
                "this view of images was made without `cases` and has none to read; pass what "
                "`Cache.cases` prepared, by sample id"
            )
        return self._read(np.asarray(entries))


def views(found: CrossModal, cases: Mapping[str, Case] | None = None) -> dict[str, View]:
    """Makes the views of both modalities, with numbers that they share.

    Numbers count names in alphabetical order, so that they depend on the items alone.

    Args:
        found: the items.
        cases: as in `View.of`, of the samples of both modalities.

    Returns:
        By modality, the first one first.

    Raises:
        DataError: as `View.of`, naming the modality.
        ValueError: as `View.of`.

    Example:
        >>> def items(*keys):
        ...     return tuple(
        ...         Item(id=key, patient=key[0], study=key[0], key=key, text=key) for key in keys
        ...     )
        >>> both = CrossModal(
        ...     modalities=("a", "b"), items={"a": items("p2", "p1"), "b": items("p1", "q1")}
        ... )
        >>> {name: view.keys["key"].tolist() for name, view in views(both).items()}
        {'a': [1, 0], 'b': [0, 2]}
    """
    for name in found.modalities:
        if not found.items[name]:
            raise DataError(f"there are no items of {name!r} in this part of the data")
    numbers = _numbers([item for name in found.modalities for item in found.items[name]])
    return {name: View.of(found.items[name], cases, numbers=numbers) for name in found.modalities}


class _Images:
    """Reads the images of items, each file's slice alone."""

    def __init__(self, items, cases):
        self.cases, self.places, self.entries = [], [], np.zeros(len(items), np.int32)
        number_of_case: dict[str, int] = {}
        number_of_place: dict[tuple[int, int | None], int] = {}
        for entry, item in enumerate(items):
            name = item.sample.id
            if name not in number_of_case:
                if name not in cases:
                    raise ValueError(f"`cases` has no case of sample {name!r}")
                number_of_case[name] = len(self.cases)
                self.cases.append(cases[name])
            place = (number_of_case[name], item.slice)
            self._check(item, self.cases[place[0]])
            # Several items may show one image, such as a picture with several captions.
            self.entries[entry] = number_of_place.setdefault(place, len(self.places))
            if self.entries[entry] == len(self.places):
                self.places.append(place)
        self.shape = self._common_shape()
        self.kept = None
        if len(self.places) * int(np.prod(self.shape)) * 4 <= _KEPT_BYTES:
            self.kept = np.empty((len(self.places), *self.shape), np.float32)
            self._fill(self.kept, self.places)
        else:
            for case in self.cases:
                self._open(case)  # what does not fit is said now, not in the middle of a training

    def read(self, entries):
        """Give images `(B, [D,] H, W, C)`."""
        numbers = self.entries[entries]
        if self.kept is not None:
            return self.kept[numbers]
        images = np.empty((len(numbers), *self.shape), np.float32)
        self._fill(images, [self.places[number] for number in numbers])
        return images

    def _fill(self, images, places):
        opened, current = None, None
        for row, (number, index) in enumerate(places):
            if number != current:
                opened, current = self._open(self.cases[number]), number
            images[row] = opened if index is None else opened[index]

    @staticmethod
    def _check(item, case):
        if item.slice is not None and not (
            len(case.shape) == 3 and 0 <= item.slice < case.shape[0]
        ):
            raise ValueError(
                f"item {item.id!r} is slice {item.slice} of a volume; its case has the spatial "
                f"shape {tuple(case.shape)}"
            )

    def _open(self, case):
        image = case.image()
        if image.shape[-1] != self.shape[-1]:
            raise ValueError(
                "images of a modality must have equal channels to share a batch; received images "
                f"of {self.shape[-1]} and of {image.shape[-1]} channels; prepare them alike"
            )
        return image

    def _common_shape(self):
        shapes = {
            tuple(self.cases[number].shape[0 if index is None else 1 :])
            for number, index in self.places
        }
        if len(shapes) > 1:
            raise ValueError(
                "images of a modality must have one common size to share a batch; received sizes "
                f"{sorted(shapes)[:5]}; resize them"
            )
        return (*shapes.pop(), self.cases[0].image().shape[-1])


def _numbers(items) -> dict[str, dict[str, int]]:
    """Number the names of keys, patients and studies."""
    return {
        name: {
            value: number
            for number, value in enumerate(sorted({getattr(item, name) for item in items}))
        }
        for name in _NAMES
    }


def _all_text(items) -> bool:
    """Tell sentences from images, and refuse items that are neither or a mixture."""
    for item in items:
        if (item.sample is None) == (item.text is None):
            raise ValueError(
                f"item {item.id!r} must have either a sample or a text; it has "
                + ("both" if item.text is not None else "neither")
            )
    texts = sum(item.text is not None for item in items)
    if texts not in (0, len(items)):
        raise ValueError(
            f"items of one modality are all images or all texts; received {texts} texts among "
            f"{len(items)} items"
        )
    return texts > 0
