"""What was measured of the movement in a clip, as arrays and as text, and the text read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ..primitives import PRIMITIVES
from .person import DENSE

SEEN: Final = 0.3
"""Support from which a primitive is reported as seen."""
NAMED: Final = 8
"""Most people a summary describes one by one."""
NAMED_THINGS: Final = 4
"""Most things a summary describes one by one."""
NAMED_EVENTS: Final = 16
"""Most entries of the order of events."""
_LINE: Final = re.compile(r"^- (\w+) ([01]\.\d\d), (\d{1,9}\.\d) to (\d{1,9}\.\d) s", re.MULTILINE)
_UNSEEN: Final = re.compile(r"^NOT SEEN: ([\w, ]*)$", re.MULTILINE)
_ORDER: Final = re.compile(r"^ORDER: (.*)$", re.MULTILINE)
_AT: Final = re.compile(r"(\w+) at (\d{1,9}\.\d) s")
_REPEATED: Final = re.compile(r"^REPEATED: (.*)$", re.MULTILINE)
_TIMES: Final = re.compile(r"(thing|person) (\d+), (\d+) times?")
_CAMERA: Final = {
    "camera_turns_left": "turns left",
    "camera_turns_right": "turns right",
    "camera_turns_up": "turns up",
    "camera_turns_down": "turns down",
    "camera_nears": "goes nearer or zooms in",
    "camera_recedes": "goes away or zooms out",
}


def _none(*shape: int) -> np.ndarray:
    empty: np.ndarray = field(default_factory=lambda: np.zeros(shape))
    return empty


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

    shake: np.ndarray = _none()
    """() float, 0..1: how much the camera shakes."""
    things: np.ndarray = _none(0, 8)
    """(things, 8) float, most salient first: first and last second, way right and down in long sides of the picture,
    the camera's movement taken out, natural logarithm of growth, degrees turned clockwise, 1 where it reaches out of
    the picture as an arm does, length of the way there and back."""
    repeats: np.ndarray = _none(0, 6)
    """(repeats, 6) float: 0 for a thing or 1 for a person, its number, how many times, seconds for once, first and last
    second."""
    order: np.ndarray = field(default_factory=lambda: np.zeros(0, "U32"))
    """(events,) str: the primitives seen of things, in order of their start; one may come several times."""
    order_times: np.ndarray = _none(0)
    """(events,) float, seconds at which each began."""

    def __post_init__(self) -> None:
        count = len(self.primitives)
        shapes = {"support": (count,), "spans": (count, 2), "actors": (count, 2), "order_times": self.order.shape}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape}, not {shape}")

    def summary(self) -> str:
        """What moved, in words and numbers with times; `read_motion` reads the lists back."""
        seen = [k for k in np.argsort(-self.support, kind="stable") if self.support[k] >= SEEN]
        lines = [self._setting(), *(_person_line(row) for row in self.people[:NAMED])]
        if len(self.people) > NAMED:
            lines.append(f"{len(self.people) - NAMED} more people, seen more briefly.")
        told = {int(t) for k in seen if str(self.primitives[k]).startswith("thing") for t in self.actors[k]}
        lines += [
            _thing_line(k, self.things[k - 1]) for k in sorted(told - {0})[:NAMED_THINGS] if k <= len(self.things)
        ]
        lines.append(
            "OBSERVED, with support from 0 to 1:"
            if seen
            else "OBSERVED: nothing that moves as poses or points followed would show."
        )
        lines += [self._observed_line(k) for k in seen]
        unseen = [str(self.primitives[k]) for k in range(len(self.primitives)) if self.support[k] < SEEN]
        missing = [name for name in PRIMITIVES if name not in set(self.primitives)]
        lines.append(f"NOT SEEN: {', '.join(unseen)}")
        if missing:
            lines.append(
                f"NOT MEASURED (out of view, nobody to compare with, or frames too far apart): {', '.join(missing)}"
            )
        if len(self.repeats):
            lines.append("REPEATED: " + "; ".join(_repeat(row) for row in self.repeats))
        if order := self._in_order(seen):
            lines.append("ORDER: " + ", then ".join(f"{name} at {start:.1f} s" for start, name in order))
        return "\n".join(lines)

    def _in_order(self, seen: Iterable[int]) -> list[tuple[float, str]]:
        """What began when: events of things, each primitive of people once; empty where all began at once."""
        told = set(self.order.tolist())
        starts = [(float(self.spans[k, 0]), name) for k in seen if (name := str(self.primitives[k])) not in told]
        starts += [(float(t), str(name)) for t, name in zip(self.order_times, self.order, strict=True)]
        return sorted(starts)[:NAMED_EVENTS] if len({start for start, _ in starts}) > 1 else []

    def _setting(self) -> str:
        drift = float(np.hypot(*self.camera))
        camera = "The camera is still." if not drift else f"The scene drifts at {drift:.0f} pixels/s: the camera moves."
        shown = {str(self.primitives[k]) for k in range(len(self.primitives)) if self.support[k] >= SEEN}
        words = [word for name, word in _CAMERA.items() if name in shown] + ["shakes"] * bool(self.shake >= SEEN)
        if words:
            camera = f"The camera {' and '.join(words)}."
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
        kind = name.split("_")[0]
        sort = "thing" if kind in ("thing", "things") else "person"
        who = f"{sort} {one} with {sort} {other}" if other else f"{sort} {one}" if one else kind
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
    order: tuple[tuple[str, float], ...] = ()
    """Primitives seen and the seconds at which they began, in order; one may come several times."""
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Primitive to the seconds from and to which it showed most, those seen only."""
    repeats: tuple[tuple[str, int], ...] = ()
    """Who or what went to and fro, such as `thing 1`, and how many times; the most salient first."""


