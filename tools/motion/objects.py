"""Objects that move by themselves: groups of points, and their displacement, growth and rotation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ..execution.cancellation import check_cancelled
from .camera import Camera
from .flow import CELL, Flow
from .similarity import as_one, factor_of, fit_similarity

FAR: Final = 2.5
"""Working pixels a point must move, camera motion removed, to count as moving."""
DRIFT: Final = 0.02
"""Additional threshold per pixel of camera motion, since no lens follows a similarity exactly."""
MOST_POINTS: Final = 320
"""Most moving points that are compared with each other: those that move furthest and longest."""
DIFFER: Final = 0.8
"""Difference of velocities, in working pixels per frame, from which two points move differently."""
QUARREL: Final = 0.2
"""Proportion of disagreement from which a point does not belong to a group."""
NEAR: Final = 3.0 * CELL
"""Working pixels within which points may belong to one object."""
AS_ONE: Final = 0.3
"""Largest residual of a shared similarity, as a proportion of squared motion; two leaves of a door leave half."""
GAP: Final = 1.8 * CELL
"""Largest distance between parts of one object, in working pixels."""
LAG: Final = 6
"""Frames over which parts are compared: between two frames positions are too imprecise."""
APART: Final = 0.03
"""Smallest distance, in long sides, of two points that measure growth."""
CLOSE: Final = 0.003
"""Largest residual, in long sides, of a point that measures growth."""
JUMP: Final = 5.0
"""Working pixels in one step that count as a jump if all other steps together are less than half of it."""
MOST_PARTS: Final = 10
LEAST_POINTS: Final = 3
MOST_THINGS: Final = 6


@dataclass(frozen=True)
class MovingObject:
    """A moving object. Lengths are in long sides of the image, camera motion removed."""

    index: np.ndarray
    """(k,) int: indices of the frames in which it was tracked, without gaps."""
    times: np.ndarray
    """(k,) seconds."""
    path: np.ndarray
    """(k,) complex: its centre, x + iy from the centre of the image, y downwards."""
    growth: np.ndarray
    """(k,) natural logarithm of its size, from 0."""
    angle: np.ndarray
    """(k,) radians of clockwise rotation in the image, from 0."""
    spread: float
    """Half its width, roughly."""
    points: np.ndarray
    """(members, k) complex: its points, NaN where not tracked."""
    rim: np.ndarray
    """(k,) float: distance to the image border, in long sides."""

    @property
    def went(self) -> float:
        """Length of its path."""
        return float(np.abs(np.diff(self.path)).sum())


def objects_of(flow: Flow, camera: Camera, times: np.ndarray, hidden: np.ndarray) -> list[MovingObject]:
    """Everything that moves by itself, the most salient first.

    Args:
        flow: Points tracked.
        camera: What the camera did.
        times: (frames,) seconds.
        hidden: (points, frames) bool: points to leave out, such as those on people who move as a whole.
    """
    steady = camera.steady(flow.points.astype(complex))
    steady[hidden] = np.nan
    moving = _moving(steady, camera)
    if len(moving) < LEAST_POINTS:
        return []
    groups = _regrouped(_groups(steady[moving]), steady[moving])
    grown = as_one(steady[moving])
    if grown.sum() >= LEAST_POINTS:
        groups[grown] = groups.max(initial=-1) + 1
    side = max(flow.size)
    found = [
        obj for g in np.unique(groups[groups >= 0]) if (obj := _thing(moving[groups == g], steady, flow, times, side))
    ]
    return sorted(found, key=lambda obj: -_salience(obj))[:MOST_THINGS]


def _salience(obj: MovingObject) -> float:
    return float(min(obj.went, 1.0) * np.sqrt(len(obj.points)) * (0.02 + obj.spread))


def _moving(steady: np.ndarray, camera: Camera) -> np.ndarray:
    """Indices of the points that move far enough, at most `MOST_POINTS`."""
    seen = np.isfinite(steady.real)
    enough = np.flatnonzero(seen.sum(axis=1) >= 3)
    some = steady[enough]
    first = some[np.arange(len(some)), seen[enough].argmax(axis=1)]
    away = np.nan_to_num(np.abs(some - first[:, None]), nan=0.0)
    carried = np.abs(camera.shift - camera.shift[0]) + 60 * np.abs(np.log(np.abs(camera.turn)))
    far = (away - FAR - DRIFT * carried).max(axis=1, initial=0.0)
    far[_jumped(some)] = 0
    moving = enough[far > 0]
    weight = far[far > 0] * np.sqrt(seen[moving].sum(axis=1))
    return np.sort(moving[np.argsort(-weight)[:MOST_POINTS]])


def _jumped(paths: np.ndarray) -> np.ndarray:
    """(n,) bool: points that rest, jump within one frame and rest again: mismatched while an object passed."""
    steps = np.nan_to_num(np.abs(np.diff(paths, axis=1)), nan=0.0)
    largest = steps.max(axis=1, initial=0.0)
    return np.asarray(
        (largest > JUMP) & (largest > 0.7 * steps.sum(axis=1)) & (np.isfinite(paths.real).sum(axis=1) > 6)
    )


def _groups(paths: np.ndarray) -> np.ndarray:
    """(n,) int: group of each point; -1 for points that move alone.

    Points are taken in the order of how long they were seen. Each joins the group it is most tied to, unless it goes
    its own way from much of that group: so a hand and what it held for a while stay apart.
    """
    tie, against, close = _together(paths)
    near = np.where(close, tie, 0.0)

    def quarrel(one: list[int], other: list[int]) -> float:
        cross = np.ix_(one, other)
        return float(against[cross].sum() / max(against[cross].sum() + tie[cross].sum(), 1e-9))

    order = np.argsort(-np.isfinite(paths.real).sum(axis=1), kind="stable")
    groups: list[list[int]] = []
    for k in order:
        check_cancelled()
        ties = [float(near[k, g].sum()) if quarrel([int(k)], g) < QUARREL else 0.0 for g in groups]
        if ties and max(ties) > 0:
            groups[int(np.argmax(ties))].append(int(k))
        else:
            groups.append([int(k)])
    label = np.full(len(paths), -1)
    for number, members in enumerate(_merged(groups, near, quarrel)):
        if len(members) >= LEAST_POINTS:
            label[members] = number
    return label


def _merged(
    groups: list[list[int]], near: np.ndarray, quarrel: Callable[[list[int], list[int]], float]
) -> list[list[int]]:
    """Neighbouring groups that hardly disagree, merged."""
    done: list[list[int]] = []
    for group in sorted(groups, key=len, reverse=True):
        for other in done:
            if near[np.ix_(group, other)].any() and quarrel(group, other) < QUARREL / 2:
                other.extend(group)
                break
        else:
            done.append(list(group))
    return done


def _regrouped(groups: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """Groups merged if they grow, shrink or rotate as one: parts of an approaching object move apart."""
    groups = groups.copy()
    sizes = np.bincount(groups[groups >= 0], minlength=1)
    labels = [int(g) for g in np.argsort(-sizes)[:MOST_PARTS] if sizes[g]]
    for k, one in enumerate(labels):
        for other in labels[k + 1 :]:
            if (groups == other).any() and _as_one(paths[groups == one], paths[groups == other]):
                groups[groups == other] = one
    return groups


def _as_one(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether one similarity per step explains the points of both groups."""
    both = np.concatenate([one, other])
    moved, rest, gap = 0.0, 0.0, 0.0
    for k in range(LAG, both.shape[1]):
        check_cancelled()
        here = np.isfinite(both[:, k].real) & np.isfinite(both[:, k - LAG].real)
        if here[: len(one)].sum() < 2 or here[len(one) :].sum() < 2:
            continue
        split = int(here[: len(one)].sum())
        z, d = both[here, k - LAG], both[here, k] - both[here, k - LAG]
        gap = max(gap, float(np.abs(z[:split, None] - z[None, split:]).min()))
        scale, shift = fit_similarity(z, d)
        moved += float((np.abs(d - d.mean()) ** 2).sum())
        rest += float((np.abs(d - scale * z - shift) ** 2).sum())
    return bool(moved > 0 and rest < AS_ONE * moved and gap < GAP)


