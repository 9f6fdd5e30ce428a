import numpy as np
import pytest
from PIL import Image

from kmed.data import DataError
from kmed.index import VectorIndex, VectorIndexError
from kmed.tasks.retrieval import build, search
from kmed.tasks.retrieval.indexing import add, default_folder
from kmed.tasks.retrieval.towers import partner_folder


def quiet(line):
    pass


@pytest.fixture(scope="module")
def index(trained, pairs, tmp_path_factory):
    run, *_ = trained
    folder = tmp_path_factory.mktemp("index") / "neg"
    failed = build(partner_folder(run.bundle_path), [pairs / "neg"], index=folder, say=quiet)
    assert not failed
    return folder


def test_an_archive_is_searched_by_an_image_of_the_other_modality(trained, index, pairs):
    run, *_ = trained
    query = pairs / "pos" / "p03.png"
    rows = search(run.bundle_path, query, index=index, k=5)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True) and max(scores) <= 1 + 1e-6
    assert all(row["file"].startswith(str(pairs / "neg")) for row in rows)
    # Its own modality finds itself.
    partner = partner_folder(run.bundle_path)
    (first,) = search(partner, pairs / "neg" / "p03.png", index=index, k=1)
    assert first["file"].endswith("p03.png") and first["score"] == pytest.approx(1, abs=1e-6)


def test_what_is_there_is_not_embedded_again(trained, index, pairs, tmp_path):
    run, *_ = trained
    partner, said = partner_folder(run.bundle_path), []
    assert not build(partner, [pairs / "neg"], index=index, say=said.append)
    assert said[-1].startswith("40 embeddings") and said.count("p00: is there") == 1
    fresh = tmp_path / "new.png"
    Image.fromarray(np.eye(32, dtype="uint8") * 200).save(fresh)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    failed = add(partner, [tmp_path], index=index, say=said.append)
    assert [name for name, _ in failed] == [str(broken)]
    assert said[-1].startswith("41 embeddings")


def test_what_does_not_fit_is_refused(trained, read, index, pairs, tmp_path):
    run, *_ = trained
    partner = partner_folder(run.bundle_path)
    with pytest.raises(VectorIndexError, match="holds neg; shapes-pos embeds pos"):
        add(run.bundle_path, [pairs / "pos"], index=index, say=quiet)
    with pytest.raises(VectorIndexError, match="of the kind exact, not hnsw"):
        build(partner, [pairs / "neg"], index=index, kind="hnsw", say=quiet)
    other, *_ = read
    with pytest.raises(VectorIndexError, match="of another training"):
        search(other.bundle_path, pairs / "pos" / "p03.png", index=index)
    with pytest.raises(ValueError, match="an image or a text"):
        search(run.bundle_path, index=index)
    with pytest.raises(ValueError, match="shapes-pos embeds images"):
        search(run.bundle_path, text="disc", index=index)
    with pytest.raises(ValueError, match="is no volume"):
        search(run.bundle_path, pairs / "pos" / "p03.png", slice=2, index=index)
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="a.png"):
        search(run.bundle_path, tmp_path / "a.png", index=index)


def test_sentences_and_pictures_find_each_other(read, reports, tmp_path):
    run, *_ = read
    text = partner_folder(run.bundle_path)
    pictures = [reports.parent / f"s{i:02d}.png" for i in range(8)]
    assert not build(run.bundle_path, pictures, say=quiet)
    # Without an index named, the other modality's beside its tower is searched.
    rows = search(text, text="a disc on the left", k=3)
    assert len(rows) == 3 and rows[0]["file"].endswith(".png")
    sentences = tmp_path / "sentences.txt"
    sentences.write_text("a disc on the left\n\na ring on the right\na disc on the left\n")
    assert not build(text, [sentences], say=quiet)
    assert len(VectorIndex.open(default_folder(text))) == 2
    rows = search(run.bundle_path, reports.parent / "s00.png", k=5)
    assert {row["text"] for row in rows} == {"a disc on the left", "a ring on the right"}
    assert add(text, [tmp_path / "none.txt"], say=quiet)[0][0].endswith("none.txt")
