"""What things do: moving one way, coming nearer, being lifted and put down, meeting, parting. With times and support.

Lengths are in long sides of the picture. A hand is a thing like any other, but for its arm, which reaches out of the
picture: what such a thing does counts less than what it moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from .objects import MovingObject
from .signal import Measure, Rhythm, ramp, rhythm, turning_points

STEP: Final = 0.04
"""A way shorter than this is no movement of its own."""
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
TOUCH: Final = 0.075
"""Nearest points of two things this far apart may touch: points are followed 0.05 apart."""


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


@dataclass(frozen=True)
class Spell:
    """A part of a path in which one quantity goes one way."""

    first: int
    last: int
    change: float


def events_of(things: list[MovingObject], trust: float = 1.0) -> tuple[list[Event], list[Rhythm | None]]:
    """All events, in order of their start, and each thing's repetition; every support is multiplied by `trust`."""
    rhythms = [repetition(thing) for thing in things]
    weights = [trust * _weight(thing, things) for thing in things]
    events: list[Event] = []
    for k, (thing, beat, weight) in enumerate(zip(things, rhythms, weights, strict=True)):
        measures = _alone(thing, beat, [other for other in things if other is not thing])
        events += [Event(name, _scaled(m, weight), k + 1) for name, m in measures]
    for i, j in combinations(range(len(things)), 2):
        weight = min(weights[i], weights[j]) * float(ramp(_evenness(things[i], things[j]), 0.1, 0.3))
        events += [Event(name, _scaled(m, weight), i + 1, j + 1) for name, m in _between(things[i], things[j])]
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
    spells = [spell for axis in (other.path.real, other.path.imag) for spell in _spells(axis, STEP)]
    longest = max(spells, key=lambda spell: abs(spell.change), default=None)
    return longest is None or np.ptp(other.growth) > 0.3 or _goes_along(other, longest, thing) > 0


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
        for spell in _spells(axis, STEP):
            if beat and beat.count >= 2 and _inside(spell, thing, beat):
                continue
            way = names[0] if spell.change > 0 else names[1]
            moves = _scaled(_moves(thing, spell), PASSING if _comes_or_goes(thing, spell) else 1.0)
            moves = _scaled(moves, PASSING if any(_foretells(other, thing, spell) for other in others) else 1.0)
            found.append((f"thing_moves_{way}", moves))
            if names[0] == "down":
                found += _up_or_down(thing, spell, moves, others)
    for spell in _spells(thing.growth, 0.12):
        moved = abs(thing.path[spell.last] - thing.path[spell.first])
        support = float(ramp(abs(spell.change), 0.1, 0.3) * ramp(abs(spell.change) / max(moved, 1e-3), 0.7, 1.6))
        found.append(("thing_nears" if spell.change > 0 else "thing_recedes", _over(thing, spell, support)))
    for spell in _spells(thing.angle, 0.2):
        found.append(("thing_turns", _over(thing, spell, float(ramp(abs(spell.change), 0.3, 0.9)))))
    return found


def _inside(spell: Spell, thing: MovingObject, beat: Rhythm) -> bool:
    start, end = thing.times[spell.first], thing.times[spell.last]
    return bool(min(end, beat.end) - max(start, beat.start) > 0.5 * (end - start))


def _spells(series: np.ndarray, least: float) -> list[Spell]:
    """The parts between turning points, cut to the middle nine tenths of their change."""
    at = turning_points(series, least)
    found = []
    for a, b in zip(at[:-1], at[1:], strict=True):
        change = float(series[b] - series[a])
        if abs(change) < least:
            continue
        part = (series[a : b + 1] - series[a]) / change
        first = a + int(np.flatnonzero(part <= 0.05)[-1])
        last = first + int((part[first - a :] >= 0.95).argmax())
        found.append(Spell(first, last, change))
    return found


def _moves(thing: MovingObject, spell: Spell) -> Measure:
    """Support of a movement along one axis: long, mostly along it, and not by growing."""
    whole = abs(thing.path[spell.last] - thing.path[spell.first])
    grown = abs(thing.growth[spell.last] - thing.growth[spell.first])
    straight = abs(spell.change) / max(whole, abs(spell.change))
    support = ramp(abs(spell.change), 0.03, 0.12) * ramp(straight, 0.4, 0.75) * ramp(grown / abs(spell.change), 5, 2)
    return _over(thing, spell, float(support))


