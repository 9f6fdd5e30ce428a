"""Volumes decoded beside each other and handed to tf.data in order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from kmed.data.dicom.errors import DicomError
from kmed.data.dicom.processes import ProcessEnded, Processes, in_order
from kmed.data.sample import Arrays, DataError, Sample


def decoded(
    samples: Sequence[Sample],
    *,
    workers: int | None = None,
    processes: bool = False,
    bound: int | None = None,
    on_error: str | list[tuple[str, DataError]] = "raise",
    masks: bool = False,
    dtype: str = "float32",
) -> Decoded:
    """Reads samples beside each other, ahead of who takes them.

    At most `bound` volumes are in memory besides those that were taken. Parsing and most decoders
    hold Python's lock: several threads are faster than one where files come slowly, from a network
    for instance; from a fast disk they only wait for each other, and `processes` are faster.

    Args:
        samples: from `dicom_series`, an index, or any other source.
        workers: number of threads or processes; None: one thread, or as many processes as there are
            processors.
        processes: read in processes; samples must be picklable.
        bound: how many volumes are being read or wait for their turn; None: `workers` + 1.
        on_error: "raise", or a list that gets the id and error of each sample that can't be read,
            which is then left out.
        masks: whether the elements have the samples' masks.
        dtype: of the images.

    Returns:
        The dataset of elements in the order of the samples: `index` of the sample, `image`
        `(D, H, W, C)` or `(H, W, C)`, `spacing_mm` one an axis, and with `masks` the `mask` of its
        spatial shape, int32. Iterated directly it raises the `DataError` of a sample. In a `with`
        block it does so, too, for what is derived from it, instead of TensorFlow's error.

    Raises:
        ValueError: no samples, or a wrong number or word.

    Example:
        >>> sample = Sample(
        ...     id="a",
        ...     patient="p",
        ...     files=(),
        ...     read=lambda: Arrays(np.zeros((2, 4, 4, 1)), None, (5.0, 1.0, 1.0), None),
        ... )
        >>> with decoded([sample]) as volumes:
        ...     next(iter(volumes.batch(1)))["image"].shape
        TensorShape([1, 2, 4, 4, 1])
    """
    samples = list(samples)
    if not samples:
        raise ValueError("`samples` must not be empty: there is nothing to read")
    if workers is None:
        workers = (os.cpu_count() or 1) if processes else 1
    bound = workers + 1 if bound is None else bound
    if workers < 1 or bound < 1:
        raise ValueError(f"`workers`, `bound` must be 1 or more; received {workers}, {bound}")
    if on_error != "raise" and not isinstance(on_error, list):
        raise ValueError(f'`on_error` must be "raise" or a list; received {on_error!r}')
    source = _Source(samples, workers, processes, bound, on_error, masks, np.dtype(dtype))
    signature = {
        "index": tf.TensorSpec((), tf.int64),
        "image": tf.TensorSpec(None, tf.as_dtype(dtype)),
        "spacing_mm": tf.TensorSpec((None,), tf.float32),
    }
    if masks:
        signature["mask"] = tf.TensorSpec(None, tf.int32)
    return Decoded(tf.data.Dataset.from_generator(source, output_signature=signature), source)


class Decoded(tf.data.Dataset):
    """A dataset that raises the error of the sample; see `decoded`."""

    def __init__(self, dataset: tf.data.Dataset, source: _Source):
        self._dataset, self._source = dataset, source
        super().__init__(dataset._variant_tensor)

    def _inputs(self) -> list[tf.data.Dataset]:
        return [self._dataset]

    @property
    def element_spec(self) -> Any:
        """Type and shape of the elements."""
        return self._dataset.element_spec

    def __iter__(self) -> Iterator[dict[str, tf.Tensor]]:
        # Only here: within a graph it is TensorFlow's own iterator that reads.
        if not tf.executing_eagerly():
            return iter(self._dataset)
        return self._iterated()

    def _iterated(self) -> Iterator[dict[str, tf.Tensor]]:
        with self:
            yield from self._dataset

    def __enter__(self) -> Decoded:
        self._source.error = None
        return self

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, tf.errors.OpError) and self._source.error is not None:
            raise self._source.error from None


class _Source:
    """Reads the samples anew for each iterator."""

    def __init__(self, samples, workers, processes, bound, on_error, masks, dtype):
        self.samples, self.workers, self.processes = samples, workers, processes
        self.bound, self.on_error = bound, on_error
        self.masks, self.dtype = masks, dtype
        self.error: DataError | None = None

    def __call__(self) -> Iterator[dict[str, np.ndarray]]:
        pool = Processes(self.workers) if self.processes else _Threads(self.workers)
        with pool:
            submit = partial(self._submitted, pool)
            for index, result in enumerate(in_order(submit, self.samples, self.bound)):
                if not isinstance(result, DataError):
                    yield {"index": index, **result}
                elif self.on_error == "raise":
                    self.error = result
                    raise result
                else:
                    self.on_error.append((self.samples[index].id, result))

    def _submitted(self, pool, sample: Sample) -> Future:
        done: Future = Future()

        def finish(read: Future) -> None:
            error = None if read.cancelled() else read.exception()
            if read.cancelled():
                done.cancel()
            elif error is None:
                done.set_result(self._element(sample, read.result()))
            elif isinstance(error, DataError):
                done.set_result(error)
            elif isinstance(error, ProcessEnded):
                done.set_result(
                    DicomError(
                        f"{sample.id}: reading it ended the process ({error}): a fault in a "
                        "decoder, or more memory than there is; read it with processes=False",
                        files=sample.files,
                    )
                )
            else:
                done.set_exception(error)

        pool.submit(sample.read).add_done_callback(finish)
        return done

    def _element(self, sample: Sample, read: Arrays) -> dict[str, np.ndarray] | DataError:
        if self.masks and read.mask is None:
            return DataError(f"{sample.id}: has no mask; read it with masks=False")
        element = {
            "image": np.asarray(read.image, self.dtype),
            "spacing_mm": np.asarray(read.spacing_mm, np.float32),
        }
        return element | ({"mask": np.asarray(read.mask, np.int32)} if self.masks else {})


class _Threads(ThreadPoolExecutor):
    def __exit__(self, *_) -> None:
        self.shutdown(cancel_futures=True)
