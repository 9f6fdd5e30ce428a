"""Where items come to lie, which of them are taken, and what the figure says."""

import sys
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from kmed.results.embedding_map import EmbeddingMap, embedding_figure, embedding_map

SVG = "{http://www.w3.org/2000/svg}"


def clusters(items=16, dimension=64):
    """Four far clusters, the same in both modalities."""
    rng = np.random.default_rng(0)
    kinds = np.arange(items) % 4
    base = 4 * rng.normal(size=(4, dimension))[kinds] + 0.3 * rng.normal(size=(items, dimension))
    vectors = {name: base + 0.1 * rng.normal(size=base.shape) for name in ("t1", "flair")}
    unit = {name: v / np.linalg.norm(v, axis=1, keepdims=True) for name, v in vectors.items()}
    return unit, kinds


def texts(svg):
    return [element.text.strip() for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_what_is_near_comes_to_lie_near():
    vectors, kinds = clusters()
    found = embedding_map(vectors, seed=3)
    again = embedding_map(vectors, seed=3)
    assert found.method == "t-SNE"
    assert all((found.places[name] == again.places[name]).all() for name in vectors)
    distance = np.linalg.norm(found.places["t1"][:, None] - found.places["flair"], axis=-1)
    nearest = np.argsort(distance, axis=1)[:, :3]
    assert (kinds[nearest] == kinds[:, None]).mean() > 0.9


def test_pca_against_numpy():
    vectors, _ = clusters(30, 8)
    found = embedding_map(vectors, method="pca")
    together = np.concatenate(list(vectors.values()))
    values, axes = np.linalg.eigh(np.cov(together.T))
    expected = (together - together.mean(axis=0)) @ axes[:, ::-1][:, :2]
    got = np.concatenate(list(found.places.values()))
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=1e-5)
    assert (got[np.abs(got).argmax(axis=0), [0, 1]] > 0).all()


def test_few_points_are_laid_out_too():
    vectors = {"ct": np.eye(3)[:2], "text": np.eye(3)[2:]}
    found = embedding_map(vectors)
    assert found.method == "PCA" and np.isfinite(found.places["text"]).all()
    one = embedding_map({"ct": np.ones((1, 4))})
    assert (one.places["ct"] == 0).all() and "ct" in texts(embedding_figure(one))


def test_of_many_items_those_that_match_are_taken():
    vectors = {"ct": np.zeros((90, 2)), "t2": np.zeros((60, 2))}
    keys = {"ct": np.arange(90) // 3, "t2": np.arange(60) % 45}
    found = embedding_map(vectors, method="pca", keys=keys, most=40, seed=1)
    taken = {name: set(np.asarray(keys[name])[rows].tolist()) for name, rows in found.rows.items()}
    assert taken["ct"] == taken["t2"] and max(taken["ct"]) < 30
    assert 30 < sum(map(len, found.rows.values())) <= 40
    assert all(len(found.rows[name]) == len(places) for name, places in found.places.items())
    plain = embedding_map(vectors, method="pca", most=40, seed=1)
    assert {name: len(rows) for name, rows in plain.rows.items()} == {"ct": 24, "t2": 16}
    nothing = embedding_map(
        vectors, method="pca", keys={"ct": np.arange(90), "t2": -1 - np.arange(60)}, most=40
    )
    assert sum(map(len, nothing.rows.values())) == 40


def test_umap_is_asked_for_by_name(monkeypatch):
    vectors, _ = clusters(16)
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match="pip install umap-learn"):
        embedding_map(vectors, method="umap")
    asked = {}

    class UMAP:
        def __init__(self, **options):
            asked.update(options)

        def fit_transform(self, points):
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=UMAP))
    assert embedding_map(vectors, method="umap", seed=7).method == "UMAP"
    assert asked == {"random_state": 7, "n_jobs": 1, "n_neighbors": 15}


def hand_made():
    places = {"ct": np.array([[0.0, 0], [1, 0]]), "_t2": np.array([[0.0, 0], [1, 1]])}
    return EmbeddingMap(places, {"ct": np.array([0, 2]), "_t2": np.array([1, 0])}, "t-SNE")


def lines(svg):
    """Number of the lines between what matches, by what they look like."""
    paths = ElementTree.fromstring(svg).iter(f"{SVG}path")
    return sum("stroke-opacity: 0.5" in path.get("style", "") for path in paths)


def test_the_figure_shows_modalities_classes_and_pairs():
    found = hand_made()
    svg = embedding_figure(found)
    assert svg == embedding_figure(found) and svg.startswith("<svg")
    assert "currentColor" in svg and "#010203" not in svg
    assert texts(svg) == ["t-SNE of 4 items", "ct", "_t2"]
    keys = {"ct": ["a", "x", "b"], "_t2": ["b", "a"]}  # the first point's own, and the second's
    assert lines(embedding_figure(found, keys=keys)) == 2
    assert lines(svg) == 0
    shown = embedding_figure(
        found, classes={"ct": [1, 0, -1], "_t2": [1, 1]}, labels=["head", "chest & $x$"]
    )
    assert texts(shown) == ["t-SNE of 4 items", "ct", "_t2", "other", "chest & $x$"]


def test_rare_classes_are_others():
    rows = np.arange(30)
    places = {"ct": np.stack([rows, rows], axis=1).astype(float)}
    classes = {"ct": np.where(rows < 9, rows, rows % 6)}
    labels = [f"finding {k}" for k in range(9)]
    said = texts(embedding_figure(EmbeddingMap(places, {"ct": rows}, "PCA"), classes=classes,
                                  labels=labels))  # fmt: skip
    assert said == ["PCA of 30 items", "ct", "other", *labels[:6]]


def test_what_does_not_fit_is_said():
    with pytest.raises(ValueError, match="`method` must be one of .*received 'isomap'"):
        embedding_map({"ct": np.eye(3)}, method="isomap")
    for wrong in ({}, {"ct": np.eye(3), "t2": np.eye(4)}, {"ct": np.zeros((0, 3))}):
        with pytest.raises(ValueError, match="of one D and not empty; received"):
            embedding_map(wrong)
    with pytest.raises(ValueError, match="must be finite"):
        embedding_map({"ct": np.full((3, 3), np.nan)})
    with pytest.raises(ValueError, match="received 1 names and class 1"):
        embedding_figure(hand_made(), classes={"ct": [1, 0, 0], "_t2": [0, 0]}, labels=["head"])
