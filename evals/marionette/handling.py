"""Primitives that involve an object or another person."""

from __future__ import annotations

import numpy as np

from .body import CARRY, REST, Body
from .primitive_base import BOTH, Step, primitive, rise
from .skeleton import SIDES, aim


@primitive(0.55, "arm_swing")
def throw(step: Step) -> None:
    """A raised hand swings forward and releases the object."""
    body, sign = step.body, SIDES[step.body.side]
    body.hand(body.side, step.start, step.t(0.6), aim(0.85, 0.2, 0.05))
    body.hand(body.side, step.t(0.45), step.end, aim(0.5, -0.7, -0.15))
    body.hand(body.other, step.start, step.t(0.7), REST)
    body.move("lean", step.start, step.t(0.6), 0.3 * body.amplitude, 0, 0.35 * sign)
    prop = step.prop
    assert prop
    if len(step.stage.bodies) > 1:
        prop.released = step.t(0.45)
    else:
        end = body.point(4.0, 0.9)
        prop.fly(step.t(0.45), step.t(0.45) + 0.7, lambda _: end, 0.35)


def _between_palms(body: Body, times: np.ndarray) -> np.ndarray:
    joints = body.joints(times)
    return np.asarray((joints["left_palm"] + joints["right_palm"]) / 2)


@primitive(0.6, "hands_together")
def catch(step: Step) -> None:
    """Both hands catch a flying object and pull it in."""
    body, prop = step.body, step.prop
    assert prop
    if len(step.stage.bodies) == 1:
        prop.released = prop.appears = step.t(0.35) - 0.55
        prop.rest(0.0, body.point(2.6, 1.5), 1e-3)
    prop.fly(prop.released, step.t(0.35), lambda times: _between_palms(body, times), 0.2)
    prop.attach(step.t(0.35), body, BOTH, 0.05)
    for side in BOTH:
        body.hand(side, step.t(0.3), step.end, aim(0.45, -0.3, -0.12))


@primitive(0.45, "reach")
def reach(step: Step) -> None:
    """An arm stretches out from the body."""
    body, prop = step.body, step.prop
    if prop and prop.kind == "crate":
        body.move("lean", step.start, step.end, 0.32, 0, 0)
        for side in BOTH:
            body.hand_at(side, step.start, step.end, body.point(0.54, 0.88, 0.19 * SIDES[side]))
    elif prop and prop.kind == "ball":
        for side in BOTH:
            body.hand(side, step.start, step.end, aim(0.72, 0.08, -0.16))
    elif prop and prop.kind == "cup" and prop.holder is None:
        body.move("lean", step.start, step.end, 0.2, 0, 0)
        body.hand(body.side, step.start, step.end, aim(0.7, -0.5, -0.05))
    else:
        body.hand(body.side, step.start, step.end, aim(0.72, -0.3, -0.28))


@primitive(0.4, "reach")
def grasp(step: Step) -> None:
    """The hands grasp an object."""
    body, prop = step.body, step.prop
    assert prop
    if prop.kind == "crate":
        for side in BOTH:
            body.hand_at(side, step.start, step.end, body.point(0.56, 0.93, 0.24 * SIDES[side]))
        return
    centre = prop.at(np.array([step.end]))[0]
    _, left = body.axes()
    for side in step.hands:
        gap = prop.size[0] * SIDES[side] * left if len(step.hands) > 1 else 0
        body.hand_at(side, step.start, step.end, centre + gap)
    prop.attach(step.end, body, step.hands, 0.08)


@primitive(0.75, "hands_rise")
def lift(step: Step) -> None:
    """The held object is lifted in front of the body."""
    rise(step, step.start, step.end)
    for side in step.hands:
        step.body.hand(side, step.start, step.end, CARRY + (0, -0.05, 0))


