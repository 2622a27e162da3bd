"""What a motion primitive is, the table of them, and what several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .body import REST, Body
from .stage import Prop, Stage

BOTH: Final = ("left", "right")


@dataclass(frozen=True)
class Step:
    """One primitive of a script as it is performed."""

    stage: Stage
    body: Body
    prop: Prop | None
    start: float
    end: float

    def t(self, share: float) -> float:
        """The second at this share of the primitive's time."""
        return self.start + share * (self.end - self.start)

    @property
    def partner(self) -> Body:
        """The other person."""
        return next(body for body in self.stage.bodies if body is not self.body)

    @property
    def hands(self) -> tuple[str, ...]:
        """The hands that hold or take the object."""
        return BOTH if self.prop and self.prop.kind in ("box", "bat", "ball", "crate") else (self.body.side,)


@dataclass(frozen=True)
class Primitive:
    """A named movement."""

    perform: Callable[[Step], None]
    seconds: float
    """At an ordinary pace."""
    meaning: str
    shows: tuple[str, ...]
    """What of it poses can measure, in the words of `tools.primitives`."""


PRIMITIVES: Final[dict[str, Primitive]] = {}
"""Name to primitive. A name of `tools.primitives` is used where the same thing is meant."""


def primitive(seconds: float, *shows: str) -> Callable[[Callable[[Step], None]], Callable[[Step], None]]:
    """Enter a function into the table: its name, its docstring as the meaning, and what poses show of it."""

    def add(perform: Callable[[Step], None]) -> Callable[[Step], None]:
        meaning = (perform.__doc__ or "").rstrip(".")
        PRIMITIVES[perform.__name__] = Primitive(perform, seconds, meaning[0].lower() + meaning[1:], shows)
        return perform

    return add


def rise(step: Step, t0: float, t1: float) -> None:
    """Back to standing upright."""
    for name in ("drop", "shift"):
        step.body.move(name, t0, t1, 0)
    step.body.move("lean", t0, t1, 0, 0, 0)


def hang(step: Step, t0: float, t1: float, sides: tuple[str, ...] = BOTH) -> None:
    """Let the arms hang, but for one that holds something."""
    held = [prop for prop in step.stage.props.values() if prop.holder is step.body]
    for side in sides:
        if not held or (held[0].kind == "cup" and side != step.body.side):
            step.body.hand(side, t0, t1, REST)
