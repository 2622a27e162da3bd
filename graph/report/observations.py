"""What the tools of a run measured, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...tools.errors import BadInput
from ...tools.motion.measurements import Measurements
from ...tools.motion_primitives import PRIMITIVES

PRECISION: Final = 0.05
"""Seconds by which the times of observations, which are rounded, may be off."""


@dataclass(frozen=True)
class Observed:
    """One motion primitive that was observed."""

    meaning: str
    """A clause, as in `PRIMITIVES`."""
    support: float
    """0..1."""
    start: float
    """Seconds from which it was strongest."""
    end: float
    """Seconds until which it was strongest."""
    by: str = ""
    """Who showed it, as numbered in the overlays: `person 1`, `persons 1 and 2`; empty for objects and the camera."""

    def __str__(self) -> str:
        return f"{self.meaning} · {self.by}" if self.by else self.meaning


@dataclass(frozen=True)
class Measured:
    """What one call of a tool measured."""

    tool: str
    start: float
    """Seconds: start of the span that it looked at."""
    end: float
    """Seconds: end of that span."""
    observed: tuple[Observed, ...]
    """The clearest first."""

    @classmethod
    def of(cls, evidence: Sequence[Mapping[str, Any]]) -> list[Measured]:
        """The measurements in the evidence of a run; items without any, or of another form, are left out."""
        found = []
        for item in evidence:
            if item.get("status") != "ok" or not item.get("measured"):
                continue
            try:
                measured = Measurements.from_json(item["measured"])
                start, end = float(item["start"]), float(item["end"])
            except (BadInput, KeyError, TypeError, ValueError):
                continue
            rows = [(PRIMITIVES[name], measured.observed[name]) for name in measured.support]
            observed = tuple(
                Observed(meaning, row.support, row.start, row.end, _people(row.by)) for meaning, row in rows
            )
            found.append(cls(str(item.get("tool")), start, end, observed))
        return found


def happening(measured: Sequence[Measured], seconds: float, first: Sequence[str] = ()) -> list[str]:
    """What was observed at a time, each once; or that nothing was, or that no tool looked.

    Args:
        measured: The measurements of a run.
        seconds: Seconds of the video.
        first: Clauses in the order in which they come first, such as the run's sub-actions; the rest follows, clearest
            first.
    """
    looking = [m for m in measured if m.start - PRECISION <= seconds <= m.end + PRECISION]
    current = [o for m in looking for o in m.observed if o.start - PRECISION <= seconds <= o.end + PRECISION]
    ranks = {clause: rank for rank, clause in enumerate(first)}
    current.sort(key=lambda o: (ranks.get(o.meaning, len(ranks)), -o.support))
    if current:
        return list(dict.fromkeys(map(str, current)))
    return ["no measured movement now"] if looking else ["not measured here"]


def _people(by: str) -> str:
    """`by` of a measurement, shortened; empty if it names no people."""
    if not by.startswith("person "):
        return ""
    return by.replace("person", "persons", 1).replace("with person", "and") if " with " in by else by