@primitive(0.5, "hands_lower")
def put_down(step: Step) -> None:
    """The held object is put down on the ground."""
    body, prop = step.body, step.prop
    assert prop
    spot = body.point(0.42, float(prop.size[1]))
    _, left = body.axes()
    for side in step.hands:
        gap = prop.size[0] * SIDES[side] * left if len(step.hands) > 1 else 0
        body.hand_at(side, step.start, step.t(0.85), spot + gap)
    prop.rest(step.t(0.85), spot, 0.1)


@primitive(1.2, "travel", "steps")
def push(step: Step) -> None:
    """An object in front of the person is pushed away."""
    _move_object(step, 0.75, 0.45)


@primitive(1.2, "travel", "steps")
def pull(step: Step) -> None:
    """An object in front of the person is pulled along."""
    _move_object(step, -0.75, -0.12)


def _move_object(step: Step, distance: float, lean: float) -> None:
    body, prop = step.body, step.prop
    assert prop
    forward, _ = body.axes()
    prop.follow(step.start, body)
    body.move("lean", step.start, step.t(0.4), lean, 0, 0)
    body.move("drop", step.start, step.t(0.4), 0.1)
    body.steps(step.start, step.end, distance * body.amplitude * forward)


@primitive(2.4, "climb")
def climb(step: Step) -> None:
    """The person climbs, hands and feet moving from rung to rung."""
    body, prop = step.body, step.prop
    assert prop
    rung, ahead = 0.28, 0.36
    for side in BOTH:
        body.hand_at(side, step.start, step.t(0.18), body.point(ahead, 1.4, 0.2 * SIDES[side]))
    for k in range(4):
        side = body.side if k % 2 == 0 else body.other
        t0, t1 = step.t(0.1 + 0.2 * k), step.t(0.36 + 0.2 * k)
        foot = body.point(ahead - 0.1, rung * (k + 1), 0.1 * SIDES[side])
        body.tracks[f"{side}_foot"].move(t0, t1, foot)
        body.tracks[f"{side}_foot"].bump(t0, t1, -0.12 * body.axes()[0])
        body.move("base", t0 + 0.1, t1 + 0.15, rung * (k + 0.6))
        body.move("shift", t0, t1, 0.02)
        other = body.other if k % 2 == 0 else body.side
        body.hand_at(other, t0, t1, body.point(ahead, 1.4 + rung * (k + 1), 0.2 * SIDES[other]))


@primitive(1.1, "hands_meet")
def hands_meet(step: Step) -> None:
    """The hands of two people meet."""
    body, partner = step.body, step.partner
    raised = body.tracks[f"{body.side}_arm"].goal[0] > 1.5
    level = 0.95 if raised else 0.60
    middle = (body.position + partner.position) / 2
    middle[1] = level * (body.shape.height + partner.shape.height) / 2
    for one in (body, partner):
        forward, _ = one.axes()
        if raised:
            one.hand_at(one.side, step.start, step.t(0.4), middle - 0.02 * forward)
            one.hand(one.side, step.t(0.5), step.end, aim(0.3, 0.35, 0.3))
        else:
            one.hand_at(one.side, step.start, step.t(0.25), middle - 0.015 * forward)
            one.tracks[f"{one.side}_grip"].swing(step.t(0.2), step.end, [0, 0.06, 0], 3)
    step.stage.performed.append((step.stage.bodies.index(partner), "hands_meet", step.start, step.end))


@primitive(1.2, "arms_around")
def arms_around(step: Step) -> None:
    """The arms are put around another person."""
    body, partner = step.body, step.partner
    _, left = body.axes()
    forward, _ = partner.axes()
    first = body is step.stage.bodies[0]
    for side in BOTH:
        low = first == (side == "left")
        height = (0.62 if low else 0.74) * partner.shape.height
        behind = partner.position - 0.1 * forward + 0.09 * SIDES[side] * left
        body.hand_at(side, step.start, step.t(0.6), behind + np.array([0, height, 0]))
    body.move("lean", step.start, step.t(0.6), 0.12, 0, 0)
    body.move("look", step.start, step.t(0.6), 0.1, 0.5 if first else 0.5)
