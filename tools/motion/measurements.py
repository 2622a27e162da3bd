"""Measurements as plain data, as evidence carries them and policies read them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Annotated, Any, Final, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from ..errors import BadInput
from ..motion_primitives import PRIMITIVES

MEASURED: Final = "MEASURED"
"""Name of the line of JSON in a summary."""

_RANKS: Final = {name: rank for rank, name in enumerate(PRIMITIVES)}

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
    times: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Cycles; half ones are counted."""
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
    in_view: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the time in which a person was in view."""

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
        """Plain JSON values that `from_json` reads; empty fields are omitted."""
        value: dict[str, Any] = adapter_of(Measurements).dump_python(self, mode="json")
        return {"observed": value.pop("observed"), **{key: inner for key, inner in value.items() if inner}}

    @staticmethod
    def from_json(value: Any) -> Measurements:
        """Read `to_json`; primitives that this version does not know are dropped.

        Raises:
            BadInput: The value is of another form.
        """
        try:
            found: Measurements = adapter_of(Measurements).validate_python(value)
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
            found.in_view,
        )


@cache
def adapter_of(kind: type) -> TypeAdapter[Any]:
    """The pydantic adapter of a type, made once."""
    return TypeAdapter(kind)
