import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from kmed.results import training_curves

ROWS = [
    {"epoch": e, "loss": 1 / e, "val_loss": 1.2 / e, "dice": 1 - 0.5 / e, "val_dice": 1 - 0.6 / e}
    for e in range(1, 6)
]


def _texts(svg):
    root = ElementTree.fromstring(svg)
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_both_quantities_with_names_and_the_best_epoch():
    texts = _texts(training_curves(ROWS))
    assert {"Loss", "Dice", "training", "validation", "epoch"} <= set(texts)
    assert "best validation 0.880, epoch 5" in texts


def test_equal_rows_give_equal_text():
    before = dict(matplotlib.rcParams)
    first = training_curves(ROWS)
    assert first == training_curves(ROWS)
    assert dict(matplotlib.rcParams) == before


def test_nothing_that_a_page_cannot_hold():
    svg = training_curves(ROWS)
    assert svg.startswith("<svg") and svg.endswith("</svg>")
    assert "<!DOCTYPE" not in svg and "<metadata" not in svg and "#010203" not in svg
    assert "#ffffff" not in svg  # a white ground would blind on a dark page


def test_rows_of_a_csv_file_with_an_empty_cell():
    rows = [{name: str(value) for name, value in row.items()} for row in ROWS]
    rows[2]["val_dice"] = ""
    assert "best validation 0.880, epoch 5" in _texts(training_curves(rows))


def test_a_deeply_supervised_log():
    rows = [{"epoch": 1, "loss": 1.0, "logits_dice": 0.5, "val_logits_dice": 0.25}]
    assert "best validation 0.250, epoch 1" in _texts(training_curves(rows))


def test_a_classifiers_accuracy():
    rows = [{"epoch": e, "loss": 1 / e, "accuracy": 0.5 + 0.1 * e} for e in (1, 2, 3)]
    texts = _texts(training_curves(rows))
    assert "Accuracy" in texts and "Dice" not in texts
    assert "best training 0.800, epoch 3" in texts


def test_one_quantity_alone_and_not_a_number():
    texts = _texts(training_curves([{"epoch": 1, "dice": float("nan")}]))
    assert "Dice" in texts and "Loss" not in texts


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "iou": 0.5}]])
def test_nothing_to_draw_is_an_error(rows):
    with pytest.raises(ValueError, match="a loss or measure"):
        training_curves(rows)
