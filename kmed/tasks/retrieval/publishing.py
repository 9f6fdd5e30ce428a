"""What measured towers leave behind: bundles, report, pictures, table of queries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kmed.data.items import Item
from kmed.export import check_text_agreement, latency, versions
from kmed.export.card import LIMITS
from kmed.metrics.retrieval import query_scores
from kmed.results import save_png, write_report
from kmed.results.embedding_map import embedding_figure, embedding_map
from kmed.results.query_sheet import Hit, query_sheet
from kmed.tasks.exporting import COMPARED, compare_formats
from kmed.tasks.records import card, metrics_json, plain_facts, write_csv, write_json
from kmed.tasks.retrieval.measuring import Measured
from kmed.tasks.retrieval.towers import Tower

CARD_MEASURES = ("recall_1", "recall_5", "recall_10", "median_rank", "map_r", "error_mm")
_QUERIES = 6  # in each sheet
_NEAREST = 10


def publish(
    towers: Mapping[str, Tower],
    measured: Measured,
    facts: dict,
    *,
    title: str,
    saved_models: str | Path,
    folder: Path,
    log: Sequence[dict],
    say: Callable[[str], None],
) -> tuple[dict[str, Path], Path]:
    """Export both towers with their cards, compare their formats, and write the report.

    Args:
        towers: the bundle of each modality.
        measured: of both.
        facts: data, split, seed and training; see `kmed.tasks.runs.run_facts`.
        title: of the report.
        saved_models: root of the exported bundles.
        folder: where the report goes.
        log: rows of the training's log.
        say: told what is being done.

    Returns:
        The bundles' folders by modality, and the report.

    Raises:
        AgreementError: if a format gives other embeddings than Keras.
    """
    paths, times = {}, []
    for modality, tower in towers.items():
        about = card(facts, measured.summary, CARD_MEASURES)
        paths[modality] = tower.save(saved_models, card=about)
        items = measured.found.items[modality]
        if items[0].text is None:
            samples = {item.sample.id: item.sample for item in items}
            compare_formats(paths[modality], list(samples.values()), say)
            rows = latency(paths[modality])
            times += [{"modality": modality} | row for row in rows]
        else:
            compare_text_formats(paths[modality], [item.text for item in items], say)
    report = write_measures(
        measured,
        folder,
        title=title,
        facts=plain_facts(facts),
        log=log,
        times=times,
    )
    return paths, report


def write_measures(
    measured: Measured,
    folder: Path,
    *,
    title: str,
    facts: dict,
    log: Sequence[dict] | None = None,
    times: Sequence[dict] | None = None,
) -> Path:
    """Write report.html, metrics.json, queries.csv and pictures. Items are numbered, not named.

    Args:
        measured: the measures.
        folder: where the files go.
        title: of the report.
        facts: names and values for the report's head.
        log: rows of the training's log, for the curves.
        times: rows of `kmed.export.latency`.

    Returns:
        The report.
    """
    pictures = []
    for query, other in measured.directions():
        sheet = _sheet(measured, query, other)
        save_png(folder / "pictures" / f"{query}-to-{other}.png", sheet)
        caption = f"queries of {query} and their nearest of {other}; framed: a true match"
        pictures.append((caption, sheet))
    figures = [("The embeddings in two dimensions (t-SNE)", _map(measured))]
    write_csv(folder / "queries.csv", list(_query_rows(measured)))
    write_json(folder / "metrics.json", metrics_json(measured.summary))
    return write_report(
        folder / "report.html",
        title=title,
        lead=_lead(measured),
        facts=facts
        | {f"items of {n}": len(v) for n, v in measured.embeddings.items()}
        | {"seconds per item": round(measured.seconds_per_item, 4)},
        metrics=measured.summary,
        pictures=pictures,
        curves=log,
        figures=figures,
        latency=times,
        limits=LIMITS,
        versions=versions(),
    )


def compare_text_formats(path: Path, texts: Sequence[str], say: Callable[[str], None]) -> None:
    """Check that a text tower's formats give what Keras gives, and write agreement.json.

    Args:
        path: the bundle's folder.
        texts: sentences to compare on, up to 200.
        say: told what was found.

    Raises:
        AgreementError: if a format gives other embeddings than Keras.
    """
    agreement = check_text_agreement(path, list(dict.fromkeys(texts))[:COMPARED])
    write_json(path / "agreement.json", agreement)
    for name, row in agreement.items():
        say(
            f"{name} equals Keras on {row['images']} sentences: components to "
            f"{row['max_difference']:.1e}"
        )


def _map(measured: Measured) -> str:
    keys = {name: own["key"] for name, own in measured.keys.items()}
    found, classes = measured.found, None
    if found.labels:
        classes = {name: own["label"] for name, own in measured.keys.items()}
    return embedding_figure(
        embedding_map(measured.embeddings, keys=keys),
        keys=keys,
        classes=classes,
        labels=found.labels,
    )


def _sheet(measured: Measured, query: str, other: str) -> np.ndarray:
    """Draw some queries and what is nearest to them, evenly over the test part."""
    items, count = measured.found.items, len(measured.found.items[query])
    chosen = np.unique(np.linspace(0, count - 1, min(_QUERIES, count)).round().astype(int))
    vectors = measured.embeddings[query][chosen]
    similarity = vectors @ measured.embeddings[other].T
    relevant = measured.relevant(query, other)(chosen)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :_NEAREST]
    hits = [
        [Hit(_shown(items[other][j]), float(similarity[i, j]), bool(relevant[i, j])) for j in row]
        for i, row in enumerate(nearest)
    ]
    places = query_scores(vectors, measured.embeddings[other], relevant).first
    return query_sheet([_shown(items[query][i]) for i in chosen], hits, first=places)


def _shown(item: Item) -> np.ndarray | str:
    """Give an item as a person sees it: its sentence, its picture, its slice or volume."""
    if item.text is not None:
        return item.text
    image = item.sample.read().image
    return image if item.slice is None else image[item.slice]


def _query_rows(measured: Measured):
    for query, other in measured.directions():
        scores = query_scores(
            measured.embeddings[query],
            measured.embeddings[other],
            measured.relevant(query, other),
            errors_mm=measured.errors_mm(query, other),
        )
        for i, (rank, error) in enumerate(zip(scores.first, scores.error_mm, strict=True), start=1):
            yield {
                "direction": f"{query} to {other}",
                "query": i,
                "rank": "" if np.isnan(rank) else int(rank),
                "error_mm": f"{error:.2f}" if np.isfinite(error) else "",
            }


def _lead(measured: Measured) -> str:
    found = [
        f"{direction}, the first hit is right for {report['recall_1']}"
        for direction, report in measured.summary.items()
    ]
    return "On patients that the towers have not seen: " + "; ".join(found) + "."
