"""Primitives that involve only the body: posture, steps, arms, legs, head."""

from __future__ import annotations

from typing import Final

import numpy as np

from .body import REST
from .primitive_base import BOTH, Step, hang, primitive, rise
from .skeleton import SIDES, aim

EMBRACE: Final = 0.42
"""Distance in metres of two people who have walked up to each other."""


@primitive(0.9, "sit_down")
def sit_down(step: Step) -> None:
    """The person sits down on a seat."""
    body, (t0, t1) = step.body, (step.start, step.end)
    body.move("drop", t0, t1, body.shape.standing - 0.54)
    body.move("shift", t0, t1, -0.40)
    body.tracks["lean"].bump(t0, step.t(1.1), [0.55 * body.amplitude, 0, 0])
    for side in BOTH:
        body.hand(side, t0, t1, aim(0.52, -0.62, -0.08))


@primitive(0.9, "stand_up")
def stand_up(step: Step) -> None:
    """The person stands up."""
    step.body.tracks["lean"].bump(step.t(-0.05), step.end, [0.5 * step.body.amplitude, 0, 0])
    rise(step, step.start, step.end)
    hang(step, step.start, step.end)


@primitive(0.8, "seated")
def crouch(step: Step) -> None:
    """The person crouches with bent knees."""
    body = step.body
    body.move("drop", step.start, step.end, 0.52 * min(1.1, body.amplitude) * sum(body.shape.leg))
    body.move("lean", step.start, step.end, 0.55, 0, 0)
    body.move("shift", step.start, step.end, -0.12)
    for side in BOTH:
        body.hand(side, step.start, step.end, aim(0.62, -0.35, -0.03))


@primitive(0.7, "torso_bend")
def torso_bend(step: Step) -> None:
    """The trunk bends far forward."""
    body, low = step.body, step.prop is not None
    body.move("lean", step.start, step.end, 1.2 if low else min(1.35, 1.05 * body.amplitude), 0, 0)
    body.move("shift", step.start, step.end, -0.16)
    if low:
        body.move("drop", step.start, step.end, 0.42 * sum(body.shape.leg))
        if step.prop and step.prop.holder is not body:
            for side in step.hands:
                body.hand(side, step.start, step.end, aim(0.3, -0.8, 0))


@primitive(0.7, "upright")
def straighten(step: Step) -> None:
    """The bent trunk straightens up."""
    rise(step, step.start, step.end)
    hang(step, step.start, step.end)


@primitive(0.45, "arm_raise")
def arm_raise(step: Step) -> None:
    """A hand is raised above its shoulder."""
    body = step.body
    if step.prop:
        step.prop.attach(step.start, body, (body.side,), 0.2)
        body.hand(body.side, step.start, step.end, aim(-0.2, 0.5, 0.42))
        body.hand(body.other, step.start, step.end, aim(0.55, 0.05, 0.2))
        body.move("lean", step.start, step.end, -0.12, 0, 0.55 * (-SIDES[body.side]))
    else:
        body.hand(body.side, step.start, step.end, aim(0.22, 0.55, 0.42))


@primitive(0.45, "hands_lower")
def arm_lower(step: Step) -> None:
    """A raised or outstretched arm is lowered to the side."""
    step.body.hand(step.body.side, step.start, step.end, REST)


@primitive(0.8, "arms_overhead", "hands_rise")
def arms_overhead(step: Step) -> None:
    """Both hands are raised above the head."""
    body = step.body
    close = -0.16 if step.prop else 0.12
    for side in BOTH:
        body.hand(side, step.start, step.end, np.array([2.85, close, 0.93]))
    body.move("look", step.start, step.end, -0.3, 0)


@primitive(0.8, "arm_swing")
def arm_swing(step: Step) -> None:
    """The hands come down from overhead in a wide arc."""
    body = step.body
    for side in step.hands:
        body.hand(side, step.start, step.t(0.55), np.array([0.75, -0.2 if step.prop else 0.0, 0.95]))
    body.move("look", step.start, step.t(0.5), 0.25, 0)
    body.move("lean", step.start, step.t(0.6), 0.6 * body.amplitude, 0, 0)
    body.move("drop", step.start, step.t(0.6), 0.1)


