"""Values over time: minimum-jerk moves between rests, with oscillations and bumps added.

Reaching movements of a hand follow minimum-jerk trajectories (Flash and Hogan 1985), and a movement that changes its
target midway is the sum of two of them. A track is therefore a sum of moves, which may overlap.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def minimum_jerk(u: np.ndarray) -> np.ndarray:
    """Fraction of the distance covered after the fraction `u` of the time, any shape: 0 before, 1 after."""
    u = np.minimum(np.maximum(u, 0.0), 1.0)
    return np.asarray(u * u * u * (10 + u * (6 * u - 15)))


class Track:
    """One quantity of n numbers over time, in seconds from the start of the clip."""

    def __init__(self, start: Sequence[float] | np.ndarray) -> None:
        self.goal = np.array(start, float)
        """(n,): the target of the last move."""
        self._start = self.goal
        self._moves: list[tuple[float, float, np.ndarray]] = []
        self._bumps: list[tuple[float, float, np.ndarray]] = []
        self._swings: list[tuple[float, float, np.ndarray, float, float]] = []

    def move(self, t0: float, t1: float, to: Sequence[float] | np.ndarray) -> None:
        """Move to `to` (n,) between the times and stay there. Moves are added in the order of their end times."""
        target = np.array(to, float)
        self._moves.append((t0, t1, target - self.goal))
        self.goal = target

    def bump(self, t0: float, t1: float, height: Sequence[float] | np.ndarray) -> None:
        """Deviate by `height` (n,) and return between the times."""
        self._bumps.append((t0, t1, np.array(height, float)))

    def swing(
        self, t0: float, t1: float, width: Sequence[float] | np.ndarray, cycles: float, phase: float = 0.0
    ) -> None:
        """Oscillate with amplitude `width` (n,); `phase` in cycles."""
        self._swings.append((t0, t1, np.array(width, float), cycles, phase))

    def at(self, times: np.ndarray) -> np.ndarray:
        """The values at `times` (frames,), as (frames, n)."""
        value = np.repeat(self._start[None], len(times), 0)
        for t0, t1, change in self._moves:
            value += minimum_jerk((times - t0) / (t1 - t0))[:, None] * change
        for t0, t1, height in self._bumps:
            value += (np.sin(np.pi * np.clip((times - t0) / (t1 - t0), 0, 1)) ** 2)[:, None] * height
        for t0, t1, width, cycles, phase in self._swings:
            u = np.clip((times - t0) / (t1 - t0), 0, 1)
            fade = minimum_jerk(np.minimum(u, 1 - u) * max(2 * cycles, 4))
            value += (fade * np.sin(2 * np.pi * (cycles * u + phase)))[:, None] * width
        return value
