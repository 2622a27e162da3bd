"""What things do: moving one way, coming nearer, being lifted and put down, meeting, parting. With times and support.

Lengths are in long sides of the picture. A hand is a thing like any other, but for its arm, which reaches out of the
picture: what such a thing does counts less than what it moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from .object_pairs import measure_objects_pair, relative_size
from .objects import MovingObject
from .segments import STEP, Segment, goes_along, over, scaled, segments_of
from .signal import Measure, Rhythm, ramp, rhythm

SWING: Final = 0.015
"""Half of the least way to and fro that counts as repetition."""

RIM: Final = 0.07
"""What comes as near to the rim of the picture for most of the time reaches out of it."""

EDGE: Final = 0.045
"""What comes as near to the rim is passing over it: nearer than 0.02 no point is followed."""

PASSING: Final = 0.4
"""Support of a way that only leads into the picture or out of it."""

LEFT: Final = 0.4
"""Part of its points that what has gone over the rim still shows, at most."""

LATE: Final = 2
"""Frames after which what is first seen has come in."""

REST: Final = 0.2
"""Seconds for which a thing must be seen still to have lain there."""

FURTHER: Final = 1.1
"""How many times further than what it takes along a hand goes, at least."""

STAYS: Final = 0.7
"""Part of its way by which what a hand took along is away from where it was."""

GROWN: Final = 0.25
"""Growth from which the parts of a thing go ways of their own."""


@dataclass(frozen=True)
class Event:
    """Something that a thing did, alone or with another."""

    name: str
    """A primitive of `tools.primitives`."""
    measure: Measure
    thing: int
    """Which thing, counted from 1."""
    other: int = 0
    """The other thing; 0 where there is none."""


def events_of(things: list[MovingObject], trust: float = 1.0) -> tuple[list[Event], list[Rhythm | None]]:
    """All events, in order of their start, and each thing's repetition; every support is multiplied by `trust`."""
    rhythms = [repetition(thing) for thing in things]
    weights = [trust * _weight(thing, things) for thing in things]
    events: list[Event] = []
    for k, (thing, beat, weight) in enumerate(zip(things, rhythms, weights, strict=True)):
        measures = _alone(thing, beat, [other for other in things if other is not thing])
        events += [Event(name, scaled(m, weight), k + 1) for name, m in measures]
    for i, j in combinations(range(len(things)), 2):
        weight = min(weights[i], weights[j]) * float(ramp(relative_size(things[i], things[j]), 0.1, 0.3))
        events += [
            Event(name, scaled(m, weight), i + 1, j + 1) for name, m in measure_objects_pair(things[i], things[j])
        ]
    return sorted(events, key=lambda event: event.measure.start), rhythms


def repetition(thing: MovingObject) -> Rhythm | None:
    """How often the thing goes to and fro, or turns or grows so; None where it does not."""
    centred = thing.path - thing.path.mean()
    along = np.exp(-0.5j * np.angle((centred**2).sum()))
    found = [
        rhythm((centred * along).real, thing.times, 2 * SWING),
        rhythm(thing.angle, thing.times, 0.2),
    ]
    return max((r for r in found if r), key=lambda r: r.count, default=None)


def reaches_out(thing: MovingObject) -> bool:
    """Whether it reaches out of the picture for most of the time, as an arm does."""
    return bool((thing.rim < RIM).mean() > 0.6)


def _handles(thing: MovingObject) -> bool:
    """Whether it is likely a hand rather than what a hand moves.

    It reaches out of the picture, or came in later: first seen near the rim, and moving.
    """
    if reaches_out(thing):
        return True
    soon = min(4, len(thing.path) - 1)
    moves = abs(thing.path[soon] - thing.path[0]) > STEP / 2
    return bool(thing.index[0] > LATE and thing.rim[0] < 3 * RIM and moves)


def _outdoes(thing: MovingObject, others: list[MovingObject]) -> bool:
    """Whether it takes another along, which stays where it was taken, and itself goes much further, to or from the rim.

    So does a hand.
    """
    if thing.rim.min() > RIM:
        return False
    for other in others:
        if (
            thing.went < FURTHER * other.went
            or other.went < 2 * STEP
            or len(other.points) < max(4, 0.25 * len(thing.points))
        ):
            continue
        if abs(other.path[-1] - other.path[0]) < STAYS * other.went:
            continue
        if _takes_along(thing, other):
            return True
    return False


def _takes_along(thing: MovingObject, other: MovingObject) -> bool:
    """Whether the other goes its longest way, or grows, along with the thing."""
    segments = [segment for axis in (other.path.real, other.path.imag) for segment in segments_of(axis, STEP)]
    longest = max(segments, key=lambda segment: abs(segment.change), default=None)
    return longest is None or np.ptp(other.growth) > 0.3 or goes_along(other, longest, thing) > 0


def _weight(thing: MovingObject, things: list[MovingObject]) -> float:
    """0..1: few points say little, and a hand less than what it moves."""
    most = max(len(other.points) for other in things)
    sure = float(ramp(len(thing.points), 1, 5) * ramp(len(thing.points) / most, 0.05, 0.25))
    others = [other for other in things if other is not thing]
    if _outdoes(thing, others):
        return sure * 0.3
    if not _handles(thing):
        return sure
    enough = max(4, 0.25 * len(thing.points))
    moved = any(
        not _handles(o) and o.went > 2 * STEP and len(o.points) >= enough and _takes_along(thing, o) for o in others
    )
    return sure * (0.4 if moved else 0.85)


