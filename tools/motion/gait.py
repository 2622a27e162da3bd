"""How one person gets around: the primitives of travel and of the legs.

A walk is about 0.8 body heights per second at two steps per second, a run twice that.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .body import (
    L_ANKLE,
    L_HIP,
    L_KNEE,
    LIMB_WINDOW,
    R_ANKLE,
    R_HIP,
    R_KNEE,
    Body,
    filled,
)
from .time_series import (
    MIN_KNOWN,
    Measure,
    Measures,
    cycles,
    event,
    lasting,
    principal,
    ramp,
    turning_points,
)

STEP: Final = 0.07
"""Smallest distance, in body heights, by which the feet pass each other in a step, even seen from the front."""


def net_velocity(body: Body) -> np.ndarray:
    """(2,) net body heights per second, right and down, over the whole track."""
    third = max(1, len(body.times) // 3)
    seconds = body.times[-third:].mean() - body.times[:third].mean()
    return np.asarray(_moved(body.place(), body) / max(seconds, 1e-6))


def footsteps(body: Body) -> tuple[int, float, float]:
    """Longest run of steps by alternating feet: (steps, start, end).

    Each swing of the feet past each other is by the foot that moved more through the scene, unless both did. A foot
    that swings twice running, as in a kick, takes no steps.
    """
    feet = body.points[:, [L_ANKLE, R_ANKLE]]
    if np.isfinite(feet).all(axis=(1, 2)).mean() < MIN_KNOWN:
        return 0, float(body.times[0]), float(body.times[-1])
    left, right = (filled(feet[:, side], body.times) for side in (0, 1))
    at = turning_points(principal(left - right) / body.height, STEP)
    best, span, count, began, last = 0, (0, -1), 0, 0, -1
    for first, end in zip(at[:-1], at[1:], strict=True):
        ways = [float(np.linalg.norm(foot[end] - foot[first])) / body.height[first] for foot in (left, right)]
        if abs(ways[0] - ways[1]) < STEP / 2 and max(ways) < STEP:
            continue
        foot = -1 if min(ways) > 0.5 * max(ways) else int(np.argmax(ways))
        if foot == last and foot >= 0:
            count, began = 0, first
        elif not count:
            began = first
        count, last = count + 1, foot
        if count > best:
            best, span = count, (int(began), int(end))
    return best, float(body.times[span[0]]), float(body.times[span[1]])


def steps_per_second(body: Body) -> float:
    """Steps per second, two to a walking cycle, over the whole track."""
    return footsteps(body)[0] / max(float(body.times[-1] - body.times[0]), 1e-6)


def _moved(series: np.ndarray, body: Body) -> np.ndarray:
    """(2,) displacement in body heights from the first third of the time to the last."""
    third = max(1, len(series) // 3)
    return np.asarray((np.median(series[-third:], axis=0) - np.median(series[:third], axis=0)) / np.median(body.height))


def measure_travel(body: Body) -> Measures:
    """Whether and how fast the person moves through the scene, or climbs."""
    span, seconds = body.times[[0, -1]], float(body.times[-1] - body.times[0])
    vx, vy = net_velocity(body)
    speed = float(np.hypot(vx, vy))
    standing = all(np.isfinite(foot[:, 0]).mean() > 0.6 for foot in body.feet())
    ways = np.stack([_moved(filled(foot, body.times) if standing else body.place(), body) for foot in body.feet()])
    far = float(np.linalg.norm(ways, axis=1).min())
    growth = float(np.log(body.height[-1] / body.height[0]))
    wandering = np.linalg.norm(body.velocity(body.centre()), axis=1)
    fast = lasting(ramp(wandering, 1.0, 1.8), body.times)
    # Someone walking away on ground seen from above rises in the image too, but shrinks.
    rise = float(np.abs(ways[:, 1]).min()) * (1 if standing else 0.5)
    climbing = ramp(rise, 0.2, 0.4) * ramp(rise - 2 * abs(growth), 0.0, 0.1)
    climbing *= ramp(abs(vy), abs(vx), 2 * abs(vx) + 1e-6)
    moves = max(ramp(speed, 0.1, 0.35), ramp(far, 0.15, 0.35), ramp(abs(growth) / max(seconds, 1e-6), 0.05, 0.15))
    stays = ramp(speed, 0.3, 0.1) * ramp(far, 0.6, 0.3) * ramp(np.percentile(wandering, 75), 1.0, 0.4)
    return {
        "travel": Measure(float(moves * (1 - climbing)), *_under_way(body)),
        "travel_fast": fast and Measure(fast.support * float(ramp(speed, 0.5, 1.0)), *span),
        "stay_in_place": Measure(float(stays), *span),
        "climb": Measure(float(climbing), *_under_way(body)),
    }


def _under_way(body: Body) -> tuple[float, float]:
    """Seconds at which a tenth and nine tenths of the displacement are covered."""
    place = body.place()
    along = (place - place[0]) @ _moved(place, body)
    done = along / (along[-1] or 1.0)
    first = int((done >= 0.1).argmax())
    return float(body.times[first]), float(body.times[max(first, int((done >= 0.9).argmax()))])


def measure_legs(body: Body) -> Measures:
    """Steps, pedalling and kicks; None for each if the legs are not visible."""
    knees, feet = body.knees(), body.points[:, [L_ANKLE, R_ANKLE]]
    seen = np.isfinite(knees).all(axis=1).mean() >= MIN_KNOWN
    if not seen:
        return dict.fromkeys(("steps", "pedal", "kick"))
    span = body.times[[0, -1]]
    hips = body.joint(L_HIP, R_HIP)
    count, start, end = footsteps(body)
    extension = np.nanmedian(np.linalg.norm(feet - hips[:, None], axis=2) / body.height[:, None])
    # A track of one second has no room for more than one or two.
    enough = min(2.5, max(1.5, 0.5 + 1.5 * float(span[1] - span[0])))
    walking = ramp(count, 0.5, enough) * ramp(count / max(end - start, 1e-6), 0.5, 1.2) * ramp(extension, 0.28, 0.4)
    up_down, lift = cycles((body.points[:, L_KNEE] - body.points[:, R_KNEE])[:, 1] / body.height, body.times, 0.03)
    bent = np.nanmedian(knees)
    pedalling = ramp(lift, 0.02, 0.06) * ramp(up_down, 1, 2.5) * ramp(bent, 145, 115)
    speeds = np.linalg.norm(np.stack([body.velocity(feet[:, side] - hips, LIMB_WINDOW) for side in (0, 1)], 1), axis=2)
    fast, slow = speeds.max(axis=1), speeds.min(axis=1)
    kicking = event(ramp(fast, 1.0, 1.8) * ramp(slow / (fast + 1e-6), 0.7, 0.3), body.times)
    return {
        "steps": Measure(float(walking), start, end),
        "pedal": Measure(float(pedalling), *span),
        "kick": kicking,
    }
