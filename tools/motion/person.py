"""The motion primitives of one person.

Thresholds are in body heights, degrees and seconds and come from ordinary human movement: a walk goes at about 0.8 body
heights per second with two steps a second, a run at twice that; an arm is a third of a body long.
"""

from __future__ import annotations

from dataclasses import replace
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
from .signal import (
    LEAST_SEEN,
    MAX_FRAME_GAP,
    Measure,
    Rhythm,
    again,
    beside,
    change,
    cycles,
    event,
    gained,
    lasting,
    peak,
    principal,
    ramp,
    repeated,
    rhythm,
    risen,
    spread,
    strongest,
    turning_points,
)

FLIGHT: Final = 0.8
"""Seconds within which who has jumped was on the ground before, and is again."""
STEP: Final = 0.07
"""Body heights by which the feet pass each other in a step at least, seen from the front too."""
SWEEP: Final = 0.36
"""Seconds in which an arm is swung."""
THRUST: Final = 0.3
"""Seconds in which an arm shoots out."""
LOW: Final = 0.25
"""Body heights below its shoulder from which a hand hangs: 0.38 with the arm straight down."""
HELD: Final = 0.4
"""Seconds for which a hand must be where it has risen or sunk to."""
TO_AND_FRO: Final = 0.8
"""Seconds over which a hand's or head's path is smoothed: what it does to and fro beside that is repeated."""
Measures = dict[str, Measure | None]


def measure_person(body: Body, picture_height: float) -> Measures:
    """Support of every primitive that concerns one person; None for what could not be seen."""
    found = {**_posture(body), **_hands(body), **_framing(body, picture_height)}
    if body.step <= MAX_FRAME_GAP:
        found |= {**_travel(body), **_legs(body), **_whole_body(body), **_arms(body), "head_motion": _head(body)}
    return found


