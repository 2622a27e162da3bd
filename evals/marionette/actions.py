"""The actions, how one is put on the stage, and the oracle that names it from its primitives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Final, Literal

import numpy as np
import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict

from .annotations import Performed
from .body import CARRY, Body
from .primitives import PRIMITIVES, Step
from .skeleton import SIDES, Shape, aim
from .stage import SIZES, Prop, Stage
from .stage import floor as ground

SHORTEST: Final = 2.0
LONGEST: Final = 4.0
"""Seconds that a clip lasts at least and at most."""


def _script(entries: tuple[str, ...]) -> tuple[str, ...]:
    for name in (part.removeprefix("b:").split()[0] for entry in entries for part in entry.split(" + ")):
        if name not in PRIMITIVES:
            raise ValueError(f"{name!r} is no primitive; use one of {', '.join(PRIMITIVES)}")
    return entries


class Action(BaseModel):
    """One action as an ordered composition of primitives; see the head of actions.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    split: Literal["base", "novel"]
    script: Annotated[tuple[str, ...], AfterValidator(_script)]
    props: Mapping[str, Literal["behind", "front", "far", "held", "table", "coming"]] = {}
    start: Literal["standing", "seated"] = "standing"
    view: Literal["any", "side", "back", "head"] = "any"
    apart: float = 0.0
    """Metres between two people at first; 0 for one person."""

    @property
    def primitives(self) -> tuple[tuple[int, str], ...]:
        """Person and primitive in the order in which they begin."""
        parts = [part for entry in self.script for part in entry.split(" + ")]
        mine = [(int(part.startswith("b:")), part.removeprefix("b:").split()[0]) for part in parts]
        return tuple(mine) + (((1, "hands_meet"),) if mine[-1][1] == "hands_meet" else ())


@cache
def _actions() -> dict[str, Action]:
    text = files(__package__).joinpath("actions.yaml").read_text(encoding="utf-8")
    return {label: Action(label=label, **fields) for label, fields in yaml.safe_load(text).items()}


ACTIONS: Final[Mapping[str, Action]] = _actions()
"""Label to action, base classes first."""


def oracle(performed: Sequence[Performed]) -> str:
    """The label of the action that consists of these primitives, told from their order alone.

    Raises:
        KeyError: No action is composed of them.
    """
    order = sorted(performed, key=lambda item: (item[2], item[0]))
    return _by_primitives()[tuple((person, name) for person, name, _, _ in order)]


@cache
def _by_primitives() -> dict[tuple[tuple[int, str], ...], str]:
    return {action.primitives: label for label, action in ACTIONS.items()}


def direct(action: Action, rng: np.random.Generator) -> tuple[Stage, float]:
    """Put an action on the stage: bodies, objects and all moves; and how long it lasts in seconds."""
    stage = _set(action, rng)
    spans, seconds = _spans(action, rng)
    for entry, (start, end) in zip(action.script, spans, strict=True):
        for part in entry.split(" + "):
            person = int(part.startswith("b:"))
            name, *thing = part.removeprefix("b:").split()
            stage.performed.append((person, name, start, end))
            prop = stage.props[thing[0]] if thing else None
            PRIMITIVES[name].perform(Step(stage, stage.bodies[person], prop, start, end))
    return stage, seconds


def _spans(action: Action, rng: np.random.Generator) -> tuple[list[tuple[float, float]], float]:
    """When each entry of the script begins and ends, at a pace of its own, and how long the clip lasts."""
    usual = [max(PRIMITIVES[p.removeprefix("b:").split()[0]].seconds for p in e.split(" + ")) for e in action.script]
    lasting = np.array(usual) * rng.uniform(0.85, 1.2) * rng.uniform(0.92, 1.08, len(usual))
    lasting *= min(1.0, (LONGEST - 0.5) / lasting.sum())
    # Rests of any length before and after: no frame's number tells how far the action has got.
    seconds = float(np.clip(lasting.sum() + rng.uniform(0.4, 1.6), SHORTEST, LONGEST))
    ends = rng.uniform(0.08, seconds - lasting.sum() - 0.2) + np.cumsum(lasting)
    return [(float(end - span), float(end)) for span, end in zip(lasting, ends, strict=True)], seconds


def _set(action: Action, rng: np.random.Generator) -> Stage:
    side = "right" if action.apart else str(rng.choice(["left", "right"], p=[0.3, 0.7]))
    shapes = [Shape.drawn(rng) for _ in range(2 if action.apart else 1)]
    # Distances are for people of 1.7 m: who is smaller stands nearer, to be in reach.
    apart = action.apart * sum(shape.height for shape in shapes) / 3.4
    bodies = []
    for way, shape in zip((1, -1), shapes, strict=False):
        place, yaw = (-way * apart / 2, 0.0), way * np.pi / 2 if apart else 0.0
        bodies.append(Body(shape, place, yaw, side, float(rng.uniform(0.88, 1.12))))
    stage = Stage(bodies, {}, apart=apart)
    for kind, where in action.props.items():
        stage.props[kind] = _placed(kind, where, bodies[0], rng)
    if action.start == "seated":
        body = bodies[0]
        body.move("drop", -1, -0.5, body.shape.standing - 0.54)
        body.move("shift", -1, -0.5, -0.40)
        for hand in SIDES:
            body.hand(hand, -1, -0.5, aim(0.52, -0.62, -0.08))
    return stage


def _placed(kind: str, where: str, body: Body, rng: np.random.Generator) -> Prop:
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
        prop.held(-1.0, body, hands)
    return prop