@primitive(0.9, "arm_swing", "turn")
def side_swing(step: Step) -> None:
    """Both hands swing horizontally from one side to the other."""
    body, sign = step.body, SIDES[step.body.side]
    ways = [(-0.10, 1.28, 0.42), (0.48, 1.02, 0.05), (0.05, 1.22, -0.45)]
    times = [step.t(0.0), step.t(0.35), step.t(0.72), step.t(0.95)]
    for k, (forward, up, across) in enumerate(ways):
        t0 = times[k] - (0.08 if k else 0)
        for side, gap in ((body.side, 0.06), (body.other, -0.05)):
            at = body.point(forward, (up + gap) * body.shape.height / 1.7, sign * across)
            body.hand_at(side, t0, times[k + 1], at)
        body.move("lean", t0, times[k + 1], 0.12, 0, -sign * (-0.9, 0.1, 0.9)[k] * body.amplitude)


@primitive(1.1, "arm_thrust")
def arm_thrust(step: Step) -> None:
    """The arms are thrust forward, one after the other."""
    body, guard = step.body, aim(0.42, 0.0, -0.12)
    for side in BOTH:
        body.hand(side, step.start, step.t(0.22), guard)
    for k, side in enumerate((body.side, body.other)):
        t0, twist = 0.2 + 0.38 * k, 0.5 * SIDES[side] * -1
        body.hand(side, step.t(t0), step.t(t0 + 0.16), aim(0.99, 0.06, -0.15))
        body.move("lean", step.t(t0), step.t(t0 + 0.16), 0.1, 0, twist)
        body.hand(side, step.t(t0 + 0.2), step.t(t0 + 0.38), guard)
    body.move("lean", step.t(0.8), step.end, 0, 0, 0)
    for side in BOTH:
        body.hand(side, step.t(0.88), step.t(1.1), REST)


@primitive(0.8, "kick")
def kick(step: Step) -> None:
    """One leg kicks while the other stands."""
    body, side = step.body, step.body.side
    body.move(f"{side}_leg", step.start, step.t(0.35), -0.7, 0.05, 0.9)
    body.move(f"{side}_leg", step.t(0.32), step.t(0.62), 1.3 * min(1.1, body.amplitude), 0.0, 0.99)
    body.move(f"{side}_leg", step.t(0.62), step.end, 0, 0.05, 0.97)
    body.move(f"{side}_free", step.start, step.t(0.25), 1)
    body.move(f"{side}_free", step.t(0.75), step.end, 0)
    body.tracks["lean"].bump(step.t(0.3), step.end, [-0.25, 0, 0])
    body.tracks[f"{body.other}_arm"].bump(step.t(0.25), step.t(0.9), [0.9, 0.3, 0])
    body.tracks[f"{side}_arm"].bump(step.t(0.25), step.t(0.9), [-0.7, 0.4, 0])
    if step.prop:
        forward, _ = body.axes()
        end = step.prop.at(np.array([step.t(0.5)]))[0] + 3.2 * forward + (0, 0.1, 0)
        step.prop.fly(step.t(0.5), step.t(0.5) + 0.8, lambda _: end, 0.5)


@primitive(1.0, "jump")
def jump(step: Step) -> None:
    """The whole body leaves the ground and lands again."""
    body = step.body
    dip = 0.28 * body.amplitude * sum(body.shape.leg)
    body.move("drop", step.start, step.t(0.35), dip)
    body.move("lean", step.start, step.t(0.35), 0.45, 0, 0)
    body.move("shift", step.start, step.t(0.35), -0.06)
    rise(step, step.t(0.33), step.t(0.5))
    body.tracks["air"].bump(step.t(0.42), step.t(0.9), [0.34 * body.amplitude])
    body.tracks["drop"].bump(step.t(0.8), step.t(1.1), [0.12])
    for side in BOTH:
        body.hand(side, step.start, step.t(0.35), np.array([-0.7, 0.15, 0.95]))
        body.hand(side, step.t(0.33), step.t(0.6), np.array([1.9, 0.35, 0.9]))
        body.hand(side, step.t(0.62), step.t(1.0), REST)


