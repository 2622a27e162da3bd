"""Appearance of people and objects: the solids and boards they are rendered from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .people_and_props import Prop
from .skeleton import SIDES, Joints, Shape, facing, unit

Colour = tuple[float, float, float]

SKINS: Final = ((244, 208, 177), (231, 178, 139), (205, 146, 104), (164, 108, 70), (116, 72, 46), (82, 52, 38))
HAIRS: Final = ((38, 28, 24), (72, 46, 30), (120, 76, 40), (196, 156, 92), (150, 150, 152), (140, 58, 32), (24, 22, 30))
WOODS: Final = ((178, 128, 76), (140, 94, 54), (206, 168, 116), (110, 78, 58), (150, 152, 158))


@dataclass(frozen=True)
class Solid:
    """A cone with rounded ends; a sphere if both ends coincide."""

    a: np.ndarray
    b: np.ndarray
    """(frames, 3) world positions of the ends, metres."""
    ra: float
    rb: float
    """Radii in metres."""
    colour: Colour
    stripes: float = 0.0


@dataclass(frozen=True)
class Board:
    """A flat quadrilateral, visible from the front only."""

    corners: np.ndarray
    """(frames, 4, 3) metres, clockwise seen from the front."""
    normal: np.ndarray
    """(frames, 3) unit normal of the front."""
    colour: Colour


@dataclass(frozen=True)
class Clothes:
    """Colours and cuts of one person."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    shoes: Colour
    sleeves: float
    """Sleeve length in arm bones, 0 to 2."""
    legs: float
    """Trouser length in leg bones, 0 to 2."""
    stripes: float
    long_hair: bool
    skirt: bool

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Clothes:
        """Random clothes, with shirt and trousers of different colours."""
        shirt, trousers = _random_colour(rng), _random_colour(rng, 0.7)
        while np.abs(np.subtract(shirt, trousers)).sum() < 110:
            trousers = _random_colour(rng, 0.7)
        return cls(
            SKINS[rng.integers(len(SKINS))],
            HAIRS[rng.integers(len(HAIRS))],
            shirt,
            trousers,
            _random_colour(rng, 0.6),
            float(rng.choice([0.5, 1.0, 1.6, 2.0])),
            float(rng.choice([1.0, 2.0, 2.0, 2.0])),
            float(rng.choice([0, 0, 0, 2, 3])),
            bool(rng.random() < 0.35),
            bool(rng.random() < 0.12),
        )


def _random_colour(rng: np.random.Generator, bright: float = 1.0) -> Colour:
    import colorsys

    value = bright * rng.uniform(0.3, 1.0)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.05, 0.85), value)
    return 255 * red, 255 * green, 255 * blue


def person_solids(shape: Shape, joints: Joints, clothes: Clothes) -> list[Solid]:
    """The solids of a person."""
    return [*_trunk(shape, joints, clothes), *_face(shape, joints, clothes), *_limbs(shape, joints, clothes)]


