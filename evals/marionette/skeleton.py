"""Body shapes, and joint positions from a few smooth control quantities.

Axes: x and z on the ground, y up, metres. A yaw of 0 faces +z; the person's left is then +x. The trunk uses forward
kinematics; arms and legs use two-bone inverse kinematics, so that feet stay planted and hands reach objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

SIDES = {"left": 1.0, "right": -1.0}
COCO = (
    ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow")
    + ("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee")
    + ("left_ankle", "right_ankle")
)
"""The 17 keypoints in COCO order; left and right are the person's own."""
MOST_BEND = np.radians(145)
"""Limit of elbow and knee flexion."""
MOST_LEAN = np.radians((115, 40, 60))
"""Limits of the trunk: forwards, sideways, twist."""
MOST_LOOK = np.radians((50, 75))
"""Limits of the head relative to the trunk: nod, turn."""

Joints = dict[str, np.ndarray]
"""Name to (frames, 3) metres."""


@dataclass(frozen=True)
class Shape:
    """Body measures in metres, as fractions of the height after Winter, Biomechanics (2009), figure 4.1."""

    height: float
    girth: float
    """Thickness of trunk and limbs relative to the average."""
    shoulders: float
    """Half the distance of the shoulder joints."""
    hips: float
    trunk: float
    """Hip joints to the base of the neck."""
    head: float
    """Chin to crown."""
    arm: tuple[float, float]
    """Shoulder to elbow, elbow to palm."""
    leg: tuple[float, float]
    """Hip to knee, knee to ankle."""
    ankle: float
    foot: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Shape:
        """A random body: 1.45 to 1.92 m, slim to stout."""
        height = float(rng.uniform(1.45, 1.92))
        part = height * rng.normal(1, 0.025, 10)
        return cls(
            height,
            float(rng.uniform(0.85, 1.25)) * height / 1.7,
            0.112 * part[0],
            0.055 * part[1],
            0.295 * part[2],
            0.135 * part[3] + 0.02,
            (0.172 * part[4], 0.190 * part[5]),
            (0.243 * part[6], 0.243 * part[7]),
            0.045 * part[8],
            0.14 * part[9],
        )

    @property
    def standing(self) -> float:
        """Height of the hip joints when standing relaxed."""
        return self.ankle + 0.985 * sum(self.leg)


def unit(v: np.ndarray) -> np.ndarray:
    """The vectors (..., 3) scaled to length 1."""
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))


