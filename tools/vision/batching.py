"""Pictures of several calls looked at together: what different runs ask of one network at once is one batch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class _Asked:
    rows: np.ndarray
    answer: Future[np.ndarray] = field(default_factory=Future)


class Batches:
    """A function of (n, ...) arrays, row by row, that threads may call at once.

    One batch is at work at a time. Who calls meanwhile waits, and the next batch takes all that wait, so that nobody
    waits for company. If a batch fails, each call of it is tried alone: one's fault is not the others'.

    Args:
        run: (n, ...) to (n, ...), each row for itself.
        most: Rows in a batch; a call of more is a batch of its own.
    """

    def __init__(self, run: Callable[[np.ndarray], np.ndarray], most: int) -> None:
        self._run, self._most = run, most
        self._waiting: list[_Asked] = []
        self._guard, self._turn = threading.Lock(), threading.Lock()

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """What `run` makes of these rows; whatever it raises for them alone is raised."""
        mine = _Asked(rows)
        with self._guard:
            self._waiting.append(mine)
        with self._turn:
            while not mine.answer.done():
                self._serve(self._next())
        return mine.answer.result()

    def _next(self) -> list[_Asked]:
        """Those who waited longest, as far as their rows have one shape and fit into a batch."""
        with self._guard:
            taken = [self._waiting[0]]
            for asked in self._waiting[1:]:
                count = sum(len(one.rows) for one in taken) + len(asked.rows)
                if asked.rows.shape[1:] == taken[0].rows.shape[1:] and count <= self._most:
                    taken.append(asked)
            self._waiting = [asked for asked in self._waiting if asked not in taken]
            return taken

    def _serve(self, taken: Sequence[_Asked]) -> None:
        try:
            outputs = self._run(np.concatenate([asked.rows for asked in taken]) if len(taken) > 1 else taken[0].rows)
        except BaseException as error:
            alone = isinstance(error, Exception) and len(taken) > 1
            for asked in taken:
                if alone:
                    self._serve([asked])
                else:
                    asked.answer.set_exception(error)
            return
        start = 0
        for asked in taken:
            asked.answer.set_result(outputs[start : start + len(asked.rows)])
            start += len(asked.rows)
