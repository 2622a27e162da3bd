"""From time series to support: how clearly something occurred, and when. Pure functions; NaN marks unknown values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

MAX_FRAME_GAP: Final = 0.35
"""Seconds between frames above which motion is not measured: a step or a swing would fall between two frames."""
MIN_KNOWN: Final = 0.3
"""Smallest proportion of frames in which a quantity must be known to count as measurable."""


@dataclass(frozen=True)
class Measure:
    """How clearly something occurred, and when."""

    support: float
    """0..1."""
    start: float
    """Seconds."""
    end: float


Measures = dict[str, Measure | None]
"""Measures by primitive; None for what was not measurable."""
SMOOTHING: Final = 0.8
"""Seconds over which the path of a hand or a head is smoothed: what deviates from it back and forth is repetition."""


def ramp(x: np.ndarray | float, none: float, full: float) -> np.ndarray:
    """Linear from 0 at `none` to 1 at `full`, clipped; `none` may be the larger. NaN stays NaN."""
    return np.asarray(np.clip((np.asarray(x, float) - none) / (full - none), 0, 1))


def lasting(strength: np.ndarray, times: np.ndarray, part: float = 0.6) -> Measure | None:
    """Support of a state: its mean strength over the time it can be seen, full when it holds for `part` of that time.

    None where too little was seen.
    """
    good = np.isfinite(strength)
    if good.mean() < MIN_KNOWN:
        return None
    return _measure(min(1.0, float(strength[good].mean()) / part), strength, times)


def event(strength: np.ndarray, times: np.ndarray) -> Measure | None:
    """Support of something brief: its greatest strength that lasts two frames. None where too little was seen."""
    good = np.isfinite(strength)
    if good.mean() < MIN_KNOWN or good.sum() < 2:
        return None
    known = strength[good]
    return _measure(float(np.minimum(known[:-1], known[1:]).max()), strength, times)


def cycles(series: np.ndarray, times: np.ndarray, least: float) -> tuple[float, float]:
    """How often a series oscillates: (cycles, typical amplitude).

    A swing counts when it exceeds `least` on either side of the middle. Linear drift is removed first.
    """
    good = np.isfinite(series)
    if good.sum() < 6:
        return 0.0, 0.0
    x, t = series[good], times[good]
    x = x - np.polyval(np.polyfit(t - t.mean(), x, 1), t - t.mean())
    side = np.where(x > least, 1, np.where(x < -least, -1, 0))
    side = side[side != 0]
    swings = int((np.diff(side) != 0).sum()) if len(side) else 0
    return swings / 2, float(np.percentile(np.abs(x), 75))


def repeated(
    series: np.ndarray, times: np.ndarray, least: float, few: float = 1.5, many: float = 3.0
) -> Measure | None:
    """Support of repetition: swings of `least` to either side, nothing below `few` cycles, full from `many`."""
    if np.isfinite(series).mean() < MIN_KNOWN or np.isfinite(series).sum() < 6:
        return None
    count, _ = cycles(series, times, least)
    return Measure(float(ramp(count, few, many)), float(times[0]), float(times[-1]))


def gained(series: np.ndarray, times: np.ndarray, within: float) -> np.ndarray:
    """(k,) by how much a series is above its lowest of the last `within` seconds; NaN where unseen."""
    near = (times[:, None] >= times[None]) & (times[:, None] - times[None] <= within + 1e-6) & np.isfinite(series)
    return np.asarray(series - np.where(near, series, np.inf).min(axis=1))


def detrended(series: np.ndarray, times: np.ndarray, seconds: float) -> np.ndarray:
    """(k, n) series minus their running means over `seconds`: faster oscillations remain."""
    near = np.abs(times[:, None] - times[None]) <= seconds / 2
    good = np.isfinite(series)
    count = near.astype(float) @ good
    return np.asarray(series - (near.astype(float) @ np.where(good, series, 0.0)) / np.maximum(count, 1.0))


def principal(points: np.ndarray) -> np.ndarray:
    """(k,) the (k, 2) series along the direction in which it varies most; NaN where unseen."""
    good = np.isfinite(points).all(axis=1)
    out = np.full(len(points), np.nan)
    if good.sum() >= 3:
        centred = points[good] - points[good].mean(axis=0)
        out[good] = centred @ np.linalg.svd(centred, full_matrices=False)[2][0]
    return out


def peak(strength: np.ndarray, times: np.ndarray) -> Measure | None:
    """Support of something that may last less than two frames: its maximum."""
    if np.isfinite(strength).mean() < MIN_KNOWN:
        return None
    k = int(np.nanargmax(strength))
    return Measure(float(strength[k]), float(times[max(0, k - 1)]), float(times[k]))


def spread(series: np.ndarray) -> float:
    """Range between the 5th and the 95th percentile; 0 if nothing is known."""
    known = series[np.isfinite(series)]
    return float(np.ptp(np.percentile(known, [5, 95]))) if len(known) else 0.0


def change(series: np.ndarray, times: np.ndarray, hold: float = np.inf) -> tuple[float, float, float] | None:
    """The greatest rise of a series that is kept for `hold` seconds, or to the end: (amount, start, end)."""
    good = np.isfinite(series)
    if good.mean() < MIN_KNOWN or good.sum() < 5:
        return None
    x, t = series[good], times[good]
    steady = np.array([np.median(x[max(0, k - 1) : k + 2]) for k in range(len(x))])
    # A rise that reverts at once is a swing, not a change of state.
    kept = np.array([np.median(steady[k:][t[k:] <= t[k] + hold]) for k in range(len(x))])
    risen = np.minimum(steady, kept) - np.minimum.accumulate(steady)
    k = int(risen.argmax())
    start = int(steady[: k + 1].argmin())
    return max(0.0, float(risen[k])), float(t[start]), float(t[k])


def risen(
    series: np.ndarray, times: np.ndarray, none: float, full: float, weight: float = 1.0, hold: float = np.inf
) -> Measure | None:
    """Support of a rise as in `change`: nothing for one of `none`, full from one of `full`."""
    found = change(series, times, hold)
    return found and Measure(float(ramp(found[0], none, full)) * weight, found[1], found[2])


def again(series: np.ndarray, times: np.ndarray, least: float, few: float, many: float) -> Measure | None:
    """Support of quick repetition, of a series about 0, from its first swing of `least` to its last.

    As in `repeated`, and nothing below one cycle in two seconds, full from one a second.
    """
    found = repeated(series, times, least, few, many)
    swings = np.flatnonzero(np.abs(np.nan_to_num(series)) >= least)
    if found is None or len(swings) < 2:
        return found
    start, end = (float(t) for t in times[swings[[0, -1]]])
    rate = cycles(series, times, least)[0] / max(end - start, 1e-6)
    return Measure(found.support * float(ramp(rate, 0.5, 1.0)), start, end)


def strongest(*measures: Measure | None) -> Measure | None:
    """The measure with the greatest support; None if none was measured."""
    known = [measure for measure in measures if measure is not None]
    return max(known, key=lambda measure: measure.support, default=None)


def _measure(support: float, strength: np.ndarray, times: np.ndarray) -> Measure:
    known = np.where(np.isfinite(strength), strength, 0.0)
    high = np.flatnonzero(known >= max(0.5 * known.max(), 1e-9))
    first, last = (high[0], high[-1]) if len(high) else (0, len(times) - 1)
    return Measure(support, float(times[first]), float(times[last]))


@dataclass(frozen=True)
class Rhythm:
    """An oscillation."""

    count: float
    """Cycles; a half is the way there without the way back."""
    period: float
    """Seconds per cycle."""
    start: float
    """Seconds."""
    end: float


def turning_points(series: np.ndarray, least: float) -> np.ndarray:
    """(k,) int: indices at which a series without gaps reverses by `least` or more, and its ends."""
    points, low, high, way = [0], 0, 0, 0
    for k in range(1, len(series)):
        if way >= 0 and series[k] > series[high]:
            high = k
        if way <= 0 and series[k] < series[low]:
            low = k
        if way >= 0 and series[high] - series[k] >= least:
            points.append(high)
            way, low = -1, k
        elif way <= 0 and series[k] - series[low] >= least:
            points.append(low)
            way, high = 1, k
    points.append(high if way > 0 else low if way < 0 else len(series) - 1)
    return np.unique(points)


def rhythm(series: np.ndarray, times: np.ndarray, least: float) -> Rhythm | None:
    """How often a series without gaps oscillates by `least` or more; None for less than three quarters of a cycle.

    The longest run of swings of like size counts: the way that all of them go together, over the way there and back of
    a typical one. So half a swing at either end, from and to rest, counts as half of one.
    """
    at = turning_points(series, least)
    size = np.abs(np.diff(series[at]))
    best: tuple[int, int, float] | None = None
    for typical in size[size >= least]:
        like = (size >= 0.35 * typical) & (size <= 1.5 * typical)
        edges = np.flatnonzero(np.diff(np.concatenate([[False], like, [False]]).astype(int)))
        for first, last in zip(edges[::2], edges[1::2], strict=True):
            full = size[first:last][size[first:last] >= 0.6 * size[first:last].max()]
            count = float(size[first:last].sum() / (2 * np.median(full)))
            if best is None or count > best[2] + 1e-9:
                best = int(first), int(last), count
    if best is None or best[2] < 0.75:
        return None
    first, last, count = best
    start, end = float(times[at[first]]), float(times[at[last]])
    return Rhythm(count, (end - start) / count, start, end)
