"""The actions, their choreography, and an oracle that names an action from its primitives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Final, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict

from .annotations import Segment
from .body import CARRY, Body
from .people_and_props import SIZES, Prop, Stage
from .people_and_props import floor as ground
from .primitives import PRIMITIVES, Step
from .skeleton import SIDES, Shape, aim

SHORTEST: Final = 2.0
LONGEST: Final = 4.0
"""Bounds of a clip's duration in seconds."""


def _script(entries: tuple[str, ...]) -> tuple[str, ...]:
    for name in (part.removeprefix("b:").split()[0] for entry in entries for part in entry.split(" + ")):
        if name not in PRIMITIVES:
            raise ValueError(f"{name!r} is not a primitive; use one of {', '.join(PRIMITIVES)}")
    return entries


class Action(BaseModel):
    """An action as an ordered composition of primitives; the fields are explained in actions.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    split: Literal["base", "novel"]
    script: Annotated[tuple[str, ...], AfterValidator(_script)]
    props: Mapping[str, Literal["behind", "front", "far", "held", "table", "coming"]] = {}
    start: Literal["standing", "seated"] = "standing"
    view: Literal["any", "side", "back", "head"] = "any"
    apart: float = 0.0
    """Initial distance of two people in metres; 0 for one person."""

    @property
    def primitives(self) -> tuple[tuple[int, str], ...]:
        """Person and primitive, ordered by start time."""
        parts = [part for entry in self.script for part in entry.split(" + ")]
        mine = [(int(part.startswith("b:")), part.removeprefix("b:").split()[0]) for part in parts]
        return tuple(mine) + (((1, "hands_meet"),) if mine[-1][1] == "hands_meet" else ())


@cache
def _actions() -> dict[str, Action]:
    text = files(__package__).joinpath("actions.yaml").read_text(encoding="utf-8")
    return {label: Action(label=label, **fields) for label, fields in yaml.safe_load(text).items()}


ACTIONS: Final[Mapping[str, Action]] = _actions()
"""Label to action, base classes first."""


def oracle(performed: Sequence[Segment]) -> str:
    """The label of the action composed of these primitives, from their order alone.

    Raises:
        KeyError: There is no such action.
    """
    order = sorted(performed, key=lambda item: (item[2], item[0]))
    return _by_primitives()[tuple((person, name) for person, name, _, _ in order)]


@cache
def _by_primitives() -> dict[tuple[tuple[int, str], ...], str]:
    return {action.primitives: label for label, action in ACTIONS.items()}


def choreograph(action: Action, rng: np.random.Generator) -> tuple[Stage, float]:
    """The stage with all bodies, objects and movements of an action, and its duration in seconds."""
    stage = _initial_stage(action, rng)
    spans, seconds = _timing(action, rng)
    for entry, (start, end) in zip(action.script, spans, strict=True):
        for part in entry.split(" + "):
            person = int(part.startswith("b:"))
            name, *target = part.removeprefix("b:").split()
            stage.performed.append((person, name, start, end))
            prop = stage.props[target[0]] if target else None
            PRIMITIVES[name].perform(Step(stage, stage.bodies[person], prop, start, end))
    return stage, seconds


def _timing(action: Action, rng: np.random.Generator) -> tuple[list[tuple[float, float]], float]:
    """Start and end of each script entry at a random pace, and the duration of the clip, in seconds."""
    typical = [max(PRIMITIVES[p.removeprefix("b:").split()[0]].seconds for p in e.split(" + ")) for e in action.script]
    durations = np.array(typical) * rng.uniform(0.85, 1.2) * rng.uniform(0.92, 1.08, len(typical))
    durations *= min(1.0, (LONGEST - 0.5) / durations.sum())
    # Random pauses before and after, so that a frame's number does not give away the phase of the action.
    seconds = float(np.clip(durations.sum() + rng.uniform(0.4, 1.6), SHORTEST, LONGEST))
    ends = rng.uniform(0.08, seconds - durations.sum() - 0.2) + np.cumsum(durations)
    return [(float(end - span), float(end)) for span, end in zip(durations, ends, strict=True)], seconds


def _initial_stage(action: Action, rng: np.random.Generator) -> Stage:
    side = "right" if action.apart else str(rng.choice(["left", "right"], p=[0.3, 0.7]))
    shapes = [Shape.sample(rng) for _ in range(2 if action.apart else 1)]
    # Distances are for people of 1.7 m; shorter people stand closer, to stay within reach.
    apart = action.apart * sum(shape.height for shape in shapes) / 3.4
    bodies = []
    for sign, shape in zip((1, -1), shapes, strict=False):
        place, yaw = (-sign * apart / 2, 0.0), sign * np.pi / 2 if apart else 0.0
        bodies.append(Body(shape, place, yaw, side, float(rng.uniform(0.88, 1.12))))
    stage = Stage(bodies, {}, apart=apart)
    for kind, where in action.props.items():
        stage.props[kind] = _prop(kind, where, bodies[0], rng)
    if action.start == "seated":
        body = bodies[0]
        body.move("drop", -1, -0.5, body.shape.standing - 0.54)
        body.move("shift", -1, -0.5, -0.40)
        for hand in SIDES:
            body.hand(hand, -1, -0.5, aim(0.52, -0.62, -0.08))
    return stage


def _prop(kind: str, where: str, body: Body, rng: np.random.Generator) -> Prop:
    scale = float(rng.uniform(0.9, 1.1)) if kind in ("ball", "box", "cup", "bat") else 1.0
    floor = ground(kind) * scale
    if where == "behind":
        return Prop(kind, body.point(-0.42, 0), float(body.tracks["yaw"].goal[0]))
    if where == "table":
        return Prop(kind, body.point(0.52, SIZES["table"][1], -0.1 * SIDES[body.side] * -1), 0.0, scale)
    if where == "front":
        ahead = {"table": 0.62, "ladder": 0.40, "crate": 0.78}.get(kind, 0.42)
        across = -0.08 * SIDES[body.side] * -1 if kind == "cup" else 0.0
        return Prop(kind, body.point(ahead, floor, across), float(body.tracks["yaw"].goal[0]), scale)
    prop = Prop(kind, body.point(1.05, floor, 0.1 * SIDES[body.side]), float(body.tracks["yaw"].goal[0]), scale)
    if where == "held":
        hands = (body.side,) if kind == "cup" else ("left", "right")
        for side in hands:
            gap = float(prop.size[0]) if kind in ("box", "ball") else 0.05
            inwards = (gap - body.shape.shoulders) / sum(body.shape.arm)
            body.hand(side, -1, -0.5, CARRY if kind == "cup" else aim(0.58, -0.42, inwards))
        prop.attach(-1.0, body, hands)
    return prop
