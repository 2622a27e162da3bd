"""What was measured of the motion in a clip, as typed values and as text for a policy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from ..marked_json import marked_json
from ..motion_primitives import OBSERVED, PRIMITIVES
from ..vision.people import people_sentence
from .measurements import MEASURED, Measurements, Observation, Repeated, adapter_of
from .sentences import camera_sentence
from .time_series import MAX_FRAME_GAP

MAX_PEOPLE: Final = 8
"""Most people the summary describes one by one."""

MAX_OBJECTS: Final = 4
"""Most objects the summary describes one by one."""

MIN_SPEED: Final = 0.1
"""Body heights per second from which a person's net movement is described."""

_LEGEND: Final = (
    "Motion primitives, observed ones as [support 0 to 1, start s, end s, by, meaning] in order of start; not "
    "measured: out of view, no second person or object, or frames too far apart."
)


@dataclass(frozen=True)
class MeasuredPrimitive:
    """One motion primitive of `tools.motion_primitives`, over the whole clip."""

    name: str
    support: float
    """0..1; 0 means it was measurable and did not occur."""
    start: float
    """Seconds from which it was strongest."""
    end: float
    """Seconds until which it was strongest."""
    actor: int = 0
    """Track of the person, or number of the object, that showed it most clearly; 0 for neither, as with the camera."""
    partner: int = 0
    """The other person or object of a pair; 0 if there is none."""

    @property
    def observed(self) -> bool:
        """Whether the support is high enough to count."""
        return self.support >= OBSERVED

    @property
    def of_object(self) -> bool:
        """Whether `actor` and `partner` are objects rather than people."""
        return self.name.startswith(("thing_", "things_"))

    @property
    def by(self) -> str:
        """Who or what showed it, such as `person 1 with person 2`."""
        kind = "object" if self.of_object else "person"
        if self.partner:
            return f"{kind} {self.actor} with {kind} {self.partner}"
        return f"{kind} {self.actor}" if self.actor else self.name.split("_")[0]


@dataclass(frozen=True)
class PersonMotion:
    """One tracked person within one shot."""

    track: int
    start: float
    """Seconds, first seen."""
    end: float
    """Seconds, last seen."""
    right: float
    """Net speed to the right in the image, body heights per second."""
    down: float
    """Net speed downwards in the image, body heights per second."""
    trunk_angle: float | None
    """Median angle of the trunk from upright in degrees; None if the trunk was not visible."""
    knee_angle: float | None
    """Median angle at the knees in degrees, 180 straight; None if the knees were not visible."""
    step_rate: float | None
    """Steps per second; None if the legs were not visible or the frames are too far apart."""
    prominence: float = 1.0
    """0..1: share of the frames in view times the side of the box, relative to the most prominent person."""

    def describe(self) -> str:
        """One line of the summary."""
        speed = math.hypot(self.right, self.down)
        moves = f"moves {_directions(self.right, self.down)} at {speed:.1f} body heights/s"
        parts = [moves if speed >= MIN_SPEED else "stays in place"]
        if self.trunk_angle is not None:
            parts.append(f"trunk {self.trunk_angle:.0f} degrees from upright")
        parts.append("knees not visible" if self.knee_angle is None else f"knees at {self.knee_angle:.0f} degrees")
        if self.step_rate is not None and self.step_rate >= 0.5:
            parts.append(f"{self.step_rate:.1f} steps/s")
        return f"Person {self.track}, {self.start:.1f} to {self.end:.1f} s: {', '.join(parts)}."


@dataclass(frozen=True)
class ObjectMotion:
    """One object that moved by itself. Lengths are in long sides of the image, camera motion removed."""

    start: float
    """Seconds, first tracked."""
    end: float
    """Seconds, last tracked."""
    right: float
    """Net displacement to the right."""
    down: float
    """Net displacement downwards."""
    log_growth: float
    """Natural logarithm of its last size over its first."""
    rotation: float
    """Degrees turned clockwise in the image."""
    reaches_out: bool
    """Whether it extends beyond the image border, as an arm does."""
    path_length: float
    """Length of its whole path."""

    def describe(self, number: int) -> str:
        """One line of the summary."""
        far = math.hypot(self.right, self.down)
        where = f"{far:.2f} {_directions(self.right, self.down)} of" if far >= 0.03 else ""
        parts = [f"ends {where} where it started" if where else "ends where it started"]
        if self.path_length > 1.5 * far + 0.05:
            parts.append(f"path length {self.path_length:.2f}")
        if abs(self.log_growth) > 0.12:
            parts.append(f"{math.exp(self.log_growth):.1f} times its initial size")
        if abs(self.rotation) > 15:
            parts.append(f"rotated by {abs(self.rotation):.0f} degrees")
        if self.reaches_out:
            parts.append("extends beyond the image border, as an arm does")
        when = f"{self.start:.1f} to {self.end:.1f} s"
        return f"Object {number}, {when}: {', '.join(parts)} (lengths in long sides of the image)."


