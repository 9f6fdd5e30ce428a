"""A picture of an embedding space: the items of both modalities on one plane."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from kmed.results.panels import COLORS, drawn, legend
from kmed.results.svg import INK

METHODS = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}

# A ring around a point is seen where both modalities lie at one place, as they should.
_RING = 3.2  # times the area of a point
_DIMENSIONS = 50  # more are first reduced by PCA, as van der Maaten and Hinton do
_NEIGHBOURS = 30.0  # perplexity of t-SNE
_FEWEST = 10  # points; the neighbourhoods of fewer make no map
_LINES = 400  # pairs up to which each is joined by a line that can be seen


class EmbeddingMap(NamedTuple):
    """Where the items of both modalities lie.

    Attributes:
        places: of each modality `(N, 2)`.
        rows: of each modality `(N,)`, which of its items these are.
        method: name of the method.
    """

    places: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    method: str


def embedding_map(
    embeddings: Mapping[str, np.ndarray],
    *,
    method: str = "tsne",
    keys: Mapping[str, Sequence] | None = None,
    most: int = 2000,
    seed: int = 0,
) -> EmbeddingMap:
    """Lays the items of several modalities out on one plane, near what is near to them.

    Reference:
        van der Maaten, Hinton: Visualizing data using t-SNE, JMLR 9 (2008).
        McInnes, Healy, Melville: UMAP, arXiv:1802.03426.

    Args:
        embeddings: of each modality `(N, D)`, of one D. Unit vectors, whose Euclidean distance
            orders as their angle does.
        method: "tsne"; "umap", which needs umap-learn; or "pca", which shows the two directions in
            which the items differ most. Fewer than 10 points are laid out by PCA.
        keys: of each modality `(N,)`; what matches has one key. Of more than `most` points those
            are then drawn that match.
        most: points at most, of all modalities together, drawn at random.
        seed: of the drawing and of the layout.

    Returns:
        The map.

    Raises:
        ValueError: for an unknown method or arrays that do not fit one another.
        ImportError: for "umap" without umap-learn.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> vectors = {name: rng.normal(size=(6, 4)) for name in ("ct", "t2")}
        >>> embedding_map(vectors, method="pca").places["t2"].shape
        (6, 2)
    """
    if method not in METHODS:
        raise ValueError(f"`method` must be one of {tuple(METHODS)}; received {method!r}")
    vectors = {name: np.asarray(values, "float32") for name, values in embeddings.items()}
    shapes = {name: values.shape for name, values in vectors.items()}
    if (
        not vectors
        or any(len(shape) != 2 or 0 in shape for shape in shapes.values())
        or len({shape[1] for shape in shapes.values()}) > 1
    ):
        raise ValueError(
            "`embeddings` must be (N, D) of each modality, of one D and not empty; "
            f"received {shapes}"
        )
    if not all(np.isfinite(values).all() for values in vectors.values()):
        raise ValueError("`embeddings` must be finite: the network that gave them has diverged")
    rows = _drawn_rows({name: len(v) for name, v in vectors.items()}, keys, most, seed)
    together = np.concatenate([values[rows[name]] for name, values in vectors.items()])
    if len(together) < _FEWEST:
        method = "pca"
    plane = _plane(together, method, seed)
    ends = np.cumsum([len(rows[name]) for name in vectors])[:-1]
    places = dict(zip(vectors, np.split(plane, ends), strict=True))
    return EmbeddingMap(places, rows, METHODS[method])


def embedding_figure(
    found: EmbeddingMap,
    *,
    keys: Mapping[str, Sequence] | None = None,
    classes: Mapping[str, Sequence[int]] | None = None,
    labels: Sequence[str] = (),
) -> str:
    """Draws the map: points of one modality, rings of the other, lines between what matches.

    Short lines are pairs that the networks see alike. With `classes` the colours are those of the
    six most frequent classes, without they are those of the modalities. Axes have no ticks, for
    such a map has no units.

    Args:
        found: of `embedding_map`.
        keys: of each modality `(N,)` for all its items; what matches has one key. Up to 400 pairs
            are joined.
        classes: of each modality `(N,)` indices of `labels` for all its items, below 0 unknown.
        labels: names of the classes.

    Returns:
        An `<svg>` element. Equal arguments give equal text.

    Raises:
        ValueError: for a class without a name.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> vectors = {name: rng.normal(size=(6, 4)) for name in ("ct", "t2")}
        >>> embedding_figure(embedding_map(vectors, method="pca"))[:4]
        '<svg'
    """
    groups = _groups(found, classes, labels)
    pairs = _pairs(found, keys) if keys is not None else ()

    def draw(axes):
        if len(pairs):
            # Fewer pairs have room for darker lines.
            alpha = 0.5 if len(pairs) <= _LINES // 4 else 0.25
            axes.add_collection(LineCollection(pairs, colors=INK, alpha=alpha, lw=0.5, zorder=1))
        total = sum(len(places) for places in found.places.values())
        area = 26 if total <= 200 else 12 if total <= 800 else 6
        for index, (modality, places) in enumerate(found.places.items()):
            for tone, _, chosen in groups[modality]:
                style = {"alpha": 0.25 if tone == INK else 0.8, "zorder": 2}
                if index % 2:
                    look = {"s": _RING * area, "facecolors": "none", "edgecolors": tone, "lw": 0.8}
                else:
                    look = {"s": area, "c": tone, "lw": 0}
                axes.scatter(*places[chosen].T, **look, **style)
        for handle in _handles(found, groups, classes is not None):
            axes.add_line(handle)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.margins(0.03)
        legend(axes, None, f"{found.method} of {total:,} items")

    return drawn(draw)


def _drawn_rows(counts, keys, most, seed):
    rng = np.random.default_rng(seed)
    everything = {name: np.arange(count) for name, count in counts.items()}
    if sum(counts.values()) <= most:
        return everything
    if keys is None:
        share = most / sum(counts.values())
        return {
            name: np.sort(rng.choice(rows, max(1, int(share * len(rows))), replace=False))
            for name, rows in everything.items()
        }
    columns = {name: np.asarray(keys[name]) for name in counts}
    shared = sorted(set.intersection(*(set(column.tolist()) for column in columns.values())))
    rng.shuffle(shared)
    of_key = {name: {} for name in counts}
    for name, column in columns.items():
        for row, key in enumerate(column.tolist()):
            of_key[name].setdefault(key, []).append(row)
    rows, total = {name: [] for name in counts}, 0
    for key in shared:
        size = sum(len(of_key[name][key]) for name in counts)
        if total + size > most:
            continue
        total += size
        for name in counts:
            rows[name] += of_key[name][key]
    if not total:  # nothing matches, or one key has more items than a picture
        return _drawn_rows(counts, None, most, seed)
    return {name: np.sort(np.array(chosen)) for name, chosen in rows.items()}


def _plane(points, method, seed):
    """Coordinates `(N, 2)` of vectors `(N, D)`."""
    if method == "pca" or points.shape[1] > _DIMENSIONS:
        points = _principal(points, 2 if method == "pca" else _DIMENSIONS)
    if method == "pca":
        return points
    if method == "tsne":
        # Both take a second to import.
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        perplexity = min(_NEIGHBOURS, (len(points) - 1) / 3)
        layout = TSNE(init="pca", perplexity=perplexity, random_state=seed)
        # Each of its thousand steps is too short for several threads, which on a busy machine wait
        # for each other a hundred times as long; and one thread always adds up in one order.
        with threadpool_limits(1):
            return layout.fit_transform(points).astype("float64")
    try:
        umap = importlib.import_module(method)
    except ImportError as error:
        raise ImportError(
            "method='umap' needs umap-learn (pip install umap-learn); method='tsne' does not"
        ) from error
    layout = umap.UMAP(random_state=seed, n_jobs=1, n_neighbors=min(15, len(points) - 1))
    return np.asarray(layout.fit_transform(points), "float64")


def _principal(points, count):
    centred = points.astype("float64") - points.mean(axis=0, dtype="float64")
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    kept = (u * s)[:, :count]
    # The sign of a direction is nobody's choice: its largest coordinate is made positive.
    extreme = kept[np.abs(kept).argmax(axis=0), np.arange(kept.shape[1])]
    kept = kept * np.where(extreme < 0, -1.0, 1.0)
    return np.pad(kept, [(0, 0), (0, count - kept.shape[1])])


def _groups(found, classes, labels):
    """Of each modality the colour, name and rows of what is drawn alike, faint ones first."""
    if classes is None:
        tones = COLORS[: len(found.places)]
        return {
            name: [(tone, name, np.ones(len(places), bool))]
            for tone, (name, places) in zip(tones, found.places.items(), strict=True)
        }
    shown = {name: np.asarray(classes[name])[rows] for name, rows in found.rows.items()}
    every = np.concatenate(list(shown.values()))
    known, counts = np.unique(every[every >= 0], return_counts=True)
    if len(known) and known[-1] >= len(labels):
        raise ValueError(
            f"`labels` must name every class; received {len(labels)} names and class {known[-1]}"
        )
    frequent = sorted(known[np.argsort(-counts, kind="stable")][: len(COLORS)].tolist())
    return {
        name: [
            (INK, "other", ~np.isin(column, frequent)),
            *((COLORS[i], labels[k], column == k) for i, k in enumerate(frequent)),
        ]
        for name, column in shown.items()
    }


def _handles(found, groups, classed):
    """Entries of the legend: the marks of the modalities, then the colours of the classes."""
    point = {"ls": "", "ms": 4, "mew": 0}
    for index, name in enumerate(found.places):
        tone = INK if classed else COLORS[index]
        style = {"ls": "", "ms": 6.5, "mew": 0.9, "mfc": "none"} if index % 2 else point
        # A space before the name: matplotlib leaves labels out that begin with an underscore.
        yield Line2D([], [], marker="o", color=tone, label=f" {name}", **style)
    if classed:
        for position, (tone, name, _) in enumerate(next(iter(groups.values()))):
            if any(groups[modality][position][2].any() for modality in groups):
                alpha = 0.25 if tone == INK else 1
                name = name if len(name) <= 30 else f"{name[:29]}…"
                yield Line2D([], [], marker="s", color=tone, alpha=alpha, label=f" {name}", **point)


def _pairs(found, keys):
    """Ends of the lines `(L, 2, 2)` between what matches in the first two modalities."""
    first, second = list(found.places)[:2] if len(found.places) > 1 else (None, None)
    if first is None:
        return ()
    a, b = (np.asarray(keys[name])[found.rows[name]].tolist() for name in (first, second))
    of_key = {}
    for row, key in enumerate(b):
        of_key.setdefault(key, []).append(row)
    lines = [
        (found.places[first][i], found.places[second][j])
        for i, key in enumerate(a)
        for j in of_key.get(key, ())
    ]
    return np.array(lines) if len(lines) <= _LINES else ()
