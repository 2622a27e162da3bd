"""How often a person repeats a movement: counted on the whole pose or, where that tells nothing, on the picture.

The frames are projected onto their first principal component, and the turning points there are counted. A count is
accepted only if the pose comes back: after one period it must be more like itself than after half a period.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from PIL import Image

from ..video.reader import Frames
from .body import L_HIP, L_SHOULDER, R_HIP, R_SHOULDER, Body, filled
from .time_series import MAX_FRAME_GAP, MIN_KNOWN, Rhythm, ramp, rhythm, spread

WINDOW: Final = 0.3
"""Seconds over which the series are averaged."""
KNOWN: Final = 0.6
"""Smallest proportion of frames in which a joint must be visible to be part of the pose."""
FEWEST_JOINTS: Final = 4
FEWEST_FRAMES: Final = 6
LEAST_RANGE: Final = 0.05
"""Smallest range of the joint that moves most along the first component, in body heights."""
LEAST_SWING: Final = 0.35
"""Smallest swing that is counted, as a fraction of the range."""
LEAST_VARIANCE: Final = 0.5
"""Smallest fraction of the pose's variance along its first component."""
TOLERANCE: Final = 0.15
"""Largest deviation of the period after which the pose comes back, as a fraction of the period."""
GRID: Final = 24
"""Side of the picture of a person in pixels."""
LEAST_CONTRAST: Final = 25.0
"""Smallest range of the pixel that changes most along the first component, in grey levels (0..255)."""
MOST_RECURRENCE: Final = (0.4, 0.6)
"""Largest `recurrence` of a count below two, and of two or more."""
LARGEST_SPREAD: Final = 3.0
"""Largest area of a person's boxes together, relative to one of them: the picture of somebody who travels shows the
scenery."""
TRUNK_RANGE: Final = (0.03, 0.06)
"""Range of shoulders or hips, in body heights, from which the whole body takes part, and at which it does so fully."""


@dataclass(frozen=True)
class BodyRhythm(Rhythm):
    """A movement that a person repeats; `count` is a multiple of a half."""

    whole: float
    """0..1: how far the trunk takes part; 1 if neither shoulders nor hips are visible."""


def body_rhythm(body: Body, frames: Frames, shift: np.ndarray) -> BodyRhythm | None:
    """The movement that a person repeats; None if there is none, or frames are too far apart.

    Args:
        body: The person.
        frames: The frames of the clip.
        shift: (frames, 2) pixels of the original image by which the scene has shifted since the shot began.
    """
    if body.step > MAX_FRAME_GAP or len(body.times) < FEWEST_FRAMES:
        return None
    return _of_pose(body) or _of_picture(body, frames, shift)


def repeats(series: np.ndarray, times: np.ndarray, least: float, variance: float = 0.0) -> Rhythm | None:
    """The repetition along the first principal component, counted in halves; None if the series does not come back.

    Args:
        series: (k, n) coordinates or grey levels, without gaps.
        times: (k,) seconds.
        least: Smallest range along the component, of the column that changes most.
        variance: Smallest fraction of the variance along the component.
    """
    near = (np.abs(times[:, None] - times[None]) <= WINDOW / 2 + 1e-6).astype(float)
    smooth = near @ series / near.sum(axis=1)[:, None]
    directions, sizes, loadings = np.linalg.svd(smooth - smooth.mean(axis=0), full_matrices=False)
    scores, share = directions * sizes, sizes[0] ** 2 / max(float((sizes**2).sum()), 1e-12)
    span = float(np.ptp(np.percentile(scores[:, 0], [3, 97])))
    if span * float(np.abs(loadings[0]).max()) < least or share < variance:
        return None
    found = rhythm(scores[:, 0], times, LEAST_SWING * span)
    if found is None or found.count < 0.75:
        return None
    within = (times >= found.start - 1e-6) & (times <= found.end + 1e-6)
    found = replace(found, count=round(2 * found.count) / 2)
    comes_back = recurrence(scores[within, :3], times[within], found.period) < MOST_RECURRENCE[found.count >= 2]
    return found if comes_back else None


def recurrence(series: np.ndarray, times: np.ndarray, period: float) -> float:
    """Median distance of moments one period apart, relative to that of moments half a period apart.

    0 if the (k, n) series comes back exactly, about 1 if it does not; the least over periods within `TOLERANCE`.
    """
    ratios = []
    for each in np.linspace(1 - TOLERANCE, 1 + TOLERANCE, 7) * period:
        start = times <= max(float(times[-1]) - each, float(times[0])) + 1e-6
        whole, half = (
            np.linalg.norm(_at(series, times, times[start] + lag) - series[start], axis=1) for lag in (each, each / 2)
        )
        ratios.append(float(np.median(whole) / max(float(np.median(half)), 1e-9)))
    return min(ratios)


def _at(series: np.ndarray, times: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """(m, n) the (k, n) series interpolated at moments (m,)."""
    return np.stack([np.interp(moments, times, column) for column in series.T], axis=1)


def _of_pose(body: Body) -> BodyRhythm | None:
    known = np.flatnonzero(np.isfinite(body.points[:, :, 0]).mean(axis=0) >= KNOWN)
    if len(known) < FEWEST_JOINTS:
        return None
    series = np.concatenate([filled(body.points[:, joint], body.times) for joint in known], axis=1)
    found = repeats(series / float(np.median(body.height)), body.times, LEAST_RANGE, LEAST_VARIANCE)
    return _with_trunk(found, body) if found else None


def _with_trunk(found: Rhythm, body: Body) -> BodyRhythm:
    during = (body.times >= found.start) & (body.times <= found.end)
    ends = [
        body.joint(*pair)[during] / body.height[during, None] for pair in ((L_SHOULDER, R_SHOULDER), (L_HIP, R_HIP))
    ]
    known = [end for end in ends if np.isfinite(end[:, 0]).mean() >= MIN_KNOWN]
    moved = max((float(np.hypot(spread(end[:, 0]), spread(end[:, 1]))) for end in known), default=np.inf)
    return BodyRhythm(found.count, found.period, found.start, found.end, float(ramp(moved, *TRUNK_RANGE)))


def _of_picture(body: Body, frames: Frames, shift: np.ndarray) -> BodyRhythm | None:
    low, high = body.boxes[:, :2].min(axis=0), body.boxes[:, 2:].max(axis=0)
    one = float(np.median(np.prod(body.boxes[:, 2:] - body.boxes[:, :2], axis=1)))
    if float(np.prod(high - low)) > LARGEST_SPREAD * max(one, 1.0):
        return None
    found = repeats(_pictures(body, frames, shift, np.concatenate([low, high])), body.times, LEAST_CONTRAST)
    return _with_trunk(found, body) if found else None


def _pictures(body: Body, frames: Frames, shift: np.ndarray, region: np.ndarray) -> np.ndarray:
    """(k, GRID * GRID) grey levels of the region (4,) of the scene, in pixels of the original image."""
    rows = []
    for index in body.index:
        box = (region + np.tile(shift[index], 2)) * frames.scale
        picture = Image.fromarray(frames.images[index]).convert("L")
        corner = np.clip(box, 0, [*picture.size, *picture.size])
        if (corner[2:] - corner[:2]).min() < 1:
            rows.append(np.zeros(GRID * GRID))
            continue
        small = picture.resize((GRID, GRID), Image.Resampling.BOX, box=tuple(corner.tolist()))
        rows.append(np.asarray(small, np.float64).ravel())
    return np.stack(rows)
