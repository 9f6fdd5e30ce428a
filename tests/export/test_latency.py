"""The table of milliseconds: every format present, with the threads it really had."""

import pytest

from kmed.export import latency


def test_every_format_is_timed(saved):
    rows = {row["format"]: row for row in latency(saved, repeats=2)}
    assert set(rows) == {
        "keras predict",
        "tf.function",
        "saved_model",
        "tflite",
        "tflite_float16",
        "tflite_int8",
    }
    for row in rows.values():
        assert 0 < row["fastest"] <= row["milliseconds"] <= row["slowest"]
        assert row["threads"] >= 1
    assert rows["tflite"]["threads"] == 2


def test_repeats_are_checked(saved):
    with pytest.raises(ValueError, match="at least 1; received 0"):
        latency(saved, repeats=0)