@primitive(1.9, "travel", "steps")
def steps(step: Step) -> None:
    """The person takes steps forwards."""
    body = step.body
    forward, _ = body.axes()
    distance = 1.7 * body.amplitude
    if step.prop:
        distance = 0.55
    elif len(step.stage.bodies) > 1:
        distance = (step.stage.apart - EMBRACE) / 2
    body.steps(step.start, step.end, distance * forward)


@primitive(1.9, "travel", "steps")
def steps_back(step: Step) -> None:
    """The person takes steps backwards."""
    forward, _ = step.body.axes()
    step.body.steps(step.start, step.end, -1.4 * step.body.amplitude * forward)


@primitive(1.2, "turn")
def turn(step: Step) -> None:
    """The person turns around."""
    step.body.steps(step.start, step.end, np.zeros(3), np.pi * SIDES[step.body.side])


@primitive(1.1, "wave")
def wave(step: Step) -> None:
    """A raised hand moves from side to side."""
    cycles = np.round(2.6 * step.body.amplitude * (step.end - step.start) / 1.1)
    step.body.tracks[f"{step.body.side}_arm"].swing(step.start, step.end, [0, 0.42, 0], max(2, cycles))


@primitive(1.5, "hands_together", "arm_repeat")
def clap(step: Step) -> None:
    """The hands clap several times."""
    body = step.body
    cycles = max(3, np.round(3.5 * (step.end - step.start) / 1.5))
    inwards = -body.shape.shoulders / sum(body.shape.arm)
    for side in BOTH:
        body.hand(side, step.start, step.t(0.2), aim(0.5, -0.12, inwards + 0.2))
        body.tracks[f"{side}_arm"].swing(step.t(0.12), step.t(0.85), [0, 0.3, 0], cycles)
        body.hand(side, step.t(0.8), step.end, REST)


@primitive(1.3, "head_motion")
def nod(step: Step) -> None:
    """The head nods."""
    step.body.tracks["look"].swing(step.start, step.end, [0.5 * step.body.amplitude, 0], 3)


@primitive(1.4, "head_motion")
def shake_head(step: Step) -> None:
    """The head turns from side to side."""
    step.body.tracks["look"].swing(step.start, step.end, [0, 0.75 * step.body.amplitude], 3)


@primitive(0.7, "hand_to_face")
def hand_to_face(step: Step) -> None:
    """A hand is brought to the mouth."""
    body = step.body
    body.move("lean", step.start, step.end, 0, 0, 0)
    inwards = -0.75 * body.shape.shoulders / sum(body.shape.arm)
    body.hand(body.side, step.start, step.end, aim(0.30, 0.17, inwards))
    body.move("look", step.t(0.5), step.t(1.1), -0.3, 0)


@primitive(1.6, "hand_to_head", "arm_repeat")
def hand_to_head(step: Step) -> None:
    """A hand rubs the top of the head."""
    body, arm = step.body, f"{step.body.side}_arm"
    inwards = -0.6 * body.shape.shoulders / sum(body.shape.arm)
    body.hand(body.side, step.start, step.t(0.3), aim(0.08, 0.5, inwards))
    body.tracks[arm].swing(step.t(0.28), step.t(0.85), [0.16, 0.1, 0], 4)
    body.move("look", step.start, step.t(0.4), 0.2, 0)


@primitive(2.0, "steps", "stay_in_place")
def knee_raise(step: Step) -> None:
    """The knees are raised alternately without moving forward."""
    body = step.body
    for k in range(4):
        side = body.side if k % 2 == 0 else body.other
        t0, t1 = step.t(k / 4), step.t((k + 1.15) / 4)
        if k < 2:
            body.move(f"{side}_leg", t0 - 0.02, t0, 1.45 * min(body.amplitude, 1.1), 0.05, 0.74)
        body.tracks[f"{side}_free"].bump(t0, t1, [1.0])
        opposite = body.other if k % 2 == 0 else body.side
        body.tracks[f"{opposite}_arm"].bump(t0, t1, [0.8, 0, -0.2])