def _mix(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(a + share * (b - a))


def _trunk(shape: Shape, j: Joints, clothes: Clothes) -> list[Solid]:
    g, shirt, below = shape.girth, clothes.shirt, clothes.trousers
    ls, rs, lh, rh = (j[name] for name in ("left_shoulder", "right_shoulder", "left_hip", "right_hip"))
    solids = [
        Solid(_mix(j["neck"], j["chest"], 0.15), ls, 0.070 * g, 0.050 * g, shirt),
        Solid(_mix(j["neck"], j["chest"], 0.15), rs, 0.070 * g, 0.050 * g, shirt),
        Solid(_mix(j["chest"], ls, 0.35), _mix(j["spine"], lh, 0.62), 0.100 * g, 0.088 * g, shirt, clothes.stripes),
        Solid(_mix(j["chest"], rs, 0.35), _mix(j["spine"], rh, 0.62), 0.100 * g, 0.088 * g, shirt, clothes.stripes),
        Solid(j["chest"], j["pelvis"], 0.115 * g, 0.108 * g, shirt, clothes.stripes),
        Solid(lh, rh, 0.092 * g, 0.092 * g, below),
        Solid(j["neck"], _mix(j["neck"], j["head"], 0.6), 0.050 * g, 0.046 * g, clothes.skin),
    ]
    if clothes.skirt:
        knees = _mix(j["left_knee"], j["right_knee"], 0.5)
        solids.append(Solid(j["pelvis"], _mix(j["pelvis"], knees, 0.75), 0.11 * g, 0.16 * g, below))
    return solids


def _face(shape: Shape, j: Joints, clothes: Clothes) -> list[Solid]:
    s, dark = shape.head, (40, 30, 30)
    nose = tuple(0.92 * channel for channel in clothes.skin)
    solids = [
        Solid(j["crown"], j["chin"], 0.335 * s, 0.25 * s, clothes.skin),
        Solid(j["back"], j["scalp"], 0.385 * s, 0.36 * s, clothes.hair),
        Solid(
            _mix(j["nose"], j["head"], 0.25),
            _mix(j["nose"], j["head"], 0.04),
            0.06 * s,
            0.05 * s,
            (nose[0], nose[1], nose[2]),
        ),
        Solid(j["left_lip"], j["right_lip"], 0.035 * s, 0.035 * s, (150, 66, 62)),
    ]
    for side in SIDES:
        eye = j[f"{side}_eye"]
        solids += [Solid(eye, eye, 0.05 * s, 0.05 * s, dark)]
        ear = j[f"{side}_ear"]
        solids += [Solid(ear, ear, 0.085 * s, 0.085 * s, clothes.skin)]
    if clothes.long_hair:
        solids.append(Solid(j["back"], _mix(j["nape"], j["neck"], 0.6), 0.36 * s, 0.26 * s, clothes.hair))
    return solids


def _covered(
    joints: Sequence[np.ndarray], radii: Sequence[float], share: float, cloth: Colour, skin: Colour
) -> list[Solid]:
    """A limb of two bones, covered by cloth from the top down to `share` bones (0 to 2)."""
    solids = []
    for k in range(2):
        a, b, ra, rb = joints[k], joints[k + 1], radii[k], radii[k + 1]
        part = min(1.0, max(0.0, share - k))
        if part < 1:
            solids.append(Solid(a, b, ra, rb, skin))
        if part > 0:
            solids.append(Solid(a, _mix(a, b, part), 1.06 * ra, 1.08 * (ra + part * (rb - ra)), cloth))
    return solids


def _limbs(shape: Shape, j: Joints, clothes: Clothes) -> list[Solid]:
    g, solids = shape.girth, []
    for side in SIDES:
        arm = [j[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist")]
        solids += _covered(arm, (0.056 * g, 0.043 * g, 0.032 * g), clothes.sleeves, clothes.shirt, clothes.skin)
        solids.append(Solid(j[f"{side}_wrist"], j[f"{side}_palm"], 0.032 * g, 0.042 * g, clothes.skin))
        solids.append(Solid(j[f"{side}_palm"], j[f"{side}_fingers"], 0.040 * g, 0.028 * g, clothes.skin))
        leg = [j[f"{side}_{name}"] for name in ("hip", "knee", "ankle")]
        solids += _covered(leg, (0.090 * g, 0.060 * g, 0.042 * g), clothes.legs, clothes.trousers, clothes.skin)
        solids.append(Solid(j[f"{side}_heel"], j[f"{side}_toe"], 0.047 * g, 0.038 * g, clothes.shoes))
    return solids


def prop_parts(prop: Prop, positions: np.ndarray, times: np.ndarray, colour: Colour) -> tuple[list[Solid], list[Board]]:
    """The solids and boards of an object at `positions` (frames, 3)."""
    up = np.array([0.0, 1, 0])
    forward, left = (axis[0] for axis in facing(np.array([prop.yaw])))
    axes = np.stack([left, up, forward])
    w, h, d = prop.size
    dark = (0.55 * colour[0], 0.55 * colour[1], 0.55 * colour[2])
    if prop.kind == "ball":
        return [Solid(positions, positions, w, w, colour)], []
    if prop.kind == "bat":
        axis = _bat_axis(prop, times)
        return [Solid(positions - 0.12 * axis, positions + (h - 0.12) * axis, 0.5 * w, w, colour)], []
    if prop.kind == "cup":
        axis = _cup_axis(prop, times)
        low, top = positions - 0.4 * h * axis, positions + 0.4 * h * axis
        rim = top + 0.25 * w * axis
        return [Solid(low, top, 0.85 * w, w, colour), Solid(rim, rim, 0.8 * w, 0.8 * w, dark)], []
    if prop.kind in ("box", "crate"):
        lid = positions + (0, h, 0)
        band = [(lid, axes, (w * 1.01, 0.008, 0.18 * d), (0.8 * colour[0], 0.8 * colour[1], 0.75 * colour[2]))]
        parts = [(positions, axes, (w, h, d), colour), *band]
        return [], [board for part in parts for board in _cuboid(*part)]
    if prop.kind in ("chair", "table"):
        return _furniture(prop, positions, axes, colour, dark)
    rails = [positions + s * w * left for s in (-1, 1)]
    solids = [Solid(rail, rail + h * up, 0.03, 0.03, colour) for rail in rails]
    heights = np.arange(0.28, h, 0.28)
    return solids + [Solid(rails[0] + y * up, rails[1] + y * up, 0.02, 0.02, dark) for y in heights], []


def _furniture(
    prop: Prop, positions: np.ndarray, axes: np.ndarray, colour: Colour, dark: Colour
) -> tuple[list[Solid], list[Board]]:
    w, h, d = prop.size
    top = positions + (0, h - 0.03, 0)
    boards = _cuboid(top, axes, (w, 0.025, d), colour)
    if prop.kind == "chair":
        boards += _cuboid(positions + (0, h + 0.28, 0) - 0.95 * d * axes[2], axes, (w, 0.2, 0.02), colour)
    solids = []
    for s in (-0.88, 0.88):
        for f in (-0.88, 0.88):
            foot = positions + s * w * axes[0] + f * d * axes[2]
            tall = h + 0.3 if prop.kind == "chair" and f < 0 else h - 0.05
            solids.append(Solid(foot, foot + (0, tall, 0), 0.02, 0.02, dark))
    return solids, boards


def _cuboid(centre: np.ndarray, axes: np.ndarray, half: tuple[float, float, float], colour: Colour) -> list[Board]:
    boards = []
    for k in range(3):
        for sign in (-1, 1):
            normal = sign * axes[k]
            u, v = half[(k + 1) % 3] * axes[(k + 1) % 3], half[(k + 2) % 3] * axes[(k + 2) % 3] * sign
            face = centre + half[k] * normal
            corners = np.stack([face - u - v, face - u + v, face + u + v, face + u - v], 1)
            boards.append(Board(corners, np.broadcast_to(normal, centre.shape), colour))
    return boards


def _bat_axis(prop: Prop, times: np.ndarray) -> np.ndarray:
    assert prop.holder
    joints = prop.holder.joints(times)
    palms = (joints["left_palm"] + joints["right_palm"]) / 2
    return unit(unit(palms - joints[f"{prop.holder.other}_shoulder"]) + (0, 0.35, 0))


def _cup_axis(prop: Prop, times: np.ndarray) -> np.ndarray:
    """Upright; tilted towards the mouth when close to it."""
    upright = np.broadcast_to(np.array([0.0, 1, 0]), (len(times), 3))
    if prop.holder is None:
        return upright
    joints = prop.holder.joints(times)
    way = joints["mouth"] - joints[f"{prop.holder.side}_palm"]
    near = np.clip(1.6 - np.linalg.norm(way, axis=-1, keepdims=True) / 0.16, 0, 1)
    return unit(upright + 1.2 * near * unit(way))