def _alone(thing: MovingObject, beat: Rhythm | None, others: list[MovingObject]) -> list[tuple[str, Measure]]:
    found: list[tuple[str, Measure]] = []
    if beat and beat.count >= 2:
        found.append(("thing_repeats", Measure(float(ramp(beat.count, 1.5, 3)), beat.start, beat.end)))
    for axis, names in (((thing.path.real), ("right", "left")), ((thing.path.imag), ("down", "up"))):
        for segment in segments_of(axis, STEP):
            if beat and beat.count >= 2 and _inside(segment, thing, beat):
                continue
            way = names[0] if segment.change > 0 else names[1]
            moves = scaled(_moves(thing, segment), PASSING if _comes_or_goes(thing, segment) else 1.0)
            moves = scaled(moves, PASSING if any(_foretells(other, thing, segment) for other in others) else 1.0)
            found.append((f"thing_moves_{way}", moves))
            if names[0] == "down":
                found += _up_or_down(thing, segment, moves, others)
    for segment in segments_of(thing.growth, 0.12):
        moved = abs(thing.path[segment.last] - thing.path[segment.first])
        support = float(ramp(abs(segment.change), 0.1, 0.3) * ramp(abs(segment.change) / max(moved, 1e-3), 0.7, 1.6))
        found.append(("thing_nears" if segment.change > 0 else "thing_recedes", over(thing, segment, support)))
    for segment in segments_of(thing.angle, 0.2):
        found.append(("thing_turns", over(thing, segment, float(ramp(abs(segment.change), 0.3, 0.9)))))
    return found


def _inside(segment: Segment, thing: MovingObject, beat: Rhythm) -> bool:
    start, end = thing.times[segment.first], thing.times[segment.last]
    return bool(min(end, beat.end) - max(start, beat.start) > 0.5 * (end - start))


def _moves(thing: MovingObject, segment: Segment) -> Measure:
    """Support of a movement along one axis: long, mostly along it, and not by growing."""
    whole = abs(thing.path[segment.last] - thing.path[segment.first])
    grown = abs(thing.growth[segment.last] - thing.growth[segment.first])
    straight = abs(segment.change) / max(whole, abs(segment.change))
    support = (
        ramp(abs(segment.change), 0.03, 0.12) * ramp(straight, 0.4, 0.75) * ramp(grown / abs(segment.change), 5, 2)
    )
    return over(thing, segment, float(support))


def _comes_or_goes(thing: MovingObject, segment: Segment) -> bool:
    """Whether it comes into the picture in this segment, or leaves it, as a hand does before and after what it does."""
    if reaches_out(thing):
        return False
    comes = thing.times[segment.first] - thing.times[0] < REST and thing.index[0] > 0
    seen = np.isfinite(thing.points.real).sum(axis=0)
    goes = seen[segment.last :].mean() < LEFT * seen[segment.first : segment.last + 1].max()
    goes &= thing.rim[segment.last] < EDGE <= thing.rim[segment.first]
    return bool((comes and thing.rim[segment.first] < EDGE) or goes)


def _foretells(other: MovingObject, thing: MovingObject, segment: Segment) -> bool:
    """Whether the thing only goes where the growth of another, of which it is a part, takes it."""
    first, last = (
        int(np.clip(thing.index[k] - other.index[0], 0, len(other.index) - 1)) for k in (segment.first, segment.last)
    )
    grown = other.growth[last] - other.growth[first]
    if abs(grown) < GROWN or len(other.points) < len(thing.points):
        return False
    factor = np.exp(grown + 1j * (other.angle[last] - other.angle[first]))
    due = factor * (thing.path[segment.first] - other.path[first]) + other.path[last]
    went = abs(thing.path[segment.last] - thing.path[segment.first])
    return bool(abs(thing.path[segment.last] - due) < 0.4 * went)


def _up_or_down(
    thing: MovingObject, segment: Segment, moves: Measure, others: list[MovingObject]
) -> list[tuple[str, Measure]]:
    """Lifted, put down or falling, of a thing that does not itself reach out of the picture."""
    if reaches_out(thing):
        return []
    speed = np.abs(np.gradient(thing.path, thing.times)) if len(thing.times) > 1 else np.zeros(1)
    rests_before = thing.times[segment.first] - thing.times[0] >= REST
    rests_after = thing.times[-1] - thing.times[segment.last] >= REST
    arms = [other for other in others if reaches_out(other) and len(other.points) >= 4]
    led = max((goes_along(thing, segment, arm) for arm in arms), default=0.0)
    if segment.change < 0:
        return [("thing_lifted", scaled(moves, (0.6 + 0.4 * led) * rests_before))]
    half = thing.times[segment.first] + 0.5 * (thing.times[segment.last] - thing.times[segment.first])
    middle = np.interp(half, thing.times, thing.path.imag)
    late = (thing.path.imag[segment.last] - middle) / max(abs(segment.change), 1e-6)
    peak = speed[segment.first : segment.last + 1].max()
    falls = float(max(ramp(peak, 0.6, 1.1) * ramp(late, 0.45, 0.55), ramp(peak, 1.1, 1.6)) * (1 - 0.7 * led))
    return [
        ("thing_falls", scaled(moves, falls)),
        ("thing_put_down", scaled(moves, (0.5 + 0.5 * led) * rests_after * (1 - falls))),
    ]
