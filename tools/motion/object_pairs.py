"""The motion primitives between two objects. Lengths are in long sides of the image."""

from __future__ import annotations

from typing import Final

import numpy as np

from .objects import MovingObject
from .segments import STEP, distances, filled_gaps, segments_of
from .time_series import Measure, ramp

TOUCH: Final = 0.075
"""Distance of the nearest points of two objects that may touch: points are tracked 0.05 apart."""


def relative_size(a: MovingObject, b: MovingObject) -> float:
    """Points of the smaller object over those of the larger: a tiny one may be a fragment of the larger."""
    few, many = sorted((len(a.points), len(b.points)))
    return few / many


def measure_objects_pair(a: MovingObject, b: MovingObject) -> list[tuple[str, Measure]]:
    """What two objects do relative to each other while both are tracked."""
    both = np.intersect1d(a.index, b.index)
    if len(both) < 5:
        return []
    times = a.times[both - a.index[0]]
    one, other = a.path[both - a.index[0]], b.path[both - b.index[0]]
    gap = filled_gaps(distances(a, b, both))
    found: list[tuple[str, Measure]] = []
    apart = np.abs(one - other)
    for segment in segments_of(apart, STEP):
        name = "things_separate" if segment.change > 0 else "things_approach"
        support = float(ramp(abs(segment.change), 0.05, 0.15))
        found.append((name, Measure(support, float(times[segment.first]), float(times[segment.last]))))
    found += _meeting(one, other, gap, times) + _leaves(one, other, gap, times)
    return found


def _meeting(one: np.ndarray, other: np.ndarray, gap: np.ndarray, times: np.ndarray) -> list[tuple[str, Measure]]:
    """One object reaches the other, and from then on they move or rest together."""
    relative = np.abs(np.gradient(one - other, times))
    nearest = int((gap <= max(float(gap.min()) + 0.01, 0.0)).argmax())
    came = float(gap[: nearest + 1].max() - gap[nearest])
    before = float(relative[: nearest + 1].max())
    after = relative[nearest + 1 :][times[nearest + 1 :] <= times[nearest] + 0.6]
    if not len(after):
        return [("things_meet", Measure(0.0, float(times[0]), float(times[nearest])))]
    stops = ramp(float(np.percentile(after, 30)) / max(before, 1e-6), 0.6, 0.3)
    support = float(ramp(gap[nearest], TOUCH + 0.035, TOUCH) * ramp(came, 0.02, 0.06) * stops)
    return [("things_meet", Measure(support, float(times[max(0, nearest - 1)]), float(times[nearest])))]


def _leaves(one: np.ndarray, other: np.ndarray, gap: np.ndarray, times: np.ndarray) -> list[tuple[str, Measure]]:
    """Two adjacent parts that move apart at once in opposite directions, or together."""
    found = []
    for name, a, b, g in (("thing_opens", one, other, gap), ("thing_closes", one[::-1], other[::-1], gap[::-1])):
        da, db = a[-1] - a[0], b[-1] - b[0]
        line = a[0] - b[0]
        line = line / max(abs(line), 1e-6)
        away, back = (da * np.conj(line)).real, -(db * np.conj(line)).real
        even = ramp(min(away, back) / max(away, back, 1e-6), 0.2, 0.5)
        straight = ramp((away + back) / max(abs(da) + abs(db), 1e-6), 0.6, 0.85)
        support = float(ramp(g[0], TOUCH + 0.05, TOUCH + 0.01) * ramp(away + back, 0.05, 0.12) * even * straight)
        moved = np.abs(np.gradient(np.abs(one - other)))
        busy = np.flatnonzero(moved >= 0.2 * moved.max())
        found.append((name, Measure(support, float(times[busy[0]]), float(times[busy[-1]]))))
    return found
