"""Movement over time, measured from poses: which motion primitives show, how clearly, when, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from ..pose import Poses
from ..primitives import PRIMITIVES
from ..video import Frames
from .body import Body, bodies
from .pair import measure_pair
from .person import DENSE, Measures, measure_person, net_velocity, steps_per_second
from .scene import camera_path, face_motion
from .signal import Measure

SEEN: Final = 0.3
"""Support from which a primitive is reported as seen."""
STILL: Final = 0.02
"""Shift of the scene, in long sides of the picture, below which the camera counts as still."""
NAMED: Final = 8
"""Most people a summary describes one by one."""
_LINE: Final = re.compile(r"^- (\w+) ([01]\.\d\d), ([\d.]+) to ([\d.]+) s", re.MULTILINE)
_UNSEEN: Final = re.compile(r"^NOT SEEN: ([\w, ]*)$", re.MULTILINE)


@dataclass(frozen=True)
class Motion:
    """The movement in a clip.

    Primitives are those of `tools.primitives`; one that could not be measured (legs out of view, frames too far apart)
    is absent, which says nothing, while one with support 0 was looked for and not seen.
    """

    times: np.ndarray
    """(frames,) float64 seconds at which was looked."""
    primitives: np.ndarray
    """(measured,) str."""
    support: np.ndarray
    """(measured,) float, 0..1."""
    spans: np.ndarray
    """(measured, 2) float, seconds from and to which each showed most."""
    actors: np.ndarray
    """(measured, 2) int, the person and the other person who showed it most clearly; 0 where there is none."""
    people: np.ndarray
    """(people, 8) float: identity, first and last second, net speed right and down in body heights per second, median
    trunk angle from upright and median knee angle in degrees (NaN unseen), steps per second (NaN unseen)."""
    camera: np.ndarray
    """(2,) float, pixels per second by which the scene drifts, right and down."""
    cuts: np.ndarray
    """(cuts,) float, seconds at which the film cuts."""

    def __post_init__(self) -> None:
        count = len(self.primitives)
        shapes = {"support": (count,), "spans": (count, 2), "actors": (count, 2)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not {shape}")

    def summary(self) -> str:
        """What moved, in words and numbers with times; `read_motion` reads the lists back."""
        order = np.argsort(-self.support, kind="stable")
        seen = [k for k in order if self.support[k] >= SEEN]
        lines = [self._setting(), *(_person_line(row) for row in self.people[:NAMED])]
        if len(self.people) > NAMED:
            lines.append(f"{len(self.people) - NAMED} more people, seen more briefly.")
        lines.append("OBSERVED, with support from 0 to 1:" if seen else "OBSERVED: nothing that a pose shows.")
        lines += [self._observed_line(k) for k in seen]
        unseen = [str(self.primitives[k]) for k in range(len(self.primitives)) if self.support[k] < SEEN]
        missing = [name for name in PRIMITIVES if name not in set(self.primitives)]
        lines.append(f"NOT SEEN: {', '.join(unseen)}")
        if missing:
            lines.append(
                f"NOT MEASURED (out of view, nobody to compare with, or frames too far apart): {', '.join(missing)}"
            )
        starts = sorted((float(self.spans[k, 0]), str(self.primitives[k])) for k in seen)
        if len({start for start, _ in starts}) > 1:
            lines.append("ORDER: " + ", then ".join(f"{name} at {start:.1f} s" for start, name in starts))
        return "\n".join(lines)

    def _setting(self) -> str:
        drift = float(np.hypot(*self.camera))
        camera = "The camera is still." if not drift else f"The scene drifts at {drift:.0f} pixels/s: the camera moves."
        cuts = f" The film cuts at {', '.join(f'{t:.1f}' for t in self.cuts[:10])} s." if len(self.cuts) else ""
        gap = float(np.median(np.diff(self.times))) if len(self.times) > 1 else 0.0
        thin = (
            f" Frames are {gap:.1f} s apart, too far to measure movement; ask for a shorter span."
            if gap > DENSE
            else ""
        )
        people = "1 person" if len(self.people) == 1 else f"{len(self.people)} people"
        when = f"from {self.times[0]:.1f} to {self.times[-1]:.1f} s in {len(self.times)} frames"
        return f"{people} {when}. {camera}{cuts}{thin}"

    def _observed_line(self, k: int) -> str:
        name = str(self.primitives[k])
        one, other = (int(v) for v in self.actors[k])
        who = f"person {one} with person {other}" if other else f"person {one}"
        return (
            f"- {name} {self.support[k]:.2f}, {self.spans[k, 0]:.1f} to {self.spans[k, 1]:.1f} s, {who}: "
            f"{PRIMITIVES[name]}"
        )


@dataclass(frozen=True)
class Observed:
    """What a motion summary says."""

    support: Mapping[str, float]
    """Primitive to support, those seen only."""
    measured: tuple[str, ...]
    """Primitives that were looked for, seen or not."""


def read_motion(text: str) -> Observed:
    """Read a motion summary, alone or inside a longer text; nothing measured where there is none."""
    if "OBSERVED" not in text:
        return Observed({}, ())
    support = {name: float(value) for name, value, _, _ in _LINE.findall(text) if name in PRIMITIVES}
    unseen = [name for names in _UNSEEN.findall(text) for name in names.split(", ") if name in PRIMITIVES]
    return Observed(support, tuple(dict.fromkeys([*support, *unseen])))


def measure_motion(poses: Poses, frames: Frames) -> Motion:
    """Measure every motion primitive.

    Args:
        poses: Who was found, with identities, in these frames.
        frames: The frames themselves: for the camera's movement, cuts, and what faces do.
    """
    covered = _covered(poses)
    camera, shots = camera_path(frames, covered)
    seconds = max(float(frames.times[-1] - frames.times[0]), 1e-6) if len(frames.times) else 1.0
    if np.abs(camera).max(initial=0.0) < STILL * max(poses.size):
        camera = np.zeros_like(camera)
    found = bodies(poses, camera, shots)
    weights = _prominence(found)
    gathered: dict[str, list[tuple[float, Measure, int, int]]] = {}
    for body, weight in zip(found, weights, strict=True):
        measures = measure_person(body, float(poses.size[1]))
        if body.step <= DENSE:
            measures["face_motion"] = face_motion(body, frames, camera)
        _gather(gathered, measures, weight, body.track, 0)
    for (one, first), (other, second) in combinations(zip(found, weights, strict=True), 2):
        _gather(gathered, measure_pair(one, other), min(first, second), one.track, other.track)
    best = {name: _combined(gathered[name]) for name in PRIMITIVES if name in gathered}
    return Motion(
        times=frames.times,
        primitives=np.array(list(best), dtype="U32"),
        support=np.array([m.support for m, _, _ in best.values()], float),
        spans=np.array([(m.start, m.end) for m, _, _ in best.values()], float).reshape(-1, 2),
        actors=np.array([(one, other) for _, one, other in best.values()], int).reshape(-1, 2),
        people=np.array([_person_row(body) for body in _by_presence(found)], float).reshape(-1, 8),
        camera=camera[-1] / seconds if len(camera) and not shots.any() else np.zeros(2),
        cuts=frames.times[1:][np.diff(shots) > 0],
    )


def _gather(
    into: dict[str, list[tuple[float, Measure, int, int]]], measures: Measures, weight: float, one: int, other: int
) -> None:
    for name, measure in measures.items():
        if measure is not None and np.isfinite(measure.support):
            into.setdefault(name, []).append((weight, measure, one, other))


def _combined(found: list[tuple[float, Measure, int, int]]) -> tuple[Measure, int, int]:
    """One support for the clip, every actor counting by prominence.

    The clearest pair's; of single people, halfway between the clearest and the average, since the one lets a crowd's
    noise through and the other loses one actor in it.
    """
    weight, clearest, one, other = max(found, key=lambda item: item[0] * item[1].support)
    support = weight * clearest.support
    if not other:
        average = sum(item[0] * item[1].support for item in found) / max(sum(item[0] for item in found), 1e-9)
        support = (support + average) / 2
    return Measure(support, clearest.start, clearest.end), one, other


def _prominence(found: list[Body]) -> list[float]:
    """0..1 for each body: long in view and large counts most."""
    if not found:
        return []
    longest = max(len(body.times) for body in found)
    tallest = max(float(np.median(body.height)) for body in found)
    return [
        float(min(1.0, 2 * len(body.times) / longest) * min(1.0, 2 * np.median(body.height) / tallest))
        for body in found
    ]


def _covered(poses: Poses) -> np.ndarray:
    width, height = poses.size
    boxes = np.clip(poses.boxes, 0, [width, height, width, height])
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (width * height)
    return np.minimum(1.0, np.bincount(poses.frame, weights=area, minlength=len(poses.times)))


def _by_presence(found: Iterable[Body]) -> list[Body]:
    return sorted(found, key=lambda body: -len(body.times))


def _person_row(body: Body) -> tuple[float, ...]:
    def median(values: np.ndarray) -> float:
        known = values[np.isfinite(values)]
        return float(np.median(known)) if len(known) else float("nan")

    knees = body.knees()
    steps = (
        steps_per_second(body) if body.step <= DENSE and np.isfinite(knees).all(axis=1).mean() > 0.3 else float("nan")
    )
    return (body.track, *body.times[[0, -1]], *net_velocity(body), median(body.trunk()), median(knees), steps)


def _person_line(row: np.ndarray) -> str:
    track, first, last, right, down, trunk, knees, steps = (float(value) for value in row)
    speed = float(np.hypot(right, down))
    ways = [w for w, far in (("right", right), ("left", -right), ("down", down), ("up", -down)) if far > 0.4 * speed]
    moves = f"moves {' and '.join(ways)} at {speed:.1f} body heights/s" if speed >= 0.1 else "stays in place"
    said = [moves]
    if np.isfinite(trunk):
        said.append(f"trunk {trunk:.0f} degrees from upright")
    said.append(f"knees at {knees:.0f} degrees" if np.isfinite(knees) else "knees out of view")
    if np.isfinite(steps) and steps >= 0.5:
        said.append(f"{steps:.1f} steps/s")
    return f"Person {track:.0f}, {first:.1f} to {last:.1f} s: {', '.join(said)}."
