"""One body over time: its control quantities, and the movements that primitives are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from .curves import Track
from .skeleton import SIDES, Joints, Shape, aim, facing, solve

REST: Final = np.array([0.05, 0.10, 0.97])
"""A hanging arm: flexion and abduction in radians, extension in arm lengths."""
CARRY: Final = aim(0.62, -0.42, 0.0)
"""A hand in front of the belly, as when carrying a box."""


class Body:
    """One person on the stage.

    Control quantities (n numbers each): `place` x and z of the hips, `yaw`, `shift` of the hips forwards, `drop` of the
    hips, `base` height of the support, `air` height of a jump, `lean` of the trunk (forwards, left, twist), `look` of
    the head (down, left). Per side: `arm` (flexion, abduction, extension); `grip`, a world position for the palm, and
    `hold`, its weight in [0, 1]; `foot`, a world position; `leg`, as `arm`, for a swinging leg, and `free`, its weight.
    Radians and metres; extensions in limb lengths.
    """

    def __init__(self, shape: Shape, place: tuple[float, float], yaw: float, side: str, amplitude: float) -> None:
        self.shape = shape
        self.side = side
        """The side of the acting hand and foot."""
        self.other = "left" if side == "right" else "right"
        self.amplitude = amplitude
        """Scale of the movements, about 1."""
        self.tracks: dict[str, Track] = {"place": Track(place), "yaw": Track([yaw])}
        for name, size in {"shift": 1, "drop": 1, "base": 1, "air": 1, "lean": 3, "look": 2}.items():
            self.tracks[name] = Track(np.zeros(size))
        forward, left = self.axes()
        here = np.array([place[0], 0, place[1]])
        for name, sign in SIDES.items():
            self.tracks[f"{name}_arm"] = Track(REST)
            self.tracks[f"{name}_grip"] = Track(here + (0, 1, 0) + 0.3 * forward + 0.2 * sign * left)
            self.tracks[f"{name}_hold"] = Track([0])
            self.tracks[f"{name}_foot"] = Track(here + 1.4 * shape.hips * sign * left)
            self.tracks[f"{name}_leg"] = Track([0, 0.05, 0.95])
            self.tracks[f"{name}_free"] = Track([0])

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Forwards and left, (3,) each, after the movements so far."""
        forward, left = facing(self.tracks["yaw"].goal)
        return forward[0], left[0]

    @property
    def position(self) -> np.ndarray:
        """Ground position of the hips after the movements so far, (3,)."""
        x, z = self.tracks["place"].goal
        return np.array([x, 0, z])

    def point(self, forward: float, up: float, left: float = 0.0) -> np.ndarray:
        """A world position (3,) relative to the body after the movements so far, in metres."""
        ahead, leftwards = self.axes()
        return np.asarray(self.position + forward * ahead + left * leftwards + np.array([0, up, 0]))

    def move(self, name: str, t0: float, t1: float, *to: float) -> None:
        """Move one quantity; as `Track.move`."""
        self.tracks[name].move(t0, t1, to)

    def hand(self, side: str, t0: float, t1: float, way: np.ndarray) -> None:
        """Move a hand relative to the body, given as the quantity `arm`; releases a world position."""
        self.tracks[f"{side}_arm"].move(t0, t1, way)
        if self.tracks[f"{side}_hold"].goal[0]:
            self.move(f"{side}_hold", t0, t1, 0)

    def hand_at(self, side: str, t0: float, t1: float, point: np.ndarray) -> None:
        """Move a palm to a world position (3,)."""
        holding = self.tracks[f"{side}_hold"].goal[0]
        self.tracks[f"{side}_grip"].move(t0 if holding else t0 - 1e-3, t1 if holding else t0, point)
        if not holding:
            self.move(f"{side}_hold", t0, t1, 1)

    def steps(self, t0: float, t1: float, way: np.ndarray, turn: float = 0.0) -> None:
        """Walk by `way` (3,) metres on the ground while turning by `turn` radians, on feet that stay where they stand.

        Hands that are at a point of the room go along.
        """
        count = max(2, round(float(np.linalg.norm(way)) / 0.42) + round(abs(turn) / 0.8))
        start, yaw = self.position, float(self.tracks["yaw"].goal[0])
        grips = {f"{side}_grip": self.tracks[f"{side}_grip"].goal for side in SIDES if self.tracks[f"{side}_hold"].goal}
        pace = (t1 - t0) / (count + 1.05)
        for k in range(count):
            begin, share = t0 + k * pace, (k + 1) / count
            side = self.side if k % 2 == 0 else self.other
            ahead = min(1.0, share + 0.5 / count)
            self._step(side, begin, begin + 1.1 * pace, start + ahead * way, yaw + ahead * turn)
            here = start + share * way
            self.move("place", begin, begin + 1.5 * pace, here[0], here[2])
            for name, grip in grips.items():
                self.tracks[name].move(begin, begin + 1.5 * pace, grip + share * way)
            self.move("yaw", begin, begin + 1.5 * pace, yaw + share * turn)
        self._step(self.side if count % 2 == 0 else self.other, t1 - 1.1 * pace, t1, start + way, yaw + turn)
        if np.linalg.norm(way) > 0.3:
            for side, sign in SIDES.items():
                if not self.tracks[f"{side}_hold"].goal[0] and self.tracks[f"{side}_arm"].goal[0] < 0.4:
                    wide = 0.4 * self.amplitude * sign * (1 if self.side == "right" else -1)
                    self.tracks[f"{side}_arm"].swing(t0, t1, [wide, 0, 0], count / 2)

    def _step(self, side: str, t0: float, t1: float, place: np.ndarray, yaw: float, rise: float = 0.09) -> None:
        _, left = facing(np.array([yaw]))
        to = place + 1.4 * self.shape.hips * SIDES[side] * left[0]
        track = self.tracks[f"{side}_foot"]
        if np.linalg.norm(to - track.goal) > 1e-3:
            track.move(t0, t1, to)
            track.bump(t0, t1, [0, rise, 0])

    def quantities(self, times: np.ndarray) -> Mapping[str, np.ndarray]:
        """All quantities at `times` (frames,), each (frames, n)."""
        return {name: track.at(times) for name, track in self.tracks.items()}

    def joints(self, times: np.ndarray) -> Joints:
        """The joints at `times` (frames,)."""
        return solve(self.shape, self.quantities(times))
