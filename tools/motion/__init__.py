"""Movement over time: which motion primitives show, how clearly, when, and in which order.

What people do is measured from their poses, what things and the camera do from points followed through the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Final

import numpy as np

from ..primitives import PRIMITIVES
from ..video.reader import Frames
from ..vision.pose import Poses
from .body import Body, bodies
from .camera import Camera, camera_of, measure_camera, shaking
from .events import Event, events_of, reaches_out
from .face import face_motion
from .flow import Flow, follow, working_pictures
from .pair import measure_pair
from .people import on_people, whole_people
from .person import DENSE, Measures, body_rhythm, measure_person, net_velocity, steps_per_second
from .report import SEEN, Motion, Observed, read_motion
from .signal import Measure, Rhythm
from .things import Thing, things_of

__all__ = ["SEEN", "Motion", "Observed", "measure_motion", "read_motion"]

STILL: Final = 0.02
"""Shift of the scene, in long sides of the picture, below which the camera counts as still."""
LEAST_POINTS: Final = 12
"""Points followed at a time, on average, from which a picture shows enough to tell what things do."""
BESIDE_PEOPLE: Final = 0.5
"""Support of what things do where whole people are in view: what lies on none of them is often one not found."""
MOST_REPEATS: Final = 4
OF_THINGS: Final = tuple(name for name in PRIMITIVES if name.split("_")[0] in ("thing", "things"))
Gathered = dict[str, list[tuple[float, Measure, int, int]]]


def measure_motion(poses: Poses, frames: Frames, fine: Frames | None = None) -> Motion:
    """Measure every motion primitive.

    Args:
        poses: Who was found, with identities, in these frames.
        frames: The frames themselves: for what faces do.
        fine: The same span in frames that lie nearer in time and may be small, for cuts, the camera and things; None
            is `frames`.
    """
    fine = fine or frames
    flow = follow(working_pictures(fine))
    camera = camera_of(flow, on_people(flow, fine, poses))
    shift, shots = _at_frames(camera, flow, fine, frames)
    seconds = max(float(frames.times[-1] - frames.times[0]), 1e-6)
    if np.abs(shift).max(initial=0.0) < STILL * max(poses.size):
        shift = np.zeros_like(shift)
    found = bodies(poses, shift, shots)
    gathered = _of_people(found, poses, frames, shift)
    things: list[Thing] = []
    events: list[Event] = []
    rhythms: list[Rhythm | None] = []
    if _shows_things(flow, fine):
        hidden = whole_people(flow, fine, poses)
        things = things_of(flow, camera, fine.times, hidden)
        events, rhythms = events_of(things, BESIDE_PEOPLE if hidden.any(axis=0).mean() > 0.5 else 1.0)
        gathered |= _of_things(events, fine) | {
            name: [(1.0, measure, 0, 0)] for name, measure in measure_camera(camera, flow, fine.times).items()
        }
    best = {name: _combined(gathered[name]) for name in PRIMITIVES if name in gathered}
    seen = [event for event in events if event.measure.support >= SEEN]
    return Motion(
        times=frames.times,
        primitives=np.array(list(best), dtype="U32"),
        support=np.array([m.support for m, _, _ in best.values()], float),
        spans=np.array([(m.start, m.end) for m, _, _ in best.values()], float).reshape(-1, 2),
        actors=np.array([(one, other) for _, one, other in best.values()], int).reshape(-1, 2),
        people=np.array([_person_row(body) for body in _by_presence(found)], float).reshape(-1, 8),
        camera=shift[-1] / seconds if not shots.any() else np.zeros(2),
        cuts=frames.times[1:][np.diff(shots) > 0],
        shake=np.array(shaking(camera, flow, fine.times)),
        things=np.array([_thing_row(thing) for thing in things], float).reshape(-1, 8),
        repeats=np.array(_repeats(rhythms, found), float).reshape(-1, 6),
        order=np.array([event.name for event in seen], dtype="U32"),
        order_times=np.array([event.measure.start for event in seen], float),
    )


def _of_people(found: list[Body], poses: Poses, frames: Frames, shift: np.ndarray) -> Gathered:
    weights = _prominence(found)
    gathered: Gathered = {}
    for body, weight in zip(found, weights, strict=True):
        measures = measure_person(body, float(poses.size[1]))
        if body.step <= DENSE:
            measures["face_motion"] = face_motion(body, frames, shift)
        _gather(gathered, measures, weight, body.track, 0)
    for (one, first), (other, second) in combinations(zip(found, weights, strict=True), 2):
        _gather(gathered, measure_pair(one, other), min(first, second), one.track, other.track)
    return gathered


def _of_things(events: list[Event], fine: Frames) -> Gathered:
    """Every primitive of things was looked for: what no event shows was not seen."""
    nothing = Measure(0.0, float(fine.times[0]), float(fine.times[-1]))
    gathered: Gathered = {name: [(1.0, nothing, 0, 0)] for name in OF_THINGS}
    for event in events:
        # What two things do, and what one does, is as clear as it ever was.
        if event.measure.support > gathered[event.name][0][1].support:
            gathered[event.name] = [(1.0, event.measure, event.thing, event.other)]
    return gathered


def _shows_things(flow: Flow, fine: Frames) -> bool:
    """Whether frames are near enough in time, and show enough texture, to tell what things do."""
    near = len(fine) > 3 and float(np.median(np.diff(fine.times))) <= DENSE
    return near and float(np.isfinite(flow.points.real).sum(axis=0).mean()) >= LEAST_POINTS


def _at_frames(camera: Camera, flow: Flow, fine: Frames, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """(frames, 2) original pixels by which the scene has shifted since the shot began, and (frames,) the shot."""
    at = np.clip(np.searchsorted(fine.times, frames.times + 1e-6, side="right") - 1, 0, len(fine) - 1)
    to_original = np.array(fine.images.shape[2:0:-1]) / flow.size / fine.scale
    shift = camera.shift[at]
    return np.stack([shift.real, shift.imag], axis=1) * to_original, flow.shots[at]


def _thing_row(thing: Thing) -> tuple[float, ...]:
    way = thing.path[-1] - thing.path[0]
    return (
        *thing.times[[0, -1]],
        way.real,
        way.imag,
        thing.growth[-1],
        float(np.degrees(thing.angle[-1])),
        float(reaches_out(thing)),
        thing.went,
    )


def _repeats(rhythms: list[Rhythm | None], found: list[Body]) -> list[tuple[float, ...]]:
    rows = [(0.0, k + 1.0, rhythm) for k, rhythm in enumerate(rhythms) if rhythm and (not k or rhythm.count > 1)]
    rows += [(1.0, body.track, rhythm) for body in _by_presence(found) if (rhythm := body_rhythm(body))]
    return [(kind, number, float(r.count), r.period, r.start, r.end) for kind, number, r in rows[:MOST_REPEATS]]


def _gather(into: Gathered, measures: Measures, weight: float, one: int, other: int) -> None:
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