def read_motion(text: str) -> Observed:
    """Read a motion summary, alone or inside a longer text; nothing measured where there is none."""
    if "OBSERVED" not in text:
        return Observed({}, ())
    lines = [found for found in _LINE.findall(text) if found[0] in PRIMITIVES]
    support = {name: min(1.0, float(value)) for name, value, _, _ in lines}
    unseen = [name for names in _UNSEEN.findall(text) for name in names.split(", ") if name in PRIMITIVES]
    orders, repeats = ("\n".join(pattern.findall(text)) for pattern in (_ORDER, _REPEATED))
    return Observed(
        support,
        tuple(dict.fromkeys([*support, *unseen])),
        tuple((name, float(at)) for name, at in _AT.findall(orders) if name in PRIMITIVES),
        {name: (float(start), float(end)) for name, _, start, end in lines},
        tuple((f"{sort} {number}", int(times)) for sort, number, times in _TIMES.findall(repeats)),
    )


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


def _thing_line(number: int, row: np.ndarray) -> str:
    first, last, right, down, growth, turned, out, went = (float(value) for value in row)
    far = float(np.hypot(right, down))
    ways = [w for w, way in (("right", right), ("left", -right), ("down", down), ("up", -down)) if way > 0.4 * far]
    said = [f"ends {far:.2f} {' and '.join(ways)} of where it began" if far >= 0.03 else "ends where it began"]
    if went > 1.5 * far + 0.05:
        said.append(f"on a way of {went:.2f}")
    if abs(growth) > 0.12:
        said.append(f"{np.exp(growth):.1f} times its size at first")
    if abs(turned) > 15:
        said.append(f"turned by {abs(turned):.0f} degrees")
    if out:
        said.append("reaches out of the picture, as an arm does")
    return f"Thing {number}, {first:.1f} to {last:.1f} s: {', '.join(said)} (lengths in long sides of the picture)."


def _repeat(row: np.ndarray) -> str:
    kind, number, times, period, first, last = (float(value) for value in row)
    often = f"{times:.0f} time{'s' if times > 1 else ''}"
    return f"{'person' if kind else 'thing'} {number:.0f}, {often}, {period:.2f} s each, {first:.1f} to {last:.1f} s"