def _together(paths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, n) each: how long two points move, if alike; the same if not; whether they come close."""
    speed = np.diff(paths, axis=1)
    count, against, near = (np.zeros((len(paths), len(paths))) for _ in range(3))
    for k in range(speed.shape[1]):
        check_cancelled()
        # Positions are known to a fraction of a pixel: over two steps motion exceeds the error.
        v = (
            speed[:, k]
            if k == 0
            else np.where(np.isfinite(speed[:, k - 1].real), (speed[:, k] + speed[:, k - 1]) / 2, speed[:, k])
        )
        here = np.flatnonzero(np.isfinite(v.real))
        v, z = v[here], paths[here, k + 1]
        size = np.maximum(np.abs(v)[:, None], np.abs(v)[None])
        apart = np.abs(z[:, None] - z[None])
        differ = np.abs(v[:, None] - v[None]) - 0.3 * np.maximum(np.abs(v)[:, None], np.abs(v)[None])
        at = np.ix_(here, here)
        # Parts of an object that rotates or grows differ more the further apart they are.
        against[at] = np.maximum(against[at], differ - 0.02 * apart)
        near[at] = np.maximum(near[at], NEAR - apart)
        count[at] += 0.2 + np.minimum(1.0, size)
    alike = against < DIFFER
    return np.where(alike, count, 0.0), np.where(alike, 0.0, count), near > 0


def _thing(members: np.ndarray, steady: np.ndarray, flow: Flow, times: np.ndarray, side: int) -> MovingObject | None:
    """One object from its points; None if no two of them are tracked through a step."""
    points = steady[members] / side
    seen = np.isfinite(points.real)
    frames = np.flatnonzero(seen.any(axis=0))
    index = np.arange(frames[0], frames[-1] + 1)
    points, seen = points[:, index], seen[:, index]
    step, factor = np.zeros(len(index), complex), np.ones(len(index), complex)
    for k in range(1, len(index)):
        both = seen[:, k] & seen[:, k - 1]
        # A single point may have been dragged along by an object passing over it.
        if both.sum() > 1:
            step[k], factor[k] = _step(points[both, k - 1], points[both, k])
    anchor = int(seen.sum(axis=0).argmax())
    path = np.cumsum(step)
    path += (
        np.median(points[seen[:, anchor], anchor].real)
        + 1j * np.median(points[seen[:, anchor], anchor].imag)
        - path[anchor]
    )
    spread = np.median(
        [
            np.abs(points[seen[:, k], k] - points[seen[:, k], k].mean()).mean()
            for k in range(len(index))
            if seen[:, k].sum() > 1
        ]
        or [0.0]
    )
    filmed = flow.points[members][:, index]
    half = np.array(flow.size) / 2
    away = np.fmin(half[0] - np.abs(filmed.real), half[1] - np.abs(filmed.imag)) / side
    rim = np.where(seen.any(axis=0), np.nanmin(np.where(seen, away, np.inf), axis=0), np.inf)
    growth = np.cumsum(np.log(np.abs(factor)))
    return MovingObject(index, times[index], path, growth, np.cumsum(np.angle(factor)), float(spread), points, rim)


def _step(z: np.ndarray, moved: np.ndarray) -> tuple[complex, complex]:
    """Motion of points in one step: median shift, and complex factor of scale and rotation."""
    d = moved - z
    shift = complex(np.median(d.real), np.median(d.imag))
    factor = factor_of(z, moved, APART, CLOSE)
    return shift, factor if factor and 0.8 < abs(factor) < 1.25 else 1 + 0j
