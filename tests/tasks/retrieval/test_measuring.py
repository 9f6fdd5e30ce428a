from dataclasses import replace

import numpy as np
import pytest

from kmed.data import DataError
from kmed.data.cross_modal import cross_modal
from kmed.tasks.retrieval.measuring import measure
from kmed.tasks.retrieval.towers import load_tower, partner_folder


def test_the_figures_by_hand(trained, pairs):
    run, *_ = trained
    towers = {
        name: load_tower(path)
        for name, path in (("pos", run.bundle_path), ("neg", partner_folder(run.bundle_path)))
    }
    found = cross_modal(pairs, modalities=("pos", "neg")).part(["p00", "p01", "p02", "p03", "p04"])
    measured = measure(towers, found, gallery=3)
    similarity = measured.embeddings["pos"] @ measured.embeddings["neg"].T
    ranks = 1 + (similarity > np.diag(similarity)[:, None]).sum(axis=1)
    report = measured.summary["pos to neg"]
    assert report["recall_1"].value == pytest.approx(np.mean(ranks == 1))
    assert report["median_rank"].value == pytest.approx(np.median(ranks))
    # Among 3: the two others are drawn from four, of which rank - 1 stand before the right one.
    worse = 5 - ranks
    among = worse * (worse - 1) / 12
    assert report["recall_1_among_3"].value == pytest.approx(among.mean())
    assert measured.errors_mm("pos", "neg") is None
    with pytest.raises(DataError, match="no item of neg"):
        measure(towers, replace(found, items=found.items | {"neg": ()}))