@dataclass(frozen=True)
class Repetition:
    """A person or an object that moved back and forth."""

    kind: Literal["person", "object"]
    number: int
    """Track of the person, or number of the object."""
    count: float
    """Cycles: whole ones of an object, a multiple of a half of a person."""
    period: float
    """Seconds per cycle."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""


@dataclass(frozen=True)
class ObjectEvent:
    """An object started to do something; one primitive may occur several times."""

    name: str
    """The primitive."""
    start: float
    """Seconds."""


@dataclass(frozen=True)
class Motion:
    """The motion in a clip.

    A primitive that could not be measured (legs not visible, frames too far apart) is absent, which says nothing; one
    with support 0 was measurable and did not occur.
    """

    times: tuple[float, ...]
    """Seconds of the frames examined."""
    primitives: tuple[MeasuredPrimitive, ...]
    """Those that were measurable, in the order of `PRIMITIVES`."""
    people: tuple[PersonMotion, ...] = ()
    """Longest in view first."""
    people_at_once: int = 0
    """People in view together, as `tools.vision.people.People.at_once`."""
    camera_drift: tuple[float, float] = (0.0, 0.0)
    """Pixels per second by which the scene drifts to the right and downwards in the longest shot; 0 for a static
    camera."""
    camera_shake: float = 0.0
    """0..1."""
    cuts: tuple[float, ...] = ()
    """Seconds at which a new shot starts."""
    objects: tuple[ObjectMotion, ...] = ()
    """Most salient first."""
    repetitions: tuple[Repetition, ...] = ()
    """Most salient first."""
    events: tuple[ObjectEvent, ...] = ()
    """What objects did, in order."""
    note: str = ""
    """A sentence on what of the frames for objects could not be read; not for the policy. Empty if nothing failed."""

    @property
    def support(self) -> dict[str, float]:
        """Support of each measurable primitive."""
        return {primitive.name: primitive.support for primitive in self.primitives}

    def observed(self) -> list[MeasuredPrimitive]:
        """The primitives that occurred, the clearest first."""
        return sorted((p for p in self.primitives if p.observed), key=lambda p: -p.support)

    def measurements(self) -> Measurements:
        """The primitives at the precision that policies read."""
        observed = sorted(self.observed(), key=lambda p: p.start)
        others: dict[str, list[float]] = {}
        for event in self.events:
            others.setdefault(event.name, []).append(round(event.start, 1))
        for p in observed:
            if (start := round(p.start, 1)) in others.get(p.name, ()):
                others[p.name].remove(start)
        return Measurements(
            {
                p.name: Observation(round(p.support, 2), round(p.start, 1), round(p.end, 1), p.by, PRIMITIVES[p.name])
                for p in observed
            },
            tuple(p.name for p in self.primitives if not p.observed),
            tuple(name for name in PRIMITIVES if name not in self.support),
            {name: tuple(starts) for name, starts in others.items() if starts},
            tuple(
                Repeated(f"{r.kind} {r.number}", r.count, round(r.period, 2), round(r.start, 1), round(r.end, 1))
                for r in self.repetitions
            ),
            self._in_view(),
        )

    def _in_view(self) -> float:
        """Share of the time in which a person is in view."""
        seen, until = 0.0, self.times[0]
        for person in sorted(self.people, key=lambda person: person.start):
            seen += max(0.0, person.end - max(person.start, until))
            until = max(until, person.end)
        return round(min(1.0, seen / max(self.times[-1] - self.times[0], 1e-6)), 2)

    def to_json(self) -> str:
        """JSON that `from_json` reads."""
        return str(adapter_of(Motion).dump_json(self), "ascii")

    @staticmethod
    def from_json(text: str) -> Motion:
        """Read `to_json`.

        Raises:
            pydantic.ValidationError: The text is not that of a `Motion`.
        """
        motion: Motion = adapter_of(Motion).validate_json(text)
        return motion

    def summary(self) -> str:
        """What moved: a few lines of prose, then the measurements as one line of JSON."""
        lines = [self._setting(), *(person.describe() for person in self.people[:MAX_PEOPLE])]
        if len(self.people) > MAX_PEOPLE:
            lines.append(f"{len(self.people) - MAX_PEOPLE} more people, seen more briefly.")
        involved = {number for p in self.observed() if p.of_object for number in (p.actor, p.partner) if number}
        lines += [
            self.objects[number - 1].describe(number)
            for number in sorted(involved)[:MAX_OBJECTS]
            if number <= len(self.objects)
        ]
        return "\n".join([*lines, _LEGEND, marked_json(MEASURED, self.measurements().to_json())])

    def _setting(self) -> str:
        cuts = f" Cuts at {', '.join(f'{t:.1f}' for t in self.cuts[:10])} s." if self.cuts else ""
        gap = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        thin = f" Frames are {gap:.1f} s apart, too far to measure motion; ask for a shorter span."
        when = f"from {self.times[0]:.1f} to {self.times[-1]:.1f} s in {len(self.times)} frames"
        people = people_sentence(self.people_at_once, len(self.people)).removesuffix(".")
        return f"{people} {when}. {camera_sentence(self)}{cuts}{thin if gap > MAX_FRAME_GAP else ''}"


def _directions(right: float, down: float) -> str:
    """The main directions of a displacement, such as `right and up`."""
    far = math.hypot(right, down)
    ways: Iterable[tuple[str, float]] = (("right", right), ("left", -right), ("down", down), ("up", -down))
    return " and ".join(way for way, part in ways if part > 0.4 * far)
