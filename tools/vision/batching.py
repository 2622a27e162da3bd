"""Dynamic batching: concurrent calls of one network share batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from ..execution.cancellation import check_cancelled


@dataclass(frozen=True, eq=False)
class _Request:
    rows: np.ndarray
    result: Future[np.ndarray] = field(default_factory=Future)


class Batcher:
    """A row-wise function of (n, ...) arrays that threads may call concurrently.

    One batch runs at a time. Calls that arrive meanwhile wait, and the next batch takes all of them; a call never waits
    for a batch to fill up. If a batch fails, each of its calls is retried alone, so that a bad call fails alone.

    Args:
        run: (n, ...) to (n, ...), each row independent of the others.
        max_rows: Rows in a batch; a larger call is a batch of its own.
    """

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], max_rows: int) -> None:
        self._run, self._max_rows = run, max_rows
        self._waiting: list[_Request] = []
        self._lock, self._running = threading.Lock(), threading.Lock()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """`run` of these rows; raises what it raises for these rows alone."""
        # Only here: a batch also serves callers who still wait.
        check_cancelled()
        request = _Request(rows)
        with self._lock:
            self._waiting.append(request)
        with self._running:
            while not request.result.done():
                self._serve(self._next())
        return request.result.result()

    def _next(self) -> list[_Request]:
        """The oldest requests whose rows have one shape and fit into one batch."""
        with self._lock:
            batch = [self._waiting[0]]
            for request in self._waiting[1:]:
                count = sum(len(each.rows) for each in batch) + len(request.rows)
                if request.rows.shape[1:] == batch[0].rows.shape[1:] and count <= self._max_rows:
                    batch.append(request)
            self._waiting = [request for request in self._waiting if request not in batch]
            return batch

    def _serve(self, batch: Sequence[_Request]) -> None:
        try:
            outputs = self._run(np.concatenate([each.rows for each in batch]) if len(batch) > 1 else batch[0].rows)
        except BaseException as error:
            alone = isinstance(error, Exception) and len(batch) > 1
            for request in batch:
                if alone:
                    self._serve([request])
                else:
                    request.result.set_exception(error)
            return
        start = 0
        for request in batch:
            request.result.set_result(outputs[start : start + len(request.rows)])
            start += len(request.rows)
