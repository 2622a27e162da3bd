"""What was measured of the motion in a clip, as typed values and as text for a policy."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from ..errors import BadInput
from ..marked_json import marked_json
from ..primitives import OBSERVED, PRIMITIVES
from .signal import MAX_FRAME_GAP

MAX_PEOPLE: Final = 8
"""Most people the summary describes one by one."""
MAX_OBJECTS: Final = 4
"""Most objects the summary describes one by one."""
MIN_SPEED: Final = 0.1
"""Body heights per second from which a person's net movement is described."""
_CAMERA: Final = {
    "camera_turns_left": "turns left",
    "camera_turns_right": "turns right",
    "camera_turns_up": "turns up",
    "camera_turns_down": "turns down",
    "camera_nears": "moves closer or zooms in",
    "camera_recedes": "moves away or zooms out",
}
MEASURED: Final = "MEASURED"
"""Name of the line of JSON in a summary."""
_LEGEND: Final = (
    "Motion primitives, observed ones as [support 0 to 1, start s, end s, by, meaning] in order of start; not "
    "measured: out of view, no second person or object, or frames too far apart."
)
_RANKS: Final = {name: rank for rank, name in enumerate(PRIMITIVES)}


@dataclass(frozen=True)
class MeasuredPrimitive:
    """One motion primitive of `tools.primitives`, over the whole clip."""

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
    count: int
    """Cycles."""
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


Time = Annotated[float, Field(ge=0, allow_inf_nan=False)]
"""Seconds."""


class Observation(NamedTuple):
    """One observed primitive, as a row of JSON."""

    support: Annotated[float, Field(ge=0, le=1)]
    start: Time
    end: Time
    by: str
    """As `MeasuredPrimitive.by`."""
    meaning: str = ""
    """As in `PRIMITIVES`."""


@dataclass(frozen=True)
class Repeated:
    """One repetition, as an object of JSON."""

    by: str
    """Such as `object 1`."""
    times: Annotated[int, Field(ge=0)]
    period: Time
    """Seconds per cycle."""
    start: Time
    end: Time


@dataclass(frozen=True)
class Measurements:
    """The motion primitives of a clip at the precision that policies read: support to 0.01, times to 0.1 s.

    Its JSON is `measured` of an evidence item of `track_motion`.
    """

    observed: dict[str, Observation] = field(default_factory=dict)
    """By primitive, in order of start."""
    not_observed: tuple[str, ...] = ()
    """Primitives that were measurable and did not occur."""
    not_measured: tuple[str, ...] = ()
    """Primitives that were not measurable."""
    other_starts: dict[str, tuple[Time, ...]] = field(default_factory=dict)
    """Primitives of objects that occurred repeatedly: the other times at which they started."""
    repeated: tuple[Repeated, ...] = ()
    """Most salient first."""

    @cached_property
    def support(self) -> dict[str, float]:
        """Support of each observed primitive, the clearest first."""
        ranked = sorted((-row.support, _RANKS[name], name) for name, row in self.observed.items())
        return {name: -support for support, _, name in ranked}

    @cached_property
    def spans(self) -> dict[str, tuple[float, float]]:
        """Seconds from and to which each observed primitive was strongest."""
        return {name: (row.start, row.end) for name, row in self.observed.items()}

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """The primitives that were measurable, observed or not."""
        return tuple(dict.fromkeys([*self.support, *self.not_observed]))

    @property
    def order(self) -> tuple[tuple[str, float], ...]:
        """Observed primitives and the seconds at which they started, in order; those of objects occur repeatedly."""
        starts = [(row.start, name) for name, row in self.observed.items()]
        starts += [(start, name) for name, others in self.other_starts.items() for start in others]
        return tuple((name, start) for start, name in sorted(starts))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values that `from_json` reads; what is empty is left out."""
        value: dict[str, Any] = _adapter(Measurements).dump_python(self, mode="json")
        return {"observed": value.pop("observed"), **{key: inner for key, inner in value.items() if inner}}

    @staticmethod
    def from_json(value: Any) -> Measurements:
        """Read `to_json`; primitives that this version does not know are dropped.

        Raises:
            BadInput: The value is of another form.
        """
        try:
            found: Measurements = _adapter(Measurements).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise BadInput(f"these are no measurements of track_motion: {where}: {first['msg']}") from None
        return Measurements(
            {name: row for name, row in found.observed.items() if name in PRIMITIVES},
            tuple(name for name in found.not_observed if name in PRIMITIVES),
            tuple(name for name in found.not_measured if name in PRIMITIVES),
            {name: starts for name, starts in found.other_starts.items() if name in found.observed},
            found.repeated,
        )


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
    camera_drift: tuple[float, float] = (0.0, 0.0)
    """Pixels per second by which the scene drifts to the right and downwards; 0 for a static camera or a clip with
    cuts."""
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
        )

    def to_json(self) -> str:
        """JSON that `from_json` reads."""
        return str(_adapter(Motion).dump_json(self), "ascii")

    @staticmethod
    def from_json(text: str) -> Motion:
        """Read `to_json`.

        Raises:
            pydantic.ValidationError: The text is not that of a `Motion`.
        """
        motion: Motion = _adapter(Motion).validate_json(text)
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
        drift = math.hypot(*self.camera_drift)
        camera = "The camera is still." if not drift else f"The camera moves; the scene drifts at {drift:.0f} pixels/s."
        observed = {p.name for p in self.primitives if p.observed}
        words = [word for name, word in _CAMERA.items() if name in observed]
        words += ["shakes"] * (self.camera_shake >= OBSERVED)
        if words:
            camera = f"The camera {' and '.join(words)}."
        cuts = f" Cuts at {', '.join(f'{t:.1f}' for t in self.cuts[:10])} s." if self.cuts else ""
        gap = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        thin = f" Frames are {gap:.1f} s apart, too far to measure motion; ask for a shorter span."
        people = "1 person" if len(self.people) == 1 else f"{len(self.people)} people"
        when = f"from {self.times[0]:.1f} to {self.times[-1]:.1f} s in {len(self.times)} frames"
        return f"{people} {when}. {camera}{cuts}{thin if gap > MAX_FRAME_GAP else ''}"


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _directions(right: float, down: float) -> str:
    """The main directions of a displacement, such as `right and up`."""
    far = math.hypot(right, down)
    ways: Iterable[tuple[str, float]] = (("right", right), ("left", -right), ("down", down), ("up", -down))
    return " and ".join(way for way, part in ways if part > 0.4 * far)
