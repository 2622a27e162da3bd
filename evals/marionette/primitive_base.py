"""Motion primitives: their type, the table of all, and helpers that several of them use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .body import REST, Body
from .people_and_props import Prop, Stage

BOTH: Final = ("left", "right")


@dataclass(frozen=True)
class Step:
    """One primitive of a script, with its performer and timing."""

    stage: Stage
    body: Body
    prop: Prop | None
    start: float
    end: float

    def t(self, share: float) -> float:
        """The time in seconds after this fraction of the primitive."""
        return self.start + share * (self.end - self.start)

    @property
    def partner(self) -> Body:
        """The other person."""
        return next(body for body in self.stage.bodies if body is not self.body)

    @property
    def hands(self) -> tuple[str, ...]:
        """The hands that hold or grasp the object."""
        return BOTH if self.prop and self.prop.kind in ("box", "bat", "ball", "crate") else (self.body.side,)


@dataclass(frozen=True)
class Primitive:
    """A named movement."""

    perform: Callable[[Step], None]
    seconds: float
    """Duration at normal pace."""
    meaning: str
    shows: tuple[str, ...]
    """The names in `tools.motion_primitives` of what can be measured of it."""


PRIMITIVES: Final[dict[str, Primitive]] = {}
"""Name to primitive. Names agree with `tools.motion_primitives` if the meaning is the same."""


def primitive(seconds: float, *shows: str) -> Callable[[Callable[[Step], None]], Callable[[Step], None]]:
    """Register a function as a primitive, with its docstring as the meaning; `shows` as in `Primitive`."""

    def add(perform: Callable[[Step], None]) -> Callable[[Step], None]:
        meaning = (perform.__doc__ or "").rstrip(".")
        PRIMITIVES[perform.__name__] = Primitive(perform, seconds, meaning[0].lower() + meaning[1:], shows)
        return perform

    return add


def rise(step: Step, t0: float, t1: float) -> None:
    """Return to standing upright."""
    for name in ("drop", "shift"):
        step.body.move(name, t0, t1, 0)
    step.body.move("lean", t0, t1, 0, 0, 0)


def hang(step: Step, t0: float, t1: float, sides: tuple[str, ...] = BOTH) -> None:
    """Let the arms hang, except one that holds something."""
    carried = [prop for prop in step.stage.props.values() if prop.holder is step.body]
    for side in sides:
        if not carried or (carried[0].kind == "cup" and side != step.body.side):
            step.body.hand(side, t0, t1, REST)
