"""The motion primitives between two people of the same shot."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from .body import (
    L_ANKLE,
    L_ELBOW,
    L_HIP,
    L_SHOULDER,
    L_WRIST,
    LIMB_WINDOW,
    NOSE,
    R_ANKLE,
    R_ELBOW,
    R_HIP,
    R_SHOULDER,
    R_WRIST,
    Body,
)
from .time_series import MAX_FRAME_GAP, Measure, Measures, event, lasting, ramp, strongest

ALIKE: Final = 1.6
"""People whose sizes differ by more stand at different distances from the camera: they do not touch, they overlap."""
FEWEST_TOGETHER: Final = 3


def measure_pair(one: Body, other: Body) -> Measures:
    """Support of every primitive of two people; empty if they are rarely visible together or at different depths."""
    both = np.intersect1d(one.index, other.index)
    if len(both) < FEWEST_TOGETHER:
        return {}
    a, b = _at(one, both), _at(other, both)
    ratio = float(np.median(a.height / b.height))
    if not 1 / ALIKE < ratio < ALIKE:
        return {}
    unit = (a.height + b.height) / 2
    times = a.times
    apart = np.linalg.norm(_trunk(a) - _trunk(b), axis=1) / unit
    near = ramp(apart, 0.7, 0.45)
    arms, strikes = [], []
    for actor, target in ((a, b), (b, a)):
        for side in (0, 1):
            hand = actor.hands()[:, side]
            reach = target.torso_to(hand)
            elbow = actor.points[:, (L_ELBOW, R_ELBOW)[side]]
            # A hand behind the other's back is hidden; its elbow is at their side.
            around = np.where(np.isfinite(reach), ramp(reach, 0.12, 0.07), ramp(target.torso_to(elbow), 0.2, 0.12))
            arms.append(lasting(around * near, times, 0.3))
            if actor.step <= MAX_FRAME_GAP:
                speed = np.linalg.norm(actor.velocity(hand - actor.centre(), LIMB_WINDOW), axis=1)
                strikes.append(event(ramp(speed, 1.0, 2.2) * ramp(reach, 0.25, 0.12), times))
        for ankle in (L_ANKLE, R_ANKLE) if actor.step <= MAX_FRAME_GAP else ():
            speed = np.linalg.norm(actor.velocity(actor.points[:, ankle] - actor.centre(), LIMB_WINDOW), axis=1)
            strikes.append(
                event(ramp(speed, 1.2, 2.4) * ramp(target.torso_to(actor.points[:, ankle]), 0.25, 0.12), times)
            )
    meeting = [lasting(_hands_meet(a, b, i, j, unit), times, 0.2) for i in (0, 1) for j in (0, 1)]
    faces = np.linalg.norm(a.points[:, NOSE] - b.points[:, NOSE], axis=1) / unit
    found: Measures = {
        "close_together": lasting(near, times, 0.5),
        "arms_around": strongest(*arms),
        "hands_meet": strongest(*meeting),
        "faces_meet": lasting(ramp(faces, 0.1, 0.05), times, 0.3),
        "strike": strongest(*strikes),
    }
    if a.step <= MAX_FRAME_GAP and len(both) >= 5:
        found["approach"], found["separate"] = _nearing(apart, times), _nearing(apart[::-1], times)
    return found


def _hands_meet(a: Body, b: Body, i: int, j: int, unit: np.ndarray) -> np.ndarray:
    """(k,) 0..1: two wrists meet clear of both trunks, as in a handshake; in a hug they cross at a trunk."""
    one, other = a.points[:, (L_WRIST, R_WRIST)[i]], b.points[:, (L_WRIST, R_WRIST)[j]]
    meet = (one + other) / 2
    clear = np.fmin(a.torso_to(meet), b.torso_to(meet))
    wrists = np.linalg.norm(one - other, axis=1) / unit
    palms = np.linalg.norm(a.hands()[:, i] - b.hands()[:, j], axis=1) / unit
    return np.asarray(np.fmax(ramp(wrists, 0.14, 0.08), ramp(palms, 0.14, 0.08)) * ramp(clear, 0.08, 0.14))


def _nearing(apart: np.ndarray, times: np.ndarray) -> Measure:
    """Approach: the distance decreases to arm's length."""
    steady = np.array([np.median(apart[max(0, k - 1) : k + 2]) for k in range(len(apart))])
    k = int(steady.argmin())
    shrunk = float(steady[: k + 1].max() - steady[k])
    return Measure(float(ramp(shrunk, 0.1, 0.3) * ramp(steady[k], 1.0, 0.6)), float(times[0]), float(times[k]))


def _trunk(body: Body) -> np.ndarray:
    """(k, 2) the centre of the trunk, or of the box where joints are not visible."""
    middle = body.joint(L_SHOULDER, R_SHOULDER, L_HIP, R_HIP)
    boxes = (body.boxes[:, :2] + body.boxes[:, 2:]) / 2
    return np.asarray(np.where(np.isfinite(middle), middle, boxes))


def _at(body: Body, frames: np.ndarray) -> Body:
    kept = np.isin(body.index, frames)
    return replace(
        body, **{name: getattr(body, name)[kept] for name in ("index", "times", "points", "height", "boxes")}
    )
