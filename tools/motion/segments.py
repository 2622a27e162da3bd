"""Segments of an object's path in which one quantity changes in one direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .objects import MovingObject
from .time_series import Measure, ramp, turning_points

STEP: Final = 0.04
"""Shortest displacement that counts as a movement."""


@dataclass(frozen=True)
class Segment:
    """A part of a path in which one quantity changes in one direction."""

    first: int
    """Index into the path."""
    last: int
    """Index into the path."""
    change: float
    """Signed, in the unit of the quantity."""


def segments_of(series: np.ndarray, least: float) -> list[Segment]:
    """The parts between turning points at least `least` apart, cut to the middle nine tenths of their change."""
    at = turning_points(series, least)
    found = []
    for a, b in zip(at[:-1], at[1:], strict=True):
        change = float(series[b] - series[a])
        if abs(change) < least:
            continue
        part = (series[a : b + 1] - series[a]) / change
        first = a + int(np.flatnonzero(part <= 0.05)[-1])
        last = first + int((part[first - a :] >= 0.95).argmax())
        found.append(Segment(first, last, change))
    return found


def over(obj: MovingObject, segment: Segment, support: float) -> Measure:
    """A measure over the time of a segment."""
    return Measure(support, float(obj.times[segment.first]), float(obj.times[segment.last]))


def goes_along(obj: MovingObject, segment: Segment, other: MovingObject) -> float:
    """0..1: how closely another object nearby moves in the same direction at the same time."""
    both = np.intersect1d(obj.index[segment.first : segment.last + 1], other.index)
    if len(both) < 3:
        return 0.0
    a, b = obj.path[both - obj.index[0]], other.path[both - other.index[0]]
    own, its = a[-1] - a[0], b[-1] - b[0]
    apart = filled_gaps(distances(obj, other, both)).min()
    return float(ramp(abs(own - its) / max(abs(own), 1e-6), 0.6, 0.3) * ramp(apart, 0.2, 0.1))


def scaled(measure: Measure, factor: float) -> Measure:
    """The measure with its support multiplied by a factor of 0..1."""
    return Measure(measure.support * float(factor), measure.start, measure.end)


def distances(a: MovingObject, b: MovingObject, frames: np.ndarray) -> np.ndarray:
    """(n,) distance of the second nearest point of one object from the other in these frames; NaN where unknown."""
    one, other = a.points[:, frames - a.index[0]], b.points[:, frames - b.index[0]]
    far = np.abs(one[:, None] - other[None])
    near = np.sort(np.where(np.isfinite(far), far, np.inf).min(axis=1), axis=0)[:2].max(axis=0)
    return np.where(np.isfinite(near), near, np.nan)


def filled_gaps(series: np.ndarray) -> np.ndarray:
    """A series with its gaps (NaN) interpolated; 1 throughout if nothing is known."""
    good = np.isfinite(series)
    if not good.any():
        return np.full(len(series), 1.0)
    return np.asarray(np.interp(np.arange(len(series)), np.flatnonzero(good), series[good]))