def _comes_or_goes(thing: MovingObject, spell: Spell) -> bool:
    """Whether it comes into the picture in this spell, or leaves it, as a hand does before and after what it does."""
    if reaches_out(thing):
        return False
    comes = thing.times[spell.first] - thing.times[0] < REST and thing.index[0] > 0
    seen = np.isfinite(thing.points.real).sum(axis=0)
    goes = seen[spell.last :].mean() < LEFT * seen[spell.first : spell.last + 1].max()
    goes &= thing.rim[spell.last] < EDGE <= thing.rim[spell.first]
    return bool((comes and thing.rim[spell.first] < EDGE) or goes)


def _foretells(other: MovingObject, thing: MovingObject, spell: Spell) -> bool:
    """Whether the thing only goes where the growth of another, of which it is a part, takes it."""
    first, last = (
        int(np.clip(thing.index[k] - other.index[0], 0, len(other.index) - 1)) for k in (spell.first, spell.last)
    )
    grown = other.growth[last] - other.growth[first]
    if abs(grown) < GROWN or len(other.points) < len(thing.points):
        return False
    factor = np.exp(grown + 1j * (other.angle[last] - other.angle[first]))
    due = factor * (thing.path[spell.first] - other.path[first]) + other.path[last]
    went = abs(thing.path[spell.last] - thing.path[spell.first])
    return bool(abs(thing.path[spell.last] - due) < 0.4 * went)


def _over(thing: MovingObject, spell: Spell, support: float) -> Measure:
    return Measure(support, float(thing.times[spell.first]), float(thing.times[spell.last]))


def _up_or_down(
    thing: MovingObject, spell: Spell, moves: Measure, others: list[MovingObject]
) -> list[tuple[str, Measure]]:
    """Lifted, put down or falling, of a thing that does not itself reach out of the picture."""
    if reaches_out(thing):
        return []
    speed = np.abs(np.gradient(thing.path, thing.times)) if len(thing.times) > 1 else np.zeros(1)
    rests_before = thing.times[spell.first] - thing.times[0] >= REST
    rests_after = thing.times[-1] - thing.times[spell.last] >= REST
    arms = [other for other in others if reaches_out(other) and len(other.points) >= 4]
    led = max((_goes_along(thing, spell, arm) for arm in arms), default=0.0)
    if spell.change < 0:
        return [("thing_lifted", _scaled(moves, (0.6 + 0.4 * led) * rests_before))]
    half = thing.times[spell.first] + 0.5 * (thing.times[spell.last] - thing.times[spell.first])
    middle = np.interp(half, thing.times, thing.path.imag)
    late = (thing.path.imag[spell.last] - middle) / max(abs(spell.change), 1e-6)
    peak = speed[spell.first : spell.last + 1].max()
    falls = float(max(ramp(peak, 0.6, 1.1) * ramp(late, 0.45, 0.55), ramp(peak, 1.1, 1.6)) * (1 - 0.7 * led))
    return [
        ("thing_falls", _scaled(moves, falls)),
        ("thing_put_down", _scaled(moves, (0.5 + 0.5 * led) * rests_after * (1 - falls))),
    ]


def _goes_along(thing: MovingObject, spell: Spell, other: MovingObject) -> float:
    """0..1: how far another thing goes the same way at the same time, close by."""
    both = np.intersect1d(thing.index[spell.first : spell.last + 1], other.index)
    if len(both) < 3:
        return 0.0
    a, b = thing.path[both - thing.index[0]], other.path[both - other.index[0]]
    own, its = a[-1] - a[0], b[-1] - b[0]
    apart = _filled(_gaps(thing, other, both)).min()
    return float(ramp(abs(own - its) / max(abs(own), 1e-6), 0.6, 0.3) * ramp(apart, 0.2, 0.1))