def net_velocity(body: Body) -> np.ndarray:
    """(2,) body heights per second over the whole time the person was seen."""
    third = max(1, len(body.times) // 3)
    seconds = body.times[-third:].mean() - body.times[:third].mean()
    return np.asarray(_moved(body.place(), body) / max(seconds, 1e-6))


def footsteps(body: Body) -> tuple[int, float, float]:
    """Steps taken in turn by one foot and the other: (how many at a stretch, start, end).

    Each swing of the feet past each other is by the foot that moved more through the scene, unless both did. A foot
    that swings twice running, as in a kick, takes no steps.
    """
    feet = body.points[:, [L_ANKLE, R_ANKLE]]
    if np.isfinite(feet).all(axis=(1, 2)).mean() < LEAST_SEEN:
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
    """Steps, two to a walking cycle, over the time the person was seen."""
    return footsteps(body)[0] / max(float(body.times[-1] - body.times[0]), 1e-6)


def body_rhythm(body: Body) -> Rhythm | None:
    """How often a hand, or the whole body, goes to and fro; None where neither does so twice."""
    if body.step > MAX_FRAME_GAP:
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


def _moved(series: np.ndarray, body: Body) -> np.ndarray:
    """(2,) body heights from the first third of the time to the last."""
    third = max(1, len(series) // 3)
    return np.asarray((np.median(series[-third:], axis=0) - np.median(series[:third], axis=0)) / np.median(body.height))


def _travel(body: Body) -> Measures:
    span, seconds = body.times[[0, -1]], float(body.times[-1] - body.times[0])
    vx, vy = net_velocity(body)
    speed = float(np.hypot(vx, vy))
    standing = all(np.isfinite(foot[:, 0]).mean() > 0.6 for foot in body.feet())
    ways = np.stack([_moved(filled(foot, body.times) if standing else body.place(), body) for foot in body.feet()])
    far = float(np.linalg.norm(ways, axis=1).min())
    growth = float(np.log(body.height[-1] / body.height[0]))
    wandering = np.linalg.norm(body.velocity(body.centre()), axis=1)
    fast = lasting(ramp(wandering, 1.0, 1.8), body.times)
    # Who walks away over ground seen from above rises in the picture too, but shrinks.
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
    """Seconds at which a tenth and nine tenths of the way lie behind somebody."""
    place = body.place()
    along = (place - place[0]) @ _moved(place, body)
    done = along / (along[-1] or 1.0)
    first = int((done >= 0.1).argmax())
    return float(body.times[first]), float(body.times[max(first, int((done >= 0.9).argmax()))])


def _legs(body: Body) -> Measures:
    knees, feet = body.knees(), body.points[:, [L_ANKLE, R_ANKLE]]
    seen = np.isfinite(knees).all(axis=1).mean() >= LEAST_SEEN
    if not seen:
        return dict.fromkeys(("steps", "pedal", "kick"))
    span = body.times[[0, -1]]
    hips = body.joint(L_HIP, R_HIP)
    count, start, end = footsteps(body)
    extension = np.nanmedian(np.linalg.norm(feet - hips[:, None], axis=2) / body.height[:, None])
    # Who is seen for a second has no time for more than one or two.
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


def _posture(body: Body) -> Measures:
    times, trunk, lean, thighs = body.times, body.trunk(), body.lean(), body.thighs()
    knees = body.bent()
    head = body.points[:, NOSE, 1] - body.joint(L_HIP, R_HIP)[:, 1]
    straight = np.minimum(ramp(knees, 125, 150), ramp(thighs, 0.11, 0.17))
    # From the front knees look straight, but the thighs short.
    bent = np.fmax(ramp(knees, 135, 110), ramp(thighs, 0.17, 0.11))
    return {
        "upright": lasting(ramp(trunk, 35, 20) * ramp(lean, 50, 35) * straight, times),
        "seated": lasting(bent * ramp(lean, 65, 45), times, 0.5),
        "lie": lasting(ramp(trunk, 50, 70), times),
        "torso_bend": lasting(ramp(lean, 30, 55) * ramp(trunk, 110, 85), times, 0.3),
        "invert": lasting(ramp(head / body.height, 0.0, 0.12), times, 0.25),
    }


def _whole_body(body: Body) -> Measures:
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
        hand = np.where(np.isfinite(hands[:, side]), hands[:, side], body.points[:, wrist])
        above = (face[:, 1] - hand[:, 1]) / body.height
        to_face.append(lasting(ramp(near, 0.14, 0.09) * ramp(above, 0.12, 0.06), times, 0.4))
        over = np.fmin(body.between(hands[:, side], crown), body.between(body.points[:, wrist], crown))
        to_head.append(lasting(ramp(over, 0.16, 0.1) * ramp(above, -0.03, 0.03), times, 0.4))
    wrists = body.points[:, [L_WRIST, R_WRIST]]
    shoulders = body.points[:, [L_SHOULDER, R_SHOULDER]]
    lift = (shoulders[:, :, 1] - wrists[:, :, 1]) / body.height[:, None]
    over = (face[:, None, 1] - wrists[:, :, 1]) / body.height[:, None]
    # From the side the far hand is behind the near one, wherever both are.
    both_over = np.where(_from_side(body), np.fmin(*over.T), over.min(axis=1))
    together = ramp(body.between(wrists[:, 0], wrists[:, 1]), 0.15, 0.08)
    # Seen from the side, hands that hang lie on each other too.
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
    """(k,) body heights by which a hand is away from the line through its shoulder along the trunk."""
    up = body.joint(L_SHOULDER, R_SHOULDER) - body.joint(L_HIP, R_HIP)
    up = np.where(np.isfinite(up), up, (0.0, -1.0))
    up /= np.linalg.norm(up, axis=1, keepdims=True) + 1e-9
    arm = body.hands()[:, side] - body.points[:, (L_SHOULDER, R_SHOULDER)[side]]
    return np.asarray(np.abs(arm[:, 0] * up[:, 1] - arm[:, 1] * up[:, 0]) / body.height)


def _arms(body: Body) -> Measures:
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
        # An arm that hangs swings with every step.
        quick = np.where(arm[:, 1:] > LOW, 0.0, beside(arm, times, TO_AND_FRO))
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
    """The way of a hand (k, 2; body heights from the shoulders) within `SWEEP` seconds.

    An arm that leaves its hanging or comes back to it is raised or lowered, not swung.
    """
    if np.isfinite(hand[:, 0]).mean() < LEAST_SEEN or len(hand) < 4:
        return None
    # A median of three takes out a joint found wrong once and leaves a hand on its way.
    smooth = hand.copy()
    smooth[1:-1] = np.median(np.stack([hand[:-2], hand[1:-1], hand[2:]]), axis=0)
    way = np.linalg.norm(smooth[:, None] - smooth[None], axis=2) * (1 - hanging[:, None]) * (1 - hanging[None])
    way[~(np.abs(times[:, None] - times[None]) <= SWEEP)] = 0.0
    way = np.nan_to_num(way)
    one, other = np.unravel_index(int(way.argmax()), way.shape)
    start, end = sorted((float(times[one]), float(times[other])))
    return Measure(float(ramp(way[one, other], 0.2, 0.4)), start, end)


def _waving(hand: np.ndarray, times: np.ndarray) -> Measure | None:
    """A hand (k, 2; body heights from its shoulder) that goes from side to side while it is raised."""
    if np.isfinite(hand[:, 0]).mean() < LEAST_SEEN:
        return None
    quick = beside(np.where(hand[:, 1:] < 0, hand, np.nan), times, TO_AND_FRO)
    quick = np.nan_to_num(quick)
    return strongest(*(again(axis, times, 0.035, 0.75, 1.75) for axis in (principal(quick), quick[:, 0])))


def _head(body: Body) -> Measure | None:
    """Head against shoulders, to and fro or for long, while the trunk stays."""
    relative = (body.points[:, NOSE] - body.joint(L_SHOULDER, R_SHOULDER)) / body.height[:, None]
    if np.isfinite(relative[:, 0]).mean() < LEAST_SEEN or np.isfinite(relative[:, 0]).sum() < 6:
        return None
    swings = again(principal(beside(relative, body.times, TO_AND_FRO)), body.times, 0.012, 0.75, 2)
    trunk = np.linalg.norm(body.velocity(body.joint(L_SHOULDER, R_SHOULDER)), axis=1)
    still = ramp(trunk, 0.25, 0.1)
    speed = np.linalg.norm(body.velocity(filled(relative * body.height[:, None], body.times)), axis=1)
    calm = float(ramp(float(np.nanpercentile(trunk, 75)), 0.3, 0.1))
    return strongest(
        swings and replace(swings, support=swings.support * calm),
        lasting(ramp(speed, 0.04, 0.12) * still, body.times),
    )


def _framing(body: Body, picture_height: float) -> Measures:
    """How the camera sees the person: a close-up of the face is how films show what a face does."""
    fills = ramp(body.height / picture_height, 1.2, 2.0)
    legs = np.isfinite(body.points[:, [L_KNEE, R_KNEE], 0]).any(axis=1)
    return {"face_close": lasting(np.where(np.isfinite(body.points[:, NOSE, 0]) & ~legs, fills, 0.0), body.times)}


def _hop(y: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(k,) pixels by which a point is above where it was and will be again within `FLIGHT` seconds."""
    out = np.full(len(y), np.nan)
    for k in np.flatnonzero(np.isfinite(y)):
        near = np.isfinite(y) & (np.abs(times - times[k]) <= FLIGHT)
        before, after = y[: k + 1][near[: k + 1]], y[k:][near[k:]]
        out[k] = min(before.max(), after.max()) - y[k]
    return out