def facing(yaw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forward and left unit vectors, (frames, 3) each, for yaws (frames,) in radians."""
    zero = np.zeros_like(yaw)
    return np.stack([np.sin(yaw), zero, np.cos(yaw)], -1), np.stack([np.cos(yaw), zero, -np.sin(yaw)], -1)


def two_bones(
    root: np.ndarray, target: np.ndarray, bones: tuple[float, float], pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Middle joint and end of a limb that reaches for `target` and bends towards `pole`; all (frames, 3)."""
    upper, lower = bones
    least = np.sqrt(upper**2 + lower**2 - 2 * upper * lower * np.cos(np.pi - MOST_BEND))
    way = target - root
    distance = np.clip(np.linalg.norm(way, axis=-1, keepdims=True), least, 0.9985 * (upper + lower))
    along = unit(way)
    off = unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    cosine = (upper**2 + distance**2 - lower**2) / (2 * upper * distance)
    middle = root + upper * (cosine * along + np.sqrt(np.maximum(0, 1 - cosine**2)) * off)
    return middle, root + distance * along


def aim(forward: float, up: float, out: float) -> np.ndarray:
    """A position relative to the shoulder, in arm lengths, as (flexion, abduction, extension)."""
    far = max(1e-6, float(np.sqrt(forward**2 + up**2 + out**2)))
    return np.array([np.arctan2(forward, -up), np.arcsin(out / far), far])


def _limb_end(
    root: np.ndarray, axes: tuple[np.ndarray, np.ndarray, np.ndarray], way: np.ndarray, reach: float
) -> np.ndarray:
    """End of a limb of length `reach`; `way` (frames, 3): flexion from hanging, abduction (radians), extension."""
    forward, up, out = axes
    flex, side, far = (way[:, k, None] for k in range(3))
    direction = np.cos(side) * (np.sin(flex) * forward - np.cos(flex) * up) + np.sin(side) * out
    return np.asarray(root + reach * far * direction)


def _turned(a: np.ndarray, b: np.ndarray, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two orthogonal axes after rotating `a` towards `b` by angles (frames,) in radians."""
    c, s = np.cos(angle)[:, None], np.sin(angle)[:, None]
    return c * a + s * b, c * b - s * a


def solve(shape: Shape, at: Mapping[str, np.ndarray]) -> Joints:
    """Joint positions for the control quantities of `body.Body`, each (frames, n).

    Includes points that only rendering needs: palms, heels, toes, and parts of the head.
    """
    forward, left = facing(at["yaw"][:, 0])
    up = np.zeros_like(forward)
    up[:, 1] = 1
    hips_at = at["place"][:, [0, 0, 1]] * (1, 0, 1) + forward * at["shift"]
    feet = {side: at[f"{side}_foot"] + up * (shape.ankle + at["air"]) for side in SIDES}
    rise = shape.standing - at["drop"][:, 0] + at["base"][:, 0] + at["air"][:, 0]
    for side, sign in SIDES.items():
        # Legs cannot stretch: lower the hips until the planted foot is within reach.
        across = np.linalg.norm((feet[side] - hips_at - sign * shape.hips * left)[:, [0, 2]], axis=-1)
        planted = at[f"{side}_free"][:, 0] < 0.01
        reach = feet[side][:, 1] + np.sqrt(np.maximum(0.05, (0.998 * sum(shape.leg)) ** 2 - across**2))
        rise = np.where(planted, np.minimum(rise, reach), rise)
    joints: Joints = {"pelvis": hips_at + up * rise[:, None]}
    axes = _trunk(shape, joints, at, (forward, up, left))
    _legs(shape, joints, at, feet, (forward, up, left))
    _head(shape, joints, at, axes)
    _arms(shape, joints, at, axes)
    return joints


Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


def _trunk(shape: Shape, joints: Joints, at: Mapping[str, np.ndarray], axes: Axes) -> Axes:
    forward, up, left = axes
    lean = np.clip(at["lean"], -MOST_LEAN, MOST_LEAN)
    half_up, _ = _turned(up, forward, 0.55 * lean[:, 0])
    half_up, _ = _turned(half_up, left, 0.5 * lean[:, 1])
    chest_up, chest_forward = _turned(up, forward, lean[:, 0])
    chest_up, chest_left = _turned(chest_up, left, lean[:, 1])
    chest_forward, chest_left = _turned(chest_forward, chest_left, lean[:, 2])
    joints["spine"] = joints["pelvis"] + 0.45 * shape.trunk * half_up
    joints["neck"] = joints["spine"] + 0.55 * shape.trunk * chest_up
    joints["chest"] = joints["neck"] - 0.25 * shape.trunk * chest_up
    for side, sign in SIDES.items():
        joints[f"{side}_shoulder"] = joints["neck"] + sign * shape.shoulders * chest_left - 0.02 * chest_up
        joints[f"{side}_hip"] = joints["pelvis"] + sign * shape.hips * left
    return chest_forward, chest_up, chest_left


def _head(shape: Shape, joints: Joints, at: Mapping[str, np.ndarray], axes: Axes) -> None:
    forward, up, left = axes
    look = np.clip(at["look"], -MOST_LOOK, MOST_LOOK)
    forward, left = _turned(forward, left, look[:, 1])
    up, forward = _turned(up, forward, look[:, 0])
    size = shape.head
    centre = joints["neck"] + (0.02 + 0.62 * size) * up + 0.02 * forward
    joints["head"] = centre
    joints["crown"], joints["chin"] = centre + 0.14 * size * up, centre - 0.24 * size * up + 0.05 * size * forward
    joints["scalp"] = centre + 0.24 * size * up - 0.05 * size * forward
    joints["back"] = centre + 0.1 * size * up - 0.12 * size * forward
    joints["nape"] = centre - 0.3 * size * up - 0.22 * size * forward
    joints["nose"] = centre + 0.385 * size * forward - 0.06 * size * up
    joints["mouth"] = centre + 0.36 * size * forward - 0.24 * size * up
    for side, sign in SIDES.items():
        joints[f"{side}_eye"] = centre + size * (0.31 * forward + sign * 0.15 * left + 0.07 * up)
        joints[f"{side}_ear"] = centre + sign * 0.36 * size * left - 0.02 * size * up
        joints[f"{side}_lip"] = joints["mouth"] + sign * 0.1 * size * left


def _arms(shape: Shape, joints: Joints, at: Mapping[str, np.ndarray], axes: Axes) -> None:
    forward, up, left = axes
    for side, sign in SIDES.items():
        shoulder, out = joints[f"{side}_shoulder"], sign * left
        hand = _limb_end(shoulder, (forward, up, out), at[f"{side}_arm"], sum(shape.arm))
        hold = at[f"{side}_hold"]
        hand = hand + np.clip(hold, 0, 1) * (at[f"{side}_grip"] - hand)
        # Elbows point back and down when the hand is low, outwards and forwards when it is high.
        height = (unit(hand - shoulder) * up).sum(-1, keepdims=True)
        high = np.clip((height + 0.1) / 0.8, 0, 1)
        pole = (0.45 + 0.4 * high) * out - (0.6 - 1.1 * high) * forward - 0.6 * (1 - high) * up
        joints[f"{side}_elbow"], palm = two_bones(shoulder, hand, shape.arm, pole)
        joints[f"{side}_palm"] = palm
        fore = palm - joints[f"{side}_elbow"]
        joints[f"{side}_wrist"] = joints[f"{side}_elbow"] + 0.74 * fore
        joints[f"{side}_fingers"] = palm + 0.16 * fore


def _legs(shape: Shape, joints: Joints, at: Mapping[str, np.ndarray], feet: Joints, axes: Axes) -> None:
    forward, up, left = axes
    for side, sign in SIDES.items():
        hip, out = joints[f"{side}_hip"], sign * left
        free = np.clip(at[f"{side}_free"], 0, 1)
        swung = _limb_end(hip, (forward, up, out), at[f"{side}_leg"], sum(shape.leg))
        target = feet[side] + free * (swung - feet[side])
        knee, ankle = two_bones(hip, target, shape.leg, forward + 0.12 * out + 0.1 * up)
        joints[f"{side}_knee"], joints[f"{side}_ankle"] = knee, ankle
        shin = unit(knee - ankle)
        # A free foot hangs perpendicular to its shin; a planted foot lies flat.
        flat = unit(forward + 0.18 * out)
        square = unit(flat - 0.8 * (flat * shin).sum(-1, keepdims=True) * shin)
        loose = np.clip(free + at["air"] * 4 + 1.5 * at[f"{side}_foot"][:, 1:2] * (at["base"] < 0.01), 0, 1)
        toe = unit(flat + loose * (square - 0.35 * up - flat))
        sole = ankle - 0.6 * shape.ankle * up * (1 - loose) - 0.6 * shape.ankle * loose * shin
        joints[f"{side}_heel"] = sole - 0.2 * shape.foot * toe
        joints[f"{side}_toe"] = sole + 0.75 * shape.foot * toe
