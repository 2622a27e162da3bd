"""The primitives of one person's arms and hands. An arm is about a third of a body height long."""

from __future__ import annotations

from typing import Final

import numpy as np

from .body import (
    L_ANKLE,
    L_HIP,
    L_SHOULDER,
    L_WRIST,
    NOSE,
    R_ANKLE,
    R_HIP,
    R_SHOULDER,
    R_WRIST,
    Body,
)
from .time_series import (
    MIN_KNOWN,
    SMOOTHING,
    Measure,
    Measures,
    again,
    detrended,
    gained,
    lasting,
    peak,
    principal,
    ramp,
    risen,
    strongest,
)

SWEEP: Final = 0.36
"""Duration of an arm swing in seconds."""

THRUST: Final = 0.3
"""Duration of an arm thrust in seconds."""

LOW: Final = 0.25
"""Body heights below its shoulder from which a hand hangs: 0.38 with the arm straight down."""

HELD: Final = 0.4
"""Seconds for which a hand must stay where it has moved to."""


def measure_hands(body: Body) -> Measures:
    """Where the hands are: raised, overhead, together, at the face or the head, reaching out."""
    times = body.times
    hands = body.hands()
    face = body.points[:, NOSE]
    to_face, to_head = [], []
    crown = face + 0.6 * (face - body.joint(L_SHOULDER, R_SHOULDER))
    for side, wrist in ((0, L_WRIST), (1, R_WRIST)):
        near = np.fmin(body.between(hands[:, side], face), body.between(body.points[:, wrist], face))
        hand = np.where(np.isfinite(hands[:, side]), hands[:, side], body.points[:, wrist])
        above = (face[:, 1] - hand[:, 1]) / body.height
        to_face.append(lasting(ramp(near, 0.14, 0.09) * ramp(above, 0.12, 0.06), times, 0.4))
        over = np.fmin(body.between(hands[:, side], crown), body.between(body.points[:, wrist], crown))
        to_head.append(lasting(ramp(over, 0.16, 0.1) * ramp(above, -0.03, 0.03), times, 0.4))
    wrists = body.points[:, [L_WRIST, R_WRIST]]
    shoulders = body.points[:, [L_SHOULDER, R_SHOULDER]]
    lift = (shoulders[:, :, 1] - wrists[:, :, 1]) / body.height[:, None]
    over = (face[:, None, 1] - wrists[:, :, 1]) / body.height[:, None]
    # Seen from the side, the far hand is hidden behind the near one.
    both_over = np.where(_from_side(body), np.fmin(*over.T), over.min(axis=1))
    together = ramp(body.between(wrists[:, 0], wrists[:, 1]), 0.15, 0.08)
    # Seen from the side, hanging hands overlap too.
    low = (wrists[:, :, 1].mean(axis=1) - body.joint(L_HIP, R_HIP)[:, 1]) / body.height
    together = together * np.where(np.isfinite(low), ramp(low, 0.0, -0.06), 1.0)
    stretched = np.stack([ramp(_outwards(body, side), 0.14, 0.24) for side in (0, 1)], 1) * ramp(body.elbows(), 85, 115)
    return {
        "arm_raise": strongest(*(lasting(ramp(lift[:, side], 0.0, 0.08), times, 0.15) for side in (0, 1))),
        "arms_overhead": lasting(ramp(both_over, 0.03, 0.1), times, 0.3),
        "hands_together": lasting(together, times, 0.3),
        "hand_to_face": strongest(*to_face),
        "hand_to_head": strongest(*to_head),
        "reach": strongest(*(lasting(stretched[:, side], times, 0.2) for side in (0, 1))),
    }


def _from_side(body: Body) -> np.ndarray:
    """(k,) bool: one shoulder is nearly behind the other."""
    across = np.abs(body.points[:, L_SHOULDER, 0] - body.points[:, R_SHOULDER, 0]) / body.height
    return np.asarray(across < 0.16)


