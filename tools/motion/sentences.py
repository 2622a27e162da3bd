"""Sentences about measured motion: each names its actor, is well supported, and contradicts no other.

The measurements keep what is less certain; a sentence is read as true, so it has to be.
"""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import TYPE_CHECKING, Final

from ..motion_primitives import OBSERVED, PRIMITIVES

if TYPE_CHECKING:
    from .motion_result import MeasuredPrimitive, Motion

SURE: Final = 0.6
"""Support, 0 to 1, from which a primitive is told in a sentence."""
MAIN: Final = 0.5
"""Prominence, relative to the most prominent person, from which somebody is a main actor."""
AT_REST: Final = frozenset({"seated", "face_motion", "head_motion", "stay_in_place"})
"""Told only of somebody who does nothing of `MOVING` at that time: motion blur and bent knees look alike."""
MOVING: Final = frozenset(
    {"travel", "travel_fast", "climb", "steps", "jump", "turn", "invert", "fall", "body_repeat", "sit_down", "stand_up"}
)
CONTRADICTORY: Final = frozenset(
    frozenset(pair)
    for pair in (
        ("upright", "seated"), ("upright", "lie"), ("upright", "invert"), ("upright", "torso_bend"), ("seated", "lie"),
        ("seated", "invert"), ("sit_down", "stand_up"), ("hands_rise", "hands_lower"), ("arms_overhead", "reach"),
        ("approach", "separate"), ("close_together", "separate"), ("things_approach", "things_separate"),
        ("thing_moves_right", "thing_moves_left"), ("thing_moves_up", "thing_moves_down"),
        ("thing_moves_up", "thing_falls"), ("thing_nears", "thing_recedes"), ("thing_lifted", "thing_put_down"),
        ("thing_lifted", "thing_falls"), ("thing_opens", "thing_closes"),
    )
)  # fmt: skip
"""Primitives of which only the better supported one is told where both are measured of one actor at one time."""
_CAMERA: Final = {
    "camera_turns_left": "turns left",
    "camera_turns_right": "turns right",
    "camera_turns_up": "turns up",
    "camera_turns_down": "turns down",
    "camera_nears": "moves closer or zooms in",
    "camera_recedes": "moves away or zooms out",
}
_PART: Final = re.compile(
    r"^(a bent arm|a raised hand|a hand|both hands|an arm|one foot|"
    r"the (?:whole body|knees|trunk|body|hands|head|face))\b"
)


def camera_sentence(motion: Motion) -> str:
    """How the camera moves, from everything measured of it."""
    observed = {p.name for p in motion.primitives if p.observed}
    words = [word for name, word in _CAMERA.items() if name in observed]
    words += ["shakes"] * (motion.camera_shake >= OBSERVED)
    if words:
        return f"The camera {' and '.join(words)}."
    drift = math.hypot(*motion.camera_drift)
    if drift:
        return f"The camera moves; the scene drifts at {drift:.0f} pixels/s."
    if not any(p.name in _CAMERA for p in motion.primitives):
        return "Whether the camera moves was not measured."
    return "The camera is still between the cuts." if motion.cuts else "The camera is still."


def action_clauses(motion: Motion) -> list[str]:
    """What main actors and objects do, in order of time, such as `from 0.4 s person 1 takes steps`."""
    told = sorted(_sure(motion), key=lambda p: (p.start, -p.support))
    return [f"from {p.start:.1f} s {clause(p)}" for p in told]


def clause(primitive: MeasuredPrimitive) -> str:
    """The meaning of a primitive with the actor named."""
    text, one, other = PRIMITIVES[primitive.name], primitive.actor, primitive.partner
    if not one:
        return text
    if primitive.of_object:
        if other:
            text = text.replace("two objects", f"objects {one} and {other}").replace("another", f"object {other}")
        return re.sub(r"^an object\b", f"object {one}", text)
    if other:
        text = text.replace("two people", f"persons {one} and {other}").replace("another", f"person {other}")
    named = text.replace("one person", f"person {one}")
    if other or named != text:
        return named
    return _PART.sub(rf"\1 of person {one}", re.sub(r"^the person\b", f"person {one}", text))


def _sure(motion: Motion) -> list[MeasuredPrimitive]:
    main = _main_actors(motion)
    observed = [p for p in motion.primitives if p.observed and not p.name.startswith("camera_")]
    sure = [p for p in observed if p.support >= SURE and (p.of_object or {p.actor, p.partner} - {0} <= main)]
    moving = [p for p in observed if p.name in MOVING]
    at_rest = [p for p in sure if p.name not in AT_REST or not any(_together(p, other) for other in moving)]
    denied = {
        min(pair, key=lambda p: p.support).name
        for pair in combinations(at_rest, 2)
        if frozenset(p.name for p in pair) in CONTRADICTORY and _together(*pair)
    }
    return [p for p in at_rest if p.name not in denied]


def _main_actors(motion: Motion) -> set[int]:
    most = max((person.prominence for person in motion.people), default=0.0)
    return {person.track for person in motion.people if person.prominence >= MAIN * most}


def _together(one: MeasuredPrimitive, other: MeasuredPrimitive) -> bool:
    """Whether both are measured of a common actor, and overlap in more than half of the shorter time span."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    shorter = min(one.end - one.start, other.end - other.start)
    return one is not other and bool(_actors(one) & _actors(other)) and shared >= 0.5 * shorter


def _actors(primitive: MeasuredPrimitive) -> set[tuple[bool, int]]:
    """People and objects are numbered separately."""
    return {(primitive.of_object, number) for number in (primitive.actor, primitive.partner) if number}
