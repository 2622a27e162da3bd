"""The stage: people, objects, and the segments performed so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .body import Body
from .curves import minimum_jerk

Trajectory = Callable[[np.ndarray], np.ndarray]
"""Times (frames,) to positions (frames, 3)."""

SIZES: Final = {
    "ball": (0.13, 0.13, 0.13),
    "bat": (0.035, 0.8, 0.035),
    "cup": (0.055, 0.15, 0.055),
    "box": (0.18, 0.14, 0.15),
    "crate": (0.28, 0.48, 0.25),
    "chair": (0.23, 0.45, 0.22),
    "table": (0.28, 0.84, 0.22),
    "ladder": (0.24, 2.3, 0.05),
}
"""Metres. Boxes: half width, height and depth. Ball: radius. Others: radius or half width, height, half depth."""


class Prop:
    """One object over time: a sequence of states, each blended into the next."""

    def __init__(self, kind: str, position: np.ndarray, yaw: float, scale: float = 1.0) -> None:
        self.kind = kind
        self.size = scale * np.array(SIZES[kind])
        self.yaw = yaw
        self.holder: Body | None = None
        self.appears = 0.0
        """Time from which it is visible, in seconds."""
        self.released = 0.0
        """Time of the last throw in seconds; 0 if never."""
        self._states: list[tuple[float, float, Callable[[int], Trajectory]]] = []
        self.rest(0.0, position)

    def rest(self, t: float, position: np.ndarray, blend: float = 0.12) -> None:
        """Lie at a world position (3,) from `t` on; `blend` seconds to get there."""
        point = np.array(position, float)
        self.holder = None
        self._states.append((t, blend, lambda _: lambda times: np.repeat(point[None], len(times), 0)))

    def attach(self, t: float, body: Body, sides: tuple[str, ...], blend: float = 0.12) -> None:
        """Be held from `t` on, at the palm or halfway between both palms."""
        self.holder = body

        def where(times: np.ndarray) -> np.ndarray:
            joints = body.joints(times)
            return np.asarray(sum(joints[f"{side}_palm"] for side in sides) / len(sides))

        self._states.append((t, blend, lambda _: where))

    def follow(self, t: float, body: Body) -> None:
        """Move along with the position of a body from `t` on."""

        def begin(state: int) -> Trajectory:
            start = self._until(state, np.array([t]))[0]
            place = body.tracks["place"]
            return lambda times: start + (place.at(times) - place.at(np.array([t])))[:, [0, 0, 1]] * (1, 0, 1)

        self._states.append((t, 1e-3, begin))

    def fly(self, t0: float, t1: float, to: Trajectory, arc: float) -> None:
        """Fly between the times, `arc` metres above the straight line at its highest; `to` may move."""

        def begin(state: int) -> Trajectory:
            start = self._until(state, np.array([t0]))[0]

            def where(times: np.ndarray) -> np.ndarray:
                u = np.clip((times - t0) / (t1 - t0), 0, 1)[:, None]
                return np.asarray(start + u * (to(times) - start) + 4 * arc * u * (1 - u) * np.array([0.0, 1, 0]))

            return where

        self.holder = None
        self.released = t0
        self._states.append((t0, 1e-3, begin))

    def at(self, times: np.ndarray) -> np.ndarray:
        """Positions (frames, 3); NaN before it appears."""
        positions = self._until(len(self._states), times)
        positions[times < self.appears] = np.nan
        return positions

    def _until(self, count: int, times: np.ndarray) -> np.ndarray:
        value = np.array(self._states[0][2](0)(times))
        for k, (t, blend, begin) in enumerate(self._states[1:count], 1):
            share = minimum_jerk((times - t) / blend)[:, None]
            value += share * (begin(k)(times) - value)
        return value


def floor(kind: str) -> float:
    """Height in metres of the reference point of an object that stands on the ground."""
    return SIZES[kind][1] if kind in ("ball", "box", "crate") else 0.0


@dataclass
class Stage:
    """People and objects, and the segments performed so far."""

    bodies: list[Body]
    props: dict[str, Prop]
    apart: float = 0.0
    """Initial distance of two people in metres; 0 for one person."""
    extras: dict[str, Prop] = field(default_factory=dict)
    """Objects that the action does not involve."""
    performed: list[tuple[int, str, float, float]] = field(default_factory=list)
    """(person, primitive, start, end) in seconds, in script order."""
