"""The motion primitives of one person.

Thresholds are in body heights, degrees and seconds and come from ordinary human movement: a walk goes at about 0.8 body
heights per second with two steps a second, a run at twice that; an arm is a third of a body long.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from .body import (
    L_ANKLE,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    L_WRIST,
    LIMB_WINDOW,
    NOSE,
    R_ANKLE,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    R_WRIST,
    Body,
    filled,
)
from .signal import LEAST_SEEN, Measure, Rhythm, cycles, event, lasting, principal, ramp, repeated, rhythm, strongest

DENSE: Final = 0.35
"""Seconds between frames above which movement is not measured: a step or a swing would fall between them."""
FLIGHT: Final = 0.8
"""Seconds within which who has jumped was on the ground before, and is again."""
Measures = dict[str, Measure | None]


def measure_person(body: Body, picture_height: float) -> Measures:
    """Support of every primitive that concerns one person; None for what could not be seen."""
    found = {**_posture(body), **_hands(body), **_framing(body, picture_height)}
    if body.step <= DENSE:
        found |= {**_travel(body), **_legs(body), **_whole_body(body), **_arms(body), "head_motion": _head(body)}
    return found


def net_velocity(body: Body) -> np.ndarray:
    """(2,) body heights per second over the whole time the person was seen."""
    centre = body.centre()
    third = max(1, len(centre) // 3)
    seconds = body.times[-third:].mean() - body.times[:third].mean()
    moved = centre[-third:].mean(0) - centre[:third].mean(0)
    return np.asarray(moved / max(seconds, 1e-6) / np.median(body.height))


def steps_per_second(body: Body) -> float:
    """Swings of the feet past each other, two to a walking cycle."""
    apart = principal(body.points[:, L_ANKLE] - body.points[:, R_ANKLE]) / body.height
    count, _ = cycles(apart, body.times, 0.04)
    return 2 * count / max(float(body.times[-1] - body.times[0]), 1e-6)


def body_rhythm(body: Body) -> Rhythm | None:
    """How often a hand, or the whole body, goes to and fro; None where neither does so twice."""
    if body.step > DENSE:
        return None
    hands = body.points[:, [L_WRIST, R_WRIST]] - body.points[:, [L_SHOULDER, R_SHOULDER]]
    series = [(hands[:, side] / body.height[:, None], 0.07) for side in (0, 1)]
    series.append((body.joint(L_HIP, R_HIP) / body.height[:, None], 0.06))
    found = []
    for points, least in series:
        if np.isfinite(points[:, 0]).mean() > 0.8:
            along = principal(filled(points, body.times))
            found.append(rhythm(along, body.times, least))
    return max((r for r in found if r and r.count > 1), key=lambda r: r.count, default=None)


def _travel(body: Body) -> Measures:
    centre, (vx, vy) = body.centre(), net_velocity(body)
    speed = float(np.hypot(vx, vy))
    growth = np.polyfit(body.times - body.times[0], np.log(body.height), 1)[0] if len(body.times) >= 8 else 0.0
    span = body.times[[0, -1]]
    wandering = np.linalg.norm(body.velocity(centre), axis=1)
    fast = lasting(ramp(wandering, 1.0, 1.8), body.times)
    rise = abs(vy) * float(span[1] - span[0])
    climbing = ramp(rise, 0.6, 1.2) * ramp(abs(vy), abs(vx), 2 * abs(vx) + 1e-6) * ramp(abs(growth), 0.08, 0.02)
    return {
        "travel": Measure(float(max(ramp(speed, 0.1, 0.35), ramp(abs(growth), 0.05, 0.15))), *span),
        "travel_fast": fast and Measure(fast.support * float(ramp(speed, 0.5, 1.0)), *span),
        "stay_in_place": Measure(float(ramp(speed, 0.3, 0.1) * ramp(np.percentile(wandering, 75), 1.0, 0.4)), *span),
        "climb": Measure(float(climbing), *span),
    }


def _legs(body: Body) -> Measures:
    knees, feet = body.knees(), body.points[:, [L_ANKLE, R_ANKLE]]
    seen = np.isfinite(knees).all(axis=1).mean() >= LEAST_SEEN
    if not seen:
        return dict.fromkeys(("steps", "pedal", "kick"))
    span = body.times[[0, -1]]
    hips = body.joint(L_HIP, R_HIP)
    count, swing = cycles(principal(feet[:, 0] - feet[:, 1]) / body.height, body.times, 0.04)
    rate = 2 * count / max(span[1] - span[0], 1e-6)
    extension = np.nanmedian(np.linalg.norm(feet - hips[:, None], axis=2) / body.height[:, None])
    walking = ramp(swing, 0.03, 0.08) * ramp(rate, 0.5, 1.2) * ramp(extension, 0.28, 0.4)
    up_down, lift = cycles((body.points[:, L_KNEE] - body.points[:, R_KNEE])[:, 1] / body.height, body.times, 0.03)
    bent = np.nanmedian(knees)
    pedalling = ramp(lift, 0.02, 0.06) * ramp(up_down, 1, 2.5) * ramp(bent, 145, 115)
    speeds = np.linalg.norm(np.stack([body.velocity(feet[:, side] - hips, LIMB_WINDOW) for side in (0, 1)], 1), axis=2)
    fast, slow = speeds.max(axis=1), speeds.min(axis=1)
    kicking = event(ramp(fast, 1.0, 1.8) * ramp(slow / (fast + 1e-6), 0.7, 0.3), body.times)
    return {
        "steps": Measure(float(walking), *span),
        "pedal": Measure(float(pedalling), *span),
        "kick": kicking,
    }


def _posture(body: Body) -> Measures:
    trunk, knees = body.trunk(), body.knees().mean(axis=1)
    times = body.times
    head = body.points[:, NOSE, 1] - body.joint(L_HIP, R_HIP)[:, 1]
    bend = lasting(ramp(trunk, 30, 55) * ramp(trunk, 110, 85), times, 0.3)
    return {
        "upright": lasting(ramp(trunk, 35, 20) * ramp(knees, 125, 150), times),
        "seated": lasting(ramp(knees, 135, 110) * ramp(trunk, 60, 40), times),
        "lie": lasting(ramp(trunk, 50, 70), times),
        "torso_bend": bend,
        "invert": lasting(ramp(head / body.height, 0.0, 0.12), times, 0.25),
    }


def _whole_body(body: Body) -> Measures:
    times, hips, trunk = body.times, body.joint(L_HIP, R_HIP), body.trunk()
    knees = body.knees().mean(axis=1)
    feet = body.joint(L_ANKLE, R_ANKLE)
    span = times[[0, -1]]
    shoulders = body.points[:, L_SHOULDER, 0] - body.points[:, R_SHOULDER, 0]
    known = shoulders[np.isfinite(shoulders)] / np.median(body.height)
    turning = np.ptp(np.percentile(known, [5, 95])) if len(known) >= 5 else None
    airborne = np.fmin(
        ramp(_hop(feet[:, 1], times) / body.height, 0.05, 0.12), ramp(_hop(hips[:, 1], times) / body.height, 0.05, 0.12)
    )
    lowered = (hips[:, 1] - feet[:, 1]) / body.height
    down, up = _change(lowered, times, times[-1]), _change(-lowered, times, times[-1])
    bending = ramp(np.ptp(knees[np.isfinite(knees)]) if np.isfinite(knees).any() else 0.0, 20, 50)
    trunk_rise = _change(trunk, times, times[-1])
    return {
        "turn": None if turning is None else Measure(float(ramp(turning, 0.15, 0.3)), *span),
        "jump": event(airborne, times),
        "sit_down": down and Measure(float(ramp(down[0], 0.1, 0.2) * bending), down[1], down[2]),
        "stand_up": up and Measure(float(ramp(up[0], 0.1, 0.2) * bending), up[1], up[2]),
        "fall": trunk_rise and Measure(float(ramp(trunk_rise[0], 40, 65)), trunk_rise[1], trunk_rise[2]),
        "body_repeat": strongest(
            repeated(hips[:, 1] / body.height, times, 0.05, 2, 3),
            repeated(body.joint(L_SHOULDER, R_SHOULDER)[:, 1] / body.height, times, 0.06, 2, 3),
        ),
    }


def _hands(body: Body) -> Measures:
    times = body.times
    hands = body.hands()
    face = body.points[:, NOSE]
    to_face, to_head = [], []
    crown = face + 0.6 * (face - body.joint(L_SHOULDER, R_SHOULDER))
    for side, wrist in ((0, L_WRIST), (1, R_WRIST)):
        near = np.fmin(body.between(hands[:, side], face), body.between(body.points[:, wrist], face))
        to_face.append(lasting(ramp(near, 0.14, 0.09), times, 0.4))
        over = np.fmin(body.between(hands[:, side], crown), body.between(body.points[:, wrist], crown))
        above = ramp((face[:, 1] - hands[:, side, 1]) / body.height, -0.03, 0.03)
        to_head.append(lasting(ramp(over, 0.16, 0.1) * above, times, 0.4))
    wrists = body.points[:, [L_WRIST, R_WRIST]]
    shoulders = body.points[:, [L_SHOULDER, R_SHOULDER]]
    lift = (shoulders[:, :, 1] - wrists[:, :, 1]) / body.height[:, None]
    both_over = (face[:, None, 1] - wrists[:, :, 1]).min(axis=1) / body.height
    stretched = ramp(np.abs((wrists - shoulders)[:, :, 0]) / body.height[:, None], 0.2, 0.3) * ramp(
        body.elbows(), 120, 150
    )
    return {
        "arm_raise": strongest(*(lasting(ramp(lift[:, side], 0.0, 0.08), times, 0.3) for side in (0, 1))),
        "arms_overhead": lasting(ramp(both_over, 0.03, 0.1), times, 0.3),
        "hands_together": lasting(ramp(body.between(wrists[:, 0], wrists[:, 1]), 0.15, 0.08), times, 0.5),
        "hand_to_face": strongest(*to_face),
        "hand_to_head": strongest(*to_head),
        "reach": strongest(*(lasting(stretched[:, side], times, 0.4) for side in (0, 1))),
    }


def _arms(body: Body) -> Measures:
    times, hands = body.times, body.hands()
    elbows = body.elbows()
    shoulders = body.points[:, [L_SHOULDER, R_SHOULDER]]
    swings, thrusts, repeats, waves = [], [], [], []
    for side in (0, 1):
        relative = hands[:, side] - shoulders[:, side]
        speed = np.linalg.norm(body.velocity(relative, LIMB_WINDOW), axis=1)
        swings.append(event(ramp(speed, 1.2, 2.6), times))
        opening = np.gradient(elbows[:, side], times) if len(times) > 2 else elbows[:, side] * np.nan
        thrusts.append(event(ramp(opening, 200, 450) * ramp(speed, 0.8, 1.8), times))
        repeats.append(repeated(principal(relative) / body.height, times, 0.035, 2, 4))
        waves.append(_waving(relative / body.height[:, None], times))
    low_to_high = [_change((shoulders[:, s, 1] - hands[:, s, 1]) / body.height, times, times[-1]) for s in (0, 1)]
    high_to_low = [_change((hands[:, s, 1] - shoulders[:, s, 1]) / body.height, times, times[-1]) for s in (0, 1)]
    return {
        "arm_swing": strongest(*swings),
        "arm_thrust": strongest(*thrusts),
        "arm_repeat": strongest(*repeats),
        "wave": strongest(*waves),
        "hands_rise": strongest(*(c and Measure(float(ramp(c[0], 0.2, 0.35)), c[1], c[2]) for c in low_to_high)),
        "hands_lower": strongest(*(c and Measure(float(ramp(c[0], 0.2, 0.35)), c[1], c[2]) for c in high_to_low)),
    }


def _waving(hand: np.ndarray, times: np.ndarray) -> Measure | None:
    """A hand (k, 2; body heights from its shoulder) that goes from side to side while it is raised."""
    if np.isfinite(hand[:, 0]).mean() < LEAST_SEEN:
        return None
    raised = np.where(hand[:, 1] < 0.05, hand[:, 0], np.nan)
    count, _ = cycles(raised, times, 0.04)
    return Measure(float(ramp(count, 1.5, 3)), float(times[0]), float(times[-1]))


def _head(body: Body) -> Measure | None:
    """Head against shoulders: to and fro while the shoulders stay."""
    relative = body.points[:, NOSE] - body.joint(L_SHOULDER, R_SHOULDER)
    if np.isfinite(relative[:, 0]).mean() < LEAST_SEEN or np.isfinite(relative[:, 0]).sum() < 3:
        return None
    head = np.linalg.norm(body.velocity(filled(relative, body.times)), axis=1)
    trunk = np.linalg.norm(body.velocity(body.centre()), axis=1)
    return lasting(ramp(head, 0.04, 0.12) * ramp(trunk, 0.5, 0.2), body.times)


def _framing(body: Body, picture_height: float) -> Measures:
    """How the camera sees the person: a close-up of the face is how films show what a face does."""
    fills = ramp(body.height / picture_height, 1.2, 2.0)
    legs = np.isfinite(body.points[:, [L_KNEE, R_KNEE], 0]).any(axis=1)
    return {"face_close": lasting(np.where(np.isfinite(body.points[:, NOSE, 0]) & ~legs, fills, 0.0), body.times)}


def _change(series: np.ndarray, times: np.ndarray, last: float) -> tuple[float, float, float] | None:
    """The greatest lasting rise of a series, (amount, start, end): from a low quarter-second to a later high one."""
    good = np.isfinite(series)
    if good.mean() < LEAST_SEEN or good.sum() < 5:
        return None
    x, t = series[good], times[good]
    steady = np.array([np.median(x[max(0, k - 1) : k + 2]) for k in range(len(x))])
    low = np.minimum.accumulate(steady)
    k = int((steady - low).argmax())
    start = int(steady[: k + 1].argmin())
    # What comes back at once was a swing, not a change of state.
    kept = float(np.median(steady[k:])) if t[k] < last else float(steady[k])
    return max(0.0, min(float(steady[k]), kept) - float(steady[start])), float(t[start]), float(t[k])


def _hop(y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(k,) pixels by which a point is above where it was and will be again within `FLIGHT` seconds."""
    out = np.full(len(y), np.nan)
    for k in np.flatnonzero(np.isfinite(y)):
        near = np.isfinite(y) & (np.abs(times - times[k]) <= FLIGHT)
        before, after = y[: k + 1][near[: k + 1]], y[k:][near[k:]]
        out[k] = min(before.max(), after.max()) - y[k]
    return out
