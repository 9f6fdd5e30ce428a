"""Processes that start fast: results, errors, ends."""

import math
import operator
import os

import pytest

from kmed.data.dicom.errors import NotDicom
from kmed.data.dicom.header import read_header
from kmed.data.dicom.processes import ProcessEnded, Processes


def test_results_errors_and_ends(tmp_path):
    with Processes(1) as processes:
        assert list(processes.map(math.factorial, range(5), ahead=2)) == [1, 1, 2, 6, 24]
        assert processes.submit(operator.add, 1, 2).result() != os.getpid()
        with pytest.raises(ZeroDivisionError):
            processes.submit(operator.truediv, 1, 0).result()
        with pytest.raises(NotDicom, match="can't be opened") as caught:
            processes.submit(read_header, str(tmp_path / "none")).result()
        assert caught.value.files == (str(tmp_path / "none"),)
        # No TensorFlow: it would take seconds.
        assert processes.submit(eval, "'tensorflow' in __import__('sys').modules").result() is False
        with pytest.raises(ProcessEnded, match="status 7"):
            processes.submit(os._exit, 7).result()
        assert processes.submit(operator.add, 1, 2).result() == 3  # by a new one
        printed = processes.submit(print, "what a library prints")
        assert printed.result() is None


def test_what_still_runs_is_ended():
    with Processes(1) as processes:
        waiting = processes.submit(__import__("time").sleep, 60)
        assert not waiting.done()
    assert isinstance(waiting.exception(), ProcessEnded) or waiting.cancelled()


def test_count():
    with pytest.raises(ValueError, match="`count` must be 1 or more; received 0"):
        Processes(0)
