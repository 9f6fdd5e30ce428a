"""Processes beside this one that start within a second, for what holds Python's lock."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import kmed

# What `python -c` runs. The packages stand in for their `__init__` modules, which import
# TensorFlow: seconds and hundreds of MB for each process. Unlike those of `multiprocessing`, such
# processes don't import the program's main module either, which then needs no guard.
_START = """
import importlib, pickle, sys, types
sys.path[:], packages = pickle.load(sys.stdin.buffer)
for name, paths in packages.items():
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = paths
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, sys.modules[name])
importlib.import_module("kmed.data.dicom.processes").serve()
"""


class ProcessEnded(RuntimeError):
    """A process ended while it worked: by a fault in a decoder, or for want of memory."""


class Processes:
    """Runs functions in several processes; used with `with`.

    Functions, their arguments and results are pickled.

    Args:
        count: number of processes; they start with their first task.
    """

    def __init__(self, count: int):
        if count < 1:
            raise ValueError(f"`count` must be 1 or more; received {count}")
        self.count = count
        # Each thread talks to a process of its own, and waits for it without Python's lock.
        self._threads = ThreadPoolExecutor(count)
        self._own = threading.local()
        self._started: set[subprocess.Popen] = set()
        self._lock, self._ended = threading.Lock(), False

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._ended = True  # a thread that is about to start a process doesn't
            for process in self._started:
                process.kill()
        self._threads.shutdown()
        for process in list(self._started):
            _close(process)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Runs `function(*arguments)` in a process.

        Args:
            function: of a module, picklable.
            *arguments: picklable.

        Returns:
            The future result; what the function raises, or `ProcessEnded`.
        """
        return self._threads.submit(self._run, function, arguments)

    def map(
        self, function: Callable[[Any], Any], tasks: Iterable[Any], *, ahead: int | None = None
    ) -> Iterator[Any]:
        """Runs a function on many tasks and gives the results in their order.

        Args:
            function: as of `submit`.
            tasks: taken as they are needed.
            ahead: how many are under way or done before their turn; None: twice the processes.

        Yields:
            The results.
        """
        yield from in_order(
            lambda task: self.submit(function, task), tasks, ahead or 2 * self.count
        )

    def _run(self, function: Callable[..., Any], arguments: tuple) -> Any:
        content = pickle.dumps((function, arguments), pickle.HIGHEST_PROTOCOL)
        process = getattr(self._own, "process", None)
        if process is None:
            with self._lock:
                if self._ended:
                    raise ProcessEnded("the processes have been ended")
                process = self._own.process = _started()
                self._started.add(process)
        try:
            process.stdin.write(content)
            process.stdin.flush()
            good, result = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self._own.process = None
            with self._lock:
                self._started.discard(process)
            process.kill()
            raise ProcessEnded(f"a process ended with status {_close(process)}") from error
        if good:
            return result
        raise result


def in_order(submit: Callable[[Any], Future], tasks: Iterable[Any], ahead: int) -> Iterator[Any]:
    """Gives the results of futures in the order of their tasks, few of them at a time.

    Args:
        submit: from a task to the future of its result.
        tasks: taken as they are needed.
        ahead: how many are under way or done before their turn.

    Yields:
        The results.
    """
    waiting: deque[Future] = deque()
    try:
        for task in tasks:
            waiting.append(submit(task))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _started() -> subprocess.Popen:
    # TensorFlow's threads make a fork unsafe; this starts a new interpreter.
    process = subprocess.Popen(
        [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    names = ("kmed", "kmed.data", "kmed.data.dicom")
    packages = {name: list(sys.modules[name].__path__) for name in names}
    packages["kmed"] = list(kmed.__path__)
    process.stdin.write(pickle.dumps((list(sys.path), packages)))
    process.stdin.flush()
    return process


def _close(process: subprocess.Popen) -> int:
    process.stdout.close()
    try:
        process.stdin.close()
    except OSError:
        pass  # what it was to get is lost with it
    return process.wait()


def serve() -> None:
    """Answers tasks from the standard input until it ends; what the processes run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it ends it
    tasks, results = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the results
    while True:
        try:
            function, arguments = pickle.load(tasks)
        except EOFError:
            return
        try:
            content = pickle.dumps((True, function(*arguments)), pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            content = pickle.dumps((False, error), pickle.HIGHEST_PROTOCOL)
        results.write(content)
        results.flush()
