"""The frames shown at given times, selected from frames in temporal order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Final, Generic, TypeVar

import numpy as np

from .budget import Budget, Unlimited

Frame = TypeVar("Frame")

TOLERANCE: Final = 1e-6
"""Seconds by which a frame may be later than the requested time: ticks and floats round differently."""
_SHARES: Final = 4
"""Equal shares of the budget that one target may use up."""
_TAIL: Final = 0.25
"""Seconds for which the last frame is shown beyond its duration: audio is often slightly longer than video."""


class Selection(ABC, Generic[Frame]):
    """For each target the last frame that starts by then, or the first frame.

    Frames come with the seconds at which they start and end. A target whose share of the budget is too small gets the
    frame that was reached, which is earlier.
    """

    def __init__(self, targets: Sequence[float]) -> None:
        """`targets` are seconds, increasing."""
        self._targets = targets
        self._budget = Budget() if targets else Unlimited()
        self._frames: Iterator[tuple[float, float, Frame]] = iter(())
        self._next: tuple[float, float, Frame] | None = None
        self._end = 0.0
        self._missing = 0
        self._early: list[float] = []
        self._damage = 0

    def selected(self) -> Iterator[tuple[float, Frame]]:
        """The distinct frames shown at the targets, each with the second at which it starts."""
        self._begin()
        current: tuple[float, float, Frame] | None = None
        given = -np.inf
        for place, target in enumerate(self._targets):
            self._budget.share(self._part_for(place))
            limit = target + TOLERANCE
            if self._next is not None:
                self._approach(limit, current[0] if current else self._next[0])
            while self._next is not None and (
                current is None or (self._next[0] <= limit and not self._budget.share_is_spent)
            ):
                current, self._next = self._next, next(self._frames, None)
            if current is None:
                return
            new = current[0] > given
            given = max(given, current[0])
            self._compare(target, given, current[1])
            if new:
                yield given, current[2]

    def played(self, start: float, end: float) -> Iterator[tuple[float, float, Frame]]:
        """Every frame shown between two times, with the seconds from and until which it is shown; without targets."""
        self._begin()
        if self._next is not None:
            self._approach(start + TOLERANCE, self._next[0])
        while self._next is not None and self._next[0] < end - TOLERANCE:
            (begin, last, frame), self._next = self._next, next(self._frames, None)
            until = max(last, max(begin, start) + _TAIL) if self._next is None else self._next[0]
            if min(end, until) > max(begin, start + TOLERANCE):
                yield begin, min(end, until), frame

    def note(self) -> str:
        """A sentence on what could not be read; empty if nothing failed."""
        if self._missing:
            return (
                f"nothing can be read after {self._end:.1f} s; "
                f"{self._missing} of the {len(self._targets)} frames asked for are missing"
            )
        if self._early:
            why = "much memory" if self._budget.keyframes_only else "long"
            return (
                f"decoding all of the video would take too {why}: of the {len(self._targets)} frames asked for, "
                f"{len(self._early)} are replaced by earlier ones, by up to {max(self._early):.1f} s"
            )
        damage = f"the file is damaged (errors: {self._damage}); where a frame is lost the one before stands in"
        return "; ".join(filter(None, (damage if self._damage else "", self._hole())))

    @abstractmethod
    def size_of(self, frame: Frame) -> tuple[int, int]:
        """Width and height of a frame as displayed, in square pixels."""

    @abstractmethod
    def image_of(self, frame: Frame, width: int, height: int) -> np.ndarray:
        """A frame as displayed, scaled to (height, width, 3) uint8 RGB."""

    @abstractmethod
    def _begin(self) -> None:
        """Set `_frames` to the frames from the start, and `_next` to the first of them."""

    def _hole(self) -> str:
        """A sentence on a time without pictures; empty if there is none."""
        return ""

    def _approach(self, target: float, position: float) -> None:
        """Skip frames before `target` where that is cheaper than decoding them; `position` is the current frame's."""

    def _part_for(self, place: int) -> float:
        """The part of the budget for a target: several equal shares, as some targets are far from a keyframe."""
        part = _SHARES / (len(self._targets) - place)
        first, last = self._targets[0], self._targets[-1]
        # To a span in the middle of a video there may be a long way.
        return max(part, first / last) if place == 0 and last > 0 else part

    def _compare(self, target: float, begin: float, end: float) -> None:
        """Count a target whose frame was not reached, or lies beyond the end of what can be read.

        Args:
            target: Seconds.
            begin: Seconds at which the frame given for it starts.
            end: Seconds at which the last frame read ends.
        """
        self._end = max(self._end, end)
        if self._budget.keyframes_only:
            late = target > end + TOLERANCE
        elif self._next is not None:
            late = self._next[0] <= target + TOLERANCE
        else:
            late = self._budget.is_spent and target > self._end + TOLERANCE
            self._missing += not late and target > max(self._end, begin + _TAIL)
        if late:
            self._early.append(target - begin)
