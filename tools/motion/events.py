"""What objects do, with times and support: move, approach the camera, get lifted and put down, meet, part.

Lengths are in long sides of the image. A hand is an object too, except that its arm extends beyond the image border;
what it does counts less than what it moves.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final

import numpy as np

from ..execution.cancellation import check_cancelled
from .object_pairs import measure_objects_pair, relative_size
from .objects import MovingObject
from .segments import STEP, Segment, goes_along, over, scaled, segments_of
from .time_series import Measure, Rhythm, ramp, rhythm

SWING: Final = 0.015
"""Half of the smallest amplitude, peak to peak, that counts as repetition."""

RIM: Final = 0.07
"""An object this close to the image border for most of the time extends beyond it."""

EDGE: Final = 0.045
"""An object this close to the image border is crossing it: within 0.02 of the border no point is tracked."""

PASSING: Final = 0.4
"""Factor on the support of a movement that only enters or leaves the image."""

LEFT: Final = 0.4
"""Largest proportion of its points still tracked after an object has left the image."""

LATE: Final = 2
"""Frames after which an object that is new has entered the scene."""

REST: Final = 0.2
"""Seconds for which an object must be still to count as at rest."""

FURTHER: Final = 1.1
"""Smallest ratio of a hand's path length to that of the object it carries."""

STAYS: Final = 0.7
"""Smallest ratio of net displacement to path length of an object that a hand has carried."""

GROWN: Final = 0.25
"""Logarithm of growth from which the parts of an object move in visibly different directions."""


@dataclass(frozen=True)
class Event:
    """Something that an object did, alone or with another one."""

    name: str
    """A primitive of `tools.motion_primitives`."""
    measure: Measure
    number: int
    """Number of the object, from 1."""
    other: int = 0
    """Number of the other object; 0 if there is none."""


def events_of(objects: list[MovingObject], trust: float = 1.0) -> tuple[list[Event], list[Rhythm | None]]:
    """All events in order of start, and the repetition of each object; every support is multiplied by `trust`."""
    rhythms = [repetition(obj) for obj in objects]
    weights = [trust * _weight(obj, objects) for obj in objects]
    events: list[Event] = []
    for k, (obj, beat, weight) in enumerate(zip(objects, rhythms, weights, strict=True)):
        measures = _alone(obj, beat, [other for other in objects if other is not obj])
        events += [Event(name, scaled(m, weight), k + 1) for name, m in measures]
    for i, j in combinations(range(len(objects)), 2):
        check_cancelled()
        weight = min(weights[i], weights[j]) * float(ramp(relative_size(objects[i], objects[j]), 0.1, 0.3))
        events += [
            Event(name, scaled(m, weight), i + 1, j + 1) for name, m in measure_objects_pair(objects[i], objects[j])
        ]
    return sorted(events, key=lambda event: event.measure.start), rhythms


def repetition(obj: MovingObject) -> Rhythm | None:
    """How often the object moves or rotates back and forth; None if it does not."""
    centred = obj.path - obj.path.mean()
    along = np.exp(-0.5j * np.angle((centred**2).sum()))
    found = [
        rhythm((centred * along).real, obj.times, 2 * SWING),
        rhythm(obj.angle, obj.times, 0.2),
    ]
    return max((replace(r, count=round(r.count)) for r in found if r), key=lambda r: r.count, default=None)


def reaches_out(obj: MovingObject) -> bool:
    """Whether it extends beyond the image border for most of the time, as an arm does."""
    return bool((obj.rim < RIM).mean() > 0.6)


def _handles(obj: MovingObject) -> bool:
    """Whether it is probably a hand rather than what a hand moves.

    It extends beyond the image border, or it entered later, close to the border and moving.
    """
    if reaches_out(obj):
        return True
    soon = min(4, len(obj.path) - 1)
    moves = abs(obj.path[soon] - obj.path[0]) > STEP / 2
    return bool(obj.index[0] > LATE and obj.rim[0] < 3 * RIM and moves)


def _outdoes(obj: MovingObject, others: list[MovingObject]) -> bool:
    """Whether it carries another object that stays where it was put, and moves much further itself, as a hand does."""
    if obj.rim.min() > RIM:
        return False
    for other in others:
        if (
            obj.went < FURTHER * other.went
            or other.went < 2 * STEP
            or len(other.points) < max(4, 0.25 * len(obj.points))
        ):
            continue
        if abs(other.path[-1] - other.path[0]) < STAYS * other.went:
            continue
        if _takes_along(obj, other):
            return True
    return False


def _takes_along(obj: MovingObject, other: MovingObject) -> bool:
    """Whether the longest movement of the other object, or its growth, goes along with this one."""
    segments = [segment for axis in (other.path.real, other.path.imag) for segment in segments_of(axis, STEP)]
    longest = max(segments, key=lambda segment: abs(segment.change), default=None)
    return longest is None or np.ptp(other.growth) > 0.3 or goes_along(other, longest, obj) > 0


def _weight(obj: MovingObject, objects: list[MovingObject]) -> float:
    """0..1: objects of few points count less, and a hand counts less than what it moves."""
    most = max(len(other.points) for other in objects)
    sure = float(ramp(len(obj.points), 1, 5) * ramp(len(obj.points) / most, 0.05, 0.25))
    others = [other for other in objects if other is not obj]
    if _outdoes(obj, others):
        return sure * 0.3
    if not _handles(obj):
        return sure
    enough = max(4, 0.25 * len(obj.points))
    moved = any(
        not _handles(o) and o.went > 2 * STEP and len(o.points) >= enough and _takes_along(obj, o) for o in others
    )
    return sure * (0.4 if moved else 0.85)