def _evenness(a: MovingObject, b: MovingObject) -> float:
    """Points of the lesser over those of the greater: what is next to nothing may be a scrap of the greater."""
    few, many = sorted((len(a.points), len(b.points)))
    return few / many


def _between(a: MovingObject, b: MovingObject) -> list[tuple[str, Measure]]:
    """What two things do to each other while both are followed."""
    both = np.intersect1d(a.index, b.index)
    if len(both) < 5:
        return []
    times = a.times[both - a.index[0]]
    one, other = a.path[both - a.index[0]], b.path[both - b.index[0]]
    gap = _filled(_gaps(a, b, both))
    found: list[tuple[str, Measure]] = []
    apart = np.abs(one - other)
    for spell in _spells(apart, STEP):
        name = "things_separate" if spell.change > 0 else "things_approach"
        support = float(ramp(abs(spell.change), 0.05, 0.15))
        found.append((name, Measure(support, float(times[spell.first]), float(times[spell.last]))))
    found += _meeting(one, other, gap, times) + _leaves(one, other, gap, times)
    return found


def _meeting(one: np.ndarray, other: np.ndarray, gap: np.ndarray, times: np.ndarray) -> list[tuple[str, Measure]]:
    """One comes up to the other, and from then on they go, or rest, together."""
    relative = np.abs(np.gradient(one - other, times))
    nearest = int((gap <= max(float(gap.min()) + 0.01, 0.0)).argmax())
    came = float(gap[: nearest + 1].max() - gap[nearest])
    before = float(relative[: nearest + 1].max())
    after = relative[nearest + 1 :][times[nearest + 1 :] <= times[nearest] + 0.6]
    if not len(after):
        return [("things_meet", Measure(0.0, float(times[0]), float(times[nearest])))]
    stops = ramp(float(np.percentile(after, 30)) / max(before, 1e-6), 0.6, 0.3)
    support = float(ramp(gap[nearest], TOUCH + 0.035, TOUCH) * ramp(came, 0.02, 0.06) * stops)
    return [("things_meet", Measure(support, float(times[max(0, nearest - 1)]), float(times[nearest])))]


def _leaves(one: np.ndarray, other: np.ndarray, gap: np.ndarray, times: np.ndarray) -> list[tuple[str, Measure]]:
    """Two parts that go from side by side apart, both at once and opposite ways, or back."""
    found = []
    for name, a, b, g in (("thing_opens", one, other, gap), ("thing_closes", one[::-1], other[::-1], gap[::-1])):
        da, db = a[-1] - a[0], b[-1] - b[0]
        line = a[0] - b[0]
        line = line / max(abs(line), 1e-6)
        away, back = (da * np.conj(line)).real, -(db * np.conj(line)).real
        even = ramp(min(away, back) / max(away, back, 1e-6), 0.2, 0.5)
        straight = ramp((away + back) / max(abs(da) + abs(db), 1e-6), 0.6, 0.85)
        support = float(ramp(g[0], TOUCH + 0.05, TOUCH + 0.01) * ramp(away + back, 0.05, 0.12) * even * straight)
        moved = np.abs(np.gradient(np.abs(one - other)))
        busy = np.flatnonzero(moved >= 0.2 * moved.max())
        found.append((name, Measure(support, float(times[busy[0]]), float(times[busy[-1]]))))
    return found


def _gaps(a: MovingObject, b: MovingObject, frames: np.ndarray) -> np.ndarray:
    """(n,) how far the second nearest point of one thing is from another in these frames; NaN where that is unseen."""
    one, other = a.points[:, frames - a.index[0]], b.points[:, frames - b.index[0]]
    far = np.abs(one[:, None] - other[None])
    near = np.sort(np.where(np.isfinite(far), far, np.inf).min(axis=1), axis=0)[:2].max(axis=0)
    return np.where(np.isfinite(near), near, np.nan)


def _filled(series: np.ndarray) -> np.ndarray:
    good = np.isfinite(series)
    if not good.any():
        return np.full(len(series), 1.0)
    return np.asarray(np.interp(np.arange(len(series)), np.flatnonzero(good), series[good]))


def _scaled(measure: Measure, factor: float) -> Measure:
    return Measure(measure.support * float(factor), measure.start, measure.end)
