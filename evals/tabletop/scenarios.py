"""Scenarios for measuring motion: what moves, how, and which primitives should be found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from .renderer import (
    DIRECTIONS,
    HEIGHT,
    WIDTH,
    Layer,
    Pose,
    Scene,
    Trajectory,
    along,
    camera,
    eased,
    hand,
    plain_box,
    scene,
    sprite,
)


def direction(rng: np.random.Generator, moves: bool) -> Scene:
    """An object is pushed, pulled, carried, or moves by itself, in one of six directions."""
    way = str(rng.choice([*DIRECTIONS, "nears", "recedes"]))
    if way in DIRECTIONS:
        return _in_plane(rng, moves, way)
    return _in_depth(rng, moves, way)


def _in_plane(rng: np.random.Generator, moves: bool, way: str) -> Scene:
    step = complex(*DIRECTIONS[way])
    far = rng.uniform(0.2, 0.4) * (WIDTH if step.real else HEIGHT)
    side = rng.uniform(32, 64)
    centre = complex(WIDTH / 2 + rng.normal(0, 15), HEIGHT / 2 + rng.normal(0, 12))
    a, b = centre - step * far / 2, centre + step * far / 2
    start = rng.uniform(0.6, 0.9)
    end = start + rng.uniform(0.5, 1.2)
    manner = str(rng.choice(["push", "pull", "carry", "alone"]))
    last = end + rng.uniform(0.4, 0.9)
    body = Layer(sprite(rng, side), along([(start, a), (end, b)]))
    if manner == "alone":
        return scene(rng, moves, [f"thing_moves_{way}"], [body], last)
    # A hand pushes from behind, pulls from the front, and carries from any side.
    behind = float(np.degrees(np.angle(-step)))
    angle = {"push": behind, "pull": behind + 180, "carry": float(rng.uniform(20, 160))}[manner] + rng.normal(0, 12)
    arm = np.exp(1j * np.radians(angle))
    grip = arm * side * (0.45 if manner == "push" else 0.3)
    out = arm * rng.uniform(150, 200)
    if manner == "carry":
        path = along([(start, a + grip), (end, b + grip)])
    else:
        stay = [] if rng.random() < 0.4 else [(end + 0.15, b + grip), (end + 0.65, b + grip + out)]
        path = along([(0.1, a + grip + out), (start - 0.1, a + grip), (start, a + grip), (end, b + grip), *stay])
    limb = hand(rng, angle)
    return scene(rng, moves, [f"thing_moves_{way}"], [body, Layer(limb.picture, path, limb.pivot)], last)


def _in_depth(rng: np.random.Generator, moves: bool, way: str) -> Scene:
    growth = rng.uniform(1.6, 2.2)
    start, side = rng.uniform(0.4, 0.8), rng.uniform(40, 60)
    end = start + rng.uniform(0.7, 1.3)
    low, high = (0.0, 1.0) if way == "nears" else (1.0, 0.0)

    def size(t: float) -> float:
        return float(growth ** (low + (high - low) * eased(t, start, end)))

    at = complex(WIDTH / 2 + rng.normal(0, 15), HEIGHT / 2 + rng.normal(0, 10))
    body = Layer(sprite(rng, side), along([(start, at), (end, at + complex(*rng.normal(0, 5, 2)))], size))
    layers = [body]
    if rng.random() < 0.6:
        angle = float(rng.uniform(20, 160))
        limb = hand(rng, angle)
        arm = np.exp(1j * np.radians(angle)) * side * 0.3

        def follow(t: float) -> Pose:
            x, y, s, _ = body.path(t)
            return x + s * arm.real, y + s * arm.imag, s, 0.0

        layers.append(Layer(limb.picture, follow, limb.pivot))
    return scene(rng, moves, [f"thing_{way}"], layers, end + rng.uniform(0.3, 0.6))


def order(rng: np.random.Generator, moves: bool) -> Scene:
    """An object moves in one direction; after a pause it, or another one, moves in another direction."""
    first, second = (str(way) for way in rng.permutation(list(DIRECTIONS))[:2])
    one = rng.uniform(0.4, 0.6)
    two = one + rng.uniform(0.5, 0.9)
    three = two + rng.uniform(0.3, 0.6)
    four = three + rng.uniform(0.5, 0.9)
    far = rng.uniform(55, 85)
    s1, s2 = complex(*DIRECTIONS[first]) * far, complex(*DIRECTIONS[second]) * far
    truth = [f"thing_moves_{first}", f"thing_moves_{second}"]
    if rng.random() < 0.5:
        at = complex(WIDTH / 2, HEIGHT / 2) - (s1 + s2) / 2
        layers = [
            Layer(
                sprite(rng, rng.uniform(32, 56)),
                along([(one, at), (two, at + s1), (three, at + s1), (four, at + s1 + s2)]),
            )
        ]
    else:
        left, right = complex(WIDTH * 0.27, HEIGHT / 2), complex(WIDTH * 0.73, HEIGHT / 2)
        left, right = (left, right) if rng.random() < 0.5 else (right, left)
        layers = [
            Layer(sprite(rng, rng.uniform(30, 48)), along([(one, left - s1 / 2), (two, left + s1 / 2)])),
            Layer(sprite(rng, rng.uniform(30, 48)), along([(three, right - s2 / 2), (four, right + s2 / 2)])),
        ]
    return scene(rng, moves, truth, layers, four + rng.uniform(0.3, 0.6))


def count(rng: np.random.Generator, moves: bool) -> Scene:
    """An object, alone or in a hand, moves back and forth a known number of times."""
    times = int(rng.integers(1, 8))
    period = rng.uniform(0.4, 0.85)
    start = rng.uniform(0.3, 0.7)
    end = start + times * period
    half = rng.uniform(12, 30)
    way = np.exp(1j * rng.uniform(0, 2 * np.pi)) * half
    one_sided = rng.random() < 0.5
    at = complex(WIDTH / 2 + rng.normal(0, 15), HEIGHT / 2 + rng.normal(0, 10))

    def path(t: float) -> Pose:
        turns = 2 * np.pi * (np.clip(t, start, end) - start) / period
        z = at + way * ((1 - np.cos(turns)) if one_sided else np.sin(turns))
        return z.real, z.imag, 1.0, 0.0

    side = rng.uniform(36, 60)
    layers = [Layer(sprite(rng, side), path)]
    if rng.random() < 0.5:
        angle = float(rng.uniform(20, 160))
        limb = hand(rng, angle)
        grip = np.exp(1j * np.radians(angle)) * side * 0.3
        layers.append(
            Layer(limb.picture, lambda t: (path(t)[0] + grip.real, path(t)[1] + grip.imag, 1.0, 0.0), limb.pivot)
        )
    return scene(rng, moves, [str(times)], layers, end + rng.uniform(0.3, 0.6))


def contact(rng: np.random.Generator, moves: bool) -> Scene:
    """An object approaches another and pushes it, or passes it at a distance."""
    meets = rng.random() < 0.5
    side = rng.uniform(32, 50)
    step = complex(*DIRECTIONS[str(rng.choice(list(DIRECTIONS)))])
    start = rng.uniform(0.3, 0.6)
    hit = start + rng.uniform(0.5, 0.8)
    end = hit + rng.uniform(0.4, 0.7)
    middle = complex(WIDTH / 2, HEIGHT / 2)
    runway, push = (110, 55) if step.real else (75, 40)
    if meets:
        a, b = middle - step * (runway * 0.8 + side * 0.5), middle + step * (push - side * 0.5)
        one = along([(start, a), (end, b)])
        two = _pushed(one, a, b, step * side, (hit - start) / (end - start))
    else:
        offset = step * 1j * (side + rng.uniform(45, 60)) / 2
        one = along([(start, middle + offset - step * runway * 0.6), (end, middle + offset + step * runway * 0.4)])
        two = along([(start, middle - offset + step * 30), (end, middle - offset - step * 30)])
    layers = [Layer(plain_box(rng, side), one), Layer(plain_box(rng, side), two)]
    return scene(rng, moves, ["things_meet"] if meets else [], layers, end + rng.uniform(0.3, 0.6))


def _pushed(pusher: Trajectory, a: complex, b: complex, gap: complex, reach: float) -> Trajectory:
    """Trajectory of an object that is pushed, `gap` ahead, by one moving from a to b, after the fraction `reach`."""
    met = a + (b - a) * reach

    def path(t: float) -> Pose:
        x, y, _, _ = pusher(t)
        done = abs(complex(x, y) - a) / abs(b - a)
        z = (complex(x, y) if done > reach else met) + gap
        return z.real, z.imag, 1.0, 0.0

    return path


def handling(rng: np.random.Generator, moves: bool) -> Scene:
    """An object is lifted off the table by a hand, put down by one, or falls."""
    what = str(rng.choice(["thing_lifted", "thing_put_down", "thing_falls"]))
    side = rng.uniform(34, 58)
    x = WIDTH / 2 + rng.normal(0, 30)
    low, high = complex(x, HEIGHT * 0.72), complex(x + rng.normal(0, 10), HEIGHT * rng.uniform(0.2, 0.32))
    picture = sprite(rng, side)
    if what == "thing_falls":
        start = rng.uniform(0.5, 0.8)
        end = start + rng.uniform(0.25, 0.4)

        def falling(t: float) -> Pose:
            u = float(np.clip((t - start) / (end - start), 0, 1)) ** 2
            z = high + (low - high) * u
            return z.real, z.imag, 1.0, 0.0

        return scene(rng, moves, [what], [Layer(picture, falling)], end + rng.uniform(0.6, 0.9))
    start = rng.uniform(0.7, 0.9)
    end = start + rng.uniform(0.6, 1.1)
    angle = float(rng.uniform(-50, 230))
    arm = np.exp(1j * np.radians(angle))
    if abs(arm.real) < 0.5:
        arm = np.exp(1j * np.radians(angle + 50))
    grip, out = arm * side * 0.3, arm * rng.uniform(170, 210)
    limb = hand(rng, float(np.degrees(np.angle(arm))))
    if what == "thing_lifted":
        body = along([(start, low), (end, high)])
        path = along([(0.1, low + grip + out), (start - 0.1, low + grip), (start, low + grip), (end, high + grip)])
        last = end + rng.uniform(0.4, 0.6)
    else:
        body = along([(start, high), (end, low)])
        path = along(
            [(start, high + grip), (end, low + grip), (end + 0.15, low + grip), (end + 0.75, low + grip + out)]
        )
        last = end + rng.uniform(1.0, 1.3)
    return scene(rng, moves, [what], [Layer(picture, body), Layer(limb.picture, path, limb.pivot)], last)


def opening(rng: np.random.Generator, moves: bool) -> Scene:
    """Two panels, side by side or one above the other, open or close over what lies below."""
    what = str(rng.choice(["thing_opens", "thing_closes"]))
    side = rng.uniform(44, 70)
    step = complex(1, 0) if rng.random() < 0.5 else complex(0, 1)
    middle = complex(WIDTH / 2 + rng.normal(0, 10), HEIGHT / 2 + rng.normal(0, 8))
    apart = rng.uniform(0.35, 0.6) * side
    start = rng.uniform(0.5, 0.8)
    end = start + rng.uniform(0.5, 1.0)
    near, far = step * side / 2, step * (side / 2 + apart)
    a, b = (near, far) if what == "thing_opens" else (far, near)
    under = Layer(plain_box(rng, side), lambda t: (middle.real, middle.imag, 1.0, 0.0))
    leaves = [Layer(plain_box(rng, side), along([(start, middle + s * a), (end, middle + s * b)])) for s in (1, -1)]
    return scene(rng, moves, [what], [under, *leaves], end + rng.uniform(0.4, 0.7))


def camera_motion(rng: np.random.Generator, moves: bool) -> Scene:
    """The camera pans, tilts, zooms or only shakes; if `moves`, an object moves as well."""
    what = str(rng.choice(["turns_left", "turns_right", "turns_up", "turns_down", "nears", "recedes", "none"]))
    start = rng.uniform(0.2, 0.5)
    end = start + rng.uniform(0.9, 1.6)
    far = rng.uniform(0.22, 0.4)
    ways = {"turns_left": (1, 0), "turns_right": (-1, 0), "turns_up": (0, 1), "turns_down": (0, -1)}
    dx, dy = ways.get(what, (0, 0))
    growth = {"nears": rng.uniform(1.3, 1.7), "recedes": 1 / rng.uniform(1.3, 1.7)}.get(what, 1.0)
    shake = camera(rng, True)

    def path(t: float) -> Pose:
        u = eased(t, start, end)
        x, y, _, roll = (v - w for v, w in zip(shake(t), shake(0.0), strict=True))
        steady = 0.35
        return x * steady + dx * far * WIDTH * u, y * steady + dy * far * HEIGHT * u, growth**u, roll * steady

    layers = []
    if moves:
        at, step = complex(WIDTH / 2, HEIGHT / 2), complex(*DIRECTIONS[str(rng.choice(list(DIRECTIONS)))])
        layers = [Layer(sprite(rng, rng.uniform(35, 60)), along([(start, at - 25 * step), (end, at + 25 * step)]))]
    shot = scene(rng, False, [] if what == "none" else [f"camera_{what}"], layers, end + 0.4)
    return replace(shot, camera=path)


SCENARIOS: Final[dict[str, Callable[[np.random.Generator, bool], Scene]]] = {
    "direction": direction,
    "order": order,
    "count": count,
    "contact": contact,
    "handling": handling,
    "opening": opening,
    "camera": camera_motion,
}
"""Name to scenario. The second argument: whether the camera moves; in `camera`, whether an object moves as well."""