def _alone(obj: MovingObject, beat: Rhythm | None, others: list[MovingObject]) -> list[tuple[str, Measure]]:
    found: list[tuple[str, Measure]] = []
    if beat and beat.count >= 2:
        found.append(("thing_repeats", Measure(float(ramp(beat.count, 1.5, 3)), beat.start, beat.end)))
    for axis, names in (((obj.path.real), ("right", "left")), ((obj.path.imag), ("down", "up"))):
        for segment in segments_of(axis, STEP):
            if beat and beat.count >= 2 and _inside(segment, obj, beat):
                continue
            way = names[0] if segment.change > 0 else names[1]
            moves = scaled(_moves(obj, segment), PASSING if _comes_or_goes(obj, segment) else 1.0)
            moves = scaled(moves, PASSING if any(_foretells(other, obj, segment) for other in others) else 1.0)
            found.append((f"thing_moves_{way}", moves))
            if names[0] == "down":
                found += _up_or_down(obj, segment, moves, others)
    for segment in segments_of(obj.growth, 0.12):
        moved = abs(obj.path[segment.last] - obj.path[segment.first])
        support = float(ramp(abs(segment.change), 0.1, 0.3) * ramp(abs(segment.change) / max(moved, 1e-3), 0.7, 1.6))
        found.append(("thing_nears" if segment.change > 0 else "thing_recedes", over(obj, segment, support)))
    for segment in segments_of(obj.angle, 0.2):
        found.append(("thing_turns", over(obj, segment, float(ramp(abs(segment.change), 0.3, 0.9)))))
    return found


def _inside(segment: Segment, obj: MovingObject, beat: Rhythm) -> bool:
    start, end = obj.times[segment.first], obj.times[segment.last]
    return bool(min(end, beat.end) - max(start, beat.start) > 0.5 * (end - start))


def _moves(obj: MovingObject, segment: Segment) -> Measure:
    """Support of a movement along one axis: long, mostly along that axis, and not caused by growth."""
    whole = abs(obj.path[segment.last] - obj.path[segment.first])
    grown = abs(obj.growth[segment.last] - obj.growth[segment.first])
    straight = abs(segment.change) / max(whole, abs(segment.change))
    support = (
        ramp(abs(segment.change), 0.03, 0.12) * ramp(straight, 0.4, 0.75) * ramp(grown / abs(segment.change), 5, 2)
    )
    return over(obj, segment, float(support))


def _comes_or_goes(obj: MovingObject, segment: Segment) -> bool:
    """Whether it enters or leaves the image in this segment, as a hand does before and after its work."""
    if reaches_out(obj):
        return False
    comes = obj.times[segment.first] - obj.times[0] < REST and obj.index[0] > 0
    seen = np.isfinite(obj.points.real).sum(axis=0)
    goes = seen[segment.last :].mean() < LEFT * seen[segment.first : segment.last + 1].max()
    goes &= obj.rim[segment.last] < EDGE <= obj.rim[segment.first]
    return bool((comes and obj.rim[segment.first] < EDGE) or goes)


def _foretells(other: MovingObject, obj: MovingObject, segment: Segment) -> bool:
    """Whether the movement follows from the growth of a larger object of which this one is a part."""
    first, last = (
        int(np.clip(obj.index[k] - other.index[0], 0, len(other.index) - 1)) for k in (segment.first, segment.last)
    )
    grown = other.growth[last] - other.growth[first]
    if abs(grown) < GROWN or len(other.points) < len(obj.points):
        return False
    factor = np.exp(grown + 1j * (other.angle[last] - other.angle[first]))
    due = factor * (obj.path[segment.first] - other.path[first]) + other.path[last]
    went = abs(obj.path[segment.last] - obj.path[segment.first])
    return bool(abs(obj.path[segment.last] - due) < 0.4 * went)


def _up_or_down(
    obj: MovingObject, segment: Segment, moves: Measure, others: list[MovingObject]
) -> list[tuple[str, Measure]]:
    """Lifting, putting down or falling of an object that does not itself extend beyond the image border."""
    if reaches_out(obj):
        return []
    speed = np.abs(np.gradient(obj.path, obj.times)) if len(obj.times) > 1 else np.zeros(1)
    rests_before = obj.times[segment.first] - obj.times[0] >= REST
    rests_after = obj.times[-1] - obj.times[segment.last] >= REST
    arms = [other for other in others if reaches_out(other) and len(other.points) >= 4]
    led = max((goes_along(obj, segment, arm) for arm in arms), default=0.0)
    if segment.change < 0:
        return [("thing_lifted", scaled(moves, (0.6 + 0.4 * led) * rests_before))]
    half = obj.times[segment.first] + 0.5 * (obj.times[segment.last] - obj.times[segment.first])
    middle = np.interp(half, obj.times, obj.path.imag)
    late = (obj.path.imag[segment.last] - middle) / max(abs(segment.change), 1e-6)
    peak = speed[segment.first : segment.last + 1].max()
    falls = float(max(ramp(peak, 0.6, 1.1) * ramp(late, 0.45, 0.55), ramp(peak, 1.1, 1.6)) * (1 - 0.7 * led))
    return [
        ("thing_falls", scaled(moves, falls)),
        ("thing_put_down", scaled(moves, (0.5 + 0.5 * led) * rests_after * (1 - falls))),
    ]
