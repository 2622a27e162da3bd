"""The motion primitives of one person. Thresholds are in body heights, degrees and seconds."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from .arms import measure_arms, measure_hands
from .body import (
    L_ANKLE,
    L_HIP,
    L_KNEE,
    L_SHOULDER,
    NOSE,
    R_ANKLE,
    R_HIP,
    R_KNEE,
    R_SHOULDER,
    Body,
    filled,
)
from .gait import measure_legs, measure_travel
from .repetition import BodyRhythm
from .time_series import (
    MAX_FRAME_GAP,
    MIN_KNOWN,
    SMOOTHING,
    Measure,
    Measures,
    again,
    change,
    detrended,
    event,
    lasting,
    principal,
    ramp,
    risen,
    spread,
    strongest,
)

FLIGHT: Final = 0.8
"""Longest time in the air to either side of a jump's apex, in seconds."""


def measure_person(body: Body, picture_height: float, beat: BodyRhythm | None = None) -> Measures:
    """Support of every primitive of one person; None for what was not measurable.

    Args:
        body: The person.
        picture_height: Pixels of the original image.
        beat: What the person repeats.
    """
    found = {**_posture(body), **measure_hands(body), **_framing(body, picture_height)}
    if body.step <= MAX_FRAME_GAP:
        found |= {
            **measure_travel(body),
            **measure_legs(body),
            **_whole_body(body, beat),
            **measure_arms(body),
            "head_motion": _head(body),
        }
    return found


def _posture(body: Body) -> Measures:
    times, trunk, lean, thighs = body.times, body.trunk(), body.lean(), body.thighs()
    knees = body.bent()
    head = body.points[:, NOSE, 1] - body.joint(L_HIP, R_HIP)[:, 1]
    straight = np.minimum(ramp(knees, 125, 150), ramp(thighs, 0.11, 0.17))
    # Seen from the front, knees look straight but thighs short.
    bent = np.fmax(ramp(knees, 135, 110), ramp(thighs, 0.17, 0.11))
    return {
        "upright": lasting(ramp(trunk, 35, 20) * ramp(lean, 50, 35) * straight, times),
        "seated": lasting(bent * ramp(lean, 65, 45), times, 0.5),
        "lie": lasting(ramp(trunk, 50, 70), times),
        "torso_bend": lasting(ramp(lean, 30, 55) * ramp(trunk, 110, 85), times, 0.3),
        "invert": lasting(ramp(head / body.height, 0.0, 0.12), times, 0.25),
    }


def _whole_body(body: Body, beat: BodyRhythm | None) -> Measures:
    times, hips, trunk = body.times, body.joint(L_HIP, R_HIP), body.trunk()
    knees = body.bent()
    feet = body.joint(L_ANKLE, R_ANKLE)
    ground = np.fmax(*(foot[:, 1] for foot in body.feet()))
    shoulders = body.points[:, L_SHOULDER, 0] - body.points[:, R_SHOULDER, 0]
    across = shoulders / np.median(body.height)
    turned = strongest(*(risen(way * across, times, 0.0, 1.0) for way in (1, -1)))
    airborne = np.fmin(
        ramp(_hop(feet[:, 1], times) / body.height, 0.05, 0.12), ramp(_hop(hips[:, 1], times) / body.height, 0.05, 0.12)
    )
    lowered, thighs = (hips[:, 1] - ground) / body.height, body.thighs()
    bending = float(ramp(spread(knees), 20, 50))
    trunk_rise = change(trunk, times)
    return {
        "turn": turned and replace(turned, support=float(ramp(spread(across), 0.15, 0.3))),
        "jump": event(airborne, times),
        "sit_down": strongest(risen(lowered, times, 0.1, 0.2, bending), risen(-thighs, times, 0.05, 0.1)),
        "stand_up": strongest(risen(-lowered, times, 0.1, 0.2, bending), risen(thighs, times, 0.05, 0.1)),
        "fall": trunk_rise and Measure(float(ramp(trunk_rise[0], 40, 65)), trunk_rise[1], trunk_rise[2]),
        "body_repeat": _repeat(body, beat),
    }


def _repeat(body: Body, beat: BodyRhythm | None) -> Measure | None:
    """Nothing for one repetition, full support for three, as far as the trunk takes part."""
    if beat is None:
        return lasting(np.where(np.isfinite(body.joint(L_SHOULDER, R_SHOULDER)[:, 0]), 0.0, np.nan), body.times)
    return Measure(float(ramp(beat.count, 1, 3)) * beat.whole, beat.start, beat.end)


def _head(body: Body) -> Measure | None:
    """Head relative to the shoulders, moving back and forth or for long, while the trunk is still."""
    relative = (body.points[:, NOSE] - body.joint(L_SHOULDER, R_SHOULDER)) / body.height[:, None]
    if np.isfinite(relative[:, 0]).mean() < MIN_KNOWN or np.isfinite(relative[:, 0]).sum() < 6:
        return None
    swings = again(principal(detrended(relative, body.times, SMOOTHING)), body.times, 0.012, 0.75, 2)
    trunk = np.linalg.norm(body.velocity(body.joint(L_SHOULDER, R_SHOULDER)), axis=1)
    still = ramp(trunk, 0.25, 0.1)
    speed = np.linalg.norm(body.velocity(filled(relative * body.height[:, None], body.times)), axis=1)
    calm = float(ramp(float(np.nanpercentile(trunk, 75)), 0.3, 0.1))
    return strongest(
        swings and replace(swings, support=swings.support * calm),
        lasting(ramp(speed, 0.04, 0.12) * still, body.times),
    )


def _framing(body: Body, picture_height: float) -> Measures:
    """How the person is framed: a close-up of the face without legs."""
    fills = ramp(body.height / picture_height, 1.2, 2.0)
    legs = np.isfinite(body.points[:, [L_KNEE, R_KNEE], 0]).any(axis=1)
    return {"face_close": lasting(np.where(np.isfinite(body.points[:, NOSE, 0]) & ~legs, fills, 0.0), body.times)}


def _hop(y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(k,) pixels by which a point is above its lowest positions before and after, within `FLIGHT` seconds."""
    out = np.full(len(y), np.nan)
    for k in np.flatnonzero(np.isfinite(y)):
        near = np.isfinite(y) & (np.abs(times - times[k]) <= FLIGHT)
        before, after = y[: k + 1][near[: k + 1]], y[k:][near[k:]]
        out[k] = min(before.max(), after.max()) - y[k]
    return out