def _outwards(body: Body, side: int) -> np.ndarray:
    """(k,) distance of a hand, in body heights, from the line through its shoulder along the trunk."""
    up = body.joint(L_SHOULDER, R_SHOULDER) - body.joint(L_HIP, R_HIP)
    up = np.where(np.isfinite(up), up, (0.0, -1.0))
    up /= np.linalg.norm(up, axis=1, keepdims=True) + 1e-9
    arm = body.hands()[:, side] - body.points[:, (L_SHOULDER, R_SHOULDER)[side]]
    return np.asarray(np.abs(arm[:, 0] * up[:, 1] - arm[:, 1] * up[:, 0]) / body.height)


def measure_arms(body: Body) -> Measures:
    """How the arms move: swings, thrusts, repetition, waving, hands rising and lowering."""
    times, hands, unit = body.times, body.hands(), body.height[:, None]
    elbows = body.elbows()
    shoulders = body.points[:, [L_SHOULDER, R_SHOULDER]]
    feet = body.joint(L_ANKLE, R_ANKLE)
    swings: list[Measure | None] = []
    thrusts, repeats, waves, rises, falls = (swings.copy() for _ in range(5))
    for side in (0, 1):
        arm = (hands[:, side] - shoulders[:, side]) / unit
        hanging = ramp(arm[:, 1], 0.2, 0.28) * ramp(np.abs(arm[:, 0]), 0.18, 0.1)
        swings.append(_sweep((hands[:, side] - shoulders.mean(axis=1)) / unit, hanging, times))
        out = np.linalg.norm(body.points[:, (L_WRIST, R_WRIST)[side]] - shoulders[:, side], axis=1) / body.height
        shoots = ramp(gained(out, times, THRUST), 0.08, 0.16) * ramp(gained(elbows[:, side], times, THRUST), 40, 80)
        thrusts.append(peak(shoots * (1 - hanging), times))
        # A hanging arm swings with every step.
        quick = np.where(arm[:, 1:] > LOW, 0.0, detrended(arm, times, SMOOTHING))
        repeats += [again(axis, times, 0.02, 1, 2.5) for axis in (principal(quick), *quick.T)]
        waves.append(_waving(arm, times))
        for way, found in ((1, rises), (-1, falls)):
            found.append(risen(way * -arm[:, 1], times, 0.18, 0.32, hold=HELD))
            found.append(risen(way * (feet[:, 1] - hands[:, side, 1]) / body.height, times, 0.3, 0.5, hold=HELD))
    return {
        "arm_swing": strongest(*swings),
        "arm_thrust": strongest(*thrusts),
        "arm_repeat": strongest(*repeats),
        "wave": strongest(*waves),
        "hands_rise": strongest(*rises),
        "hands_lower": strongest(*falls),
    }


def _sweep(hand: np.ndarray, hanging: np.ndarray, times: np.ndarray) -> Measure | None:
    """Displacement of a hand (k, 2; body heights from the shoulders) within `SWEEP` seconds.

    An arm that leaves its hanging or comes back to it is raised or lowered, not swung.
    """
    if np.isfinite(hand[:, 0]).mean() < MIN_KNOWN or len(hand) < 4:
        return None
    # A median of three removes single outliers and keeps the path of the hand.
    smooth = hand.copy()
    smooth[1:-1] = np.median(np.stack([hand[:-2], hand[1:-1], hand[2:]]), axis=0)
    way = np.linalg.norm(smooth[:, None] - smooth[None], axis=2) * (1 - hanging[:, None]) * (1 - hanging[None])
    way[~(np.abs(times[:, None] - times[None]) <= SWEEP)] = 0.0
    way = np.nan_to_num(way)
    one, other = np.unravel_index(int(way.argmax()), way.shape)
    start, end = sorted((float(times[one]), float(times[other])))
    return Measure(float(ramp(way[one, other], 0.2, 0.4)), start, end)


def _waving(hand: np.ndarray, times: np.ndarray) -> Measure | None:
    """A raised hand (k, 2; body heights from its shoulder) that moves from side to side."""
    if np.isfinite(hand[:, 0]).mean() < MIN_KNOWN:
        return None
    quick = detrended(np.where(hand[:, 1:] < 0, hand, np.nan), times, SMOOTHING)
    quick = np.nan_to_num(quick)
    return strongest(*(again(axis, times, 0.035, 0.75, 1.75) for axis in (principal(quick), quick[:, 0])))
