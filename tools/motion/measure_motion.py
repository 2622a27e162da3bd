"""Measures the motion primitives of a clip from the poses of people and from points tracked through its frames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np

from ..execution.cancellation import check_cancelled
from ..motion_primitives import OBSERVED, PRIMITIVES
from ..video.reader import Frames
from ..vision.hands import Hands
from ..vision.pose import Poses
from .body import Body, bodies
from .camera import Camera, camera_of, measure_camera, shaking
from .events import Event, events_of, reaches_out
from .face import face_motion
from .flow import Flow, follow
from .gait import net_velocity, steps_per_second
from .hands import measure_hands
from .motion_result import MeasuredPrimitive, Motion, ObjectEvent, ObjectMotion, PersonMotion, Repetition
from .objects import MovingObject, objects_of
from .pair import measure_pair
from .people import on_people, whole_people
from .person import measure_person
from .pyramid import working_images
from .repetition import BodyRhythm, body_rhythm
from .time_series import MAX_FRAME_GAP, Measure, Rhythm

MIN_CAMERA_SHIFT: Final = 0.02
"""Shift of the scene, in long sides of the image, below which the camera counts as static."""
MIN_POINTS: Final = 12
"""Average number of tracked points from which the frames have enough texture to tell what objects do."""
TRUST_BESIDE_PEOPLE: Final = 0.5
"""Factor on the support of what objects do while whole people are in view: an object off everyone that was found often
belongs to someone who was not."""
MAX_REPETITIONS: Final = 4
OF_OBJECTS: Final = tuple(name for name in PRIMITIVES if name.split("_")[0] in ("thing", "things"))


@dataclass(frozen=True)
class _Observation:
    """One primitive as one person, pair or object showed it."""

    measure: Measure
    weight: float = 1.0
    """0..1: how much it counts for the clip."""
    actor: int = 0
    partner: int = 0

    @property
    def weighted(self) -> float:
        return self.weight * self.measure.support


class _Gathered(dict[str, list[_Observation]]):
    """Observations by primitive."""

    def add(self, measures: Mapping[str, Measure | None], weight: float, actor: int, partner: int = 0) -> None:
        for name, measure in measures.items():
            if measure is not None and np.isfinite(measure.support):
                self.setdefault(name, []).append(_Observation(measure, weight, actor, partner))


def measure_motion(poses: Poses, frames: Frames, fine: Frames | None = None, hands: Hands | None = None) -> Motion:
    """Measure every motion primitive.

    Args:
        poses: Tracked people in these frames.
        frames: The frames, used for facial movement.
        fine: The same span at a higher frame rate, possibly downscaled, for cuts, the camera and objects; None uses
            `frames`.
        hands: Tracked hands in these frames; None where they were not looked for.
    """
    fine = fine or frames
    flow = follow(working_images(fine))
    camera = camera_of(flow, on_people(flow, fine, poses))
    shift, shots = _at_frames(camera, flow, fine, frames)
    if np.abs(shift).max(initial=0.0) < MIN_CAMERA_SHIFT * max(poses.size):
        shift = np.zeros_like(shift)
    found = bodies(poses, shift, shots)
    beats = [body_rhythm(body, frames, shift) for body in found]
    gathered = _of_people(found, beats, poses, frames, shift)
    gathered.add(measure_hands(hands, poses), 1.0, 0)
    objects: list[MovingObject] = []
    events: list[Event] = []
    rhythms: list[Rhythm | None] = []
    if _shows_objects(flow, fine):
        hidden = whole_people(flow, fine, poses)
        objects = objects_of(flow, camera, fine.times, hidden)
        events, rhythms = events_of(objects, TRUST_BESIDE_PEOPLE if hidden.any(axis=0).mean() > 0.5 else 1.0)
        gathered |= _of_objects(events, fine)
        gathered.add(measure_camera(camera, flow, fine.times), 1.0, 0)
    drift = _drift(shift, shots, frames.times)
    return Motion(
        times=tuple(frames.times.tolist()),
        primitives=tuple(_combined(name, gathered[name]) for name in PRIMITIVES if name in gathered),
        people=_people(_by_presence(found), len(frames)),
        people_at_once=poses.at_once,
        camera_drift=(float(drift[0]), float(drift[1])),
        camera_shake=shaking(camera, flow, fine.times),
        cuts=tuple(frames.times[1:][np.diff(shots) > 0].tolist()),
        objects=tuple(_object(obj) for obj in objects),
        repetitions=_repetitions(rhythms, found, beats),
        events=tuple(ObjectEvent(e.name, e.measure.start) for e in events if e.measure.support >= OBSERVED),
        # What `frames` lack, too, is noted by who read them.
        note="" if frames.note else fine.note,
    )


def _of_people(
    found: list[Body], beats: list[BodyRhythm | None], poses: Poses, frames: Frames, shift: np.ndarray
) -> _Gathered:
    weights = _prominence(found)
    gathered = _Gathered()
    for body, beat, weight in zip(found, beats, weights, strict=True):
        check_cancelled()
        measures = measure_person(body, float(poses.size[1]), beat)
        if body.step <= MAX_FRAME_GAP:
            measures["face_motion"] = face_motion(body, frames, shift)
        gathered.add(measures, weight, body.track)
    for (one, first), (other, second) in combinations(zip(found, weights, strict=True), 2):
        check_cancelled()
        gathered.add(measure_pair(one, other), min(first, second), one.track, other.track)
    return gathered


def _of_objects(events: Iterable[Event], fine: Frames) -> _Gathered:
    """The clearest event of each primitive of objects; support 0 without any, since all of them were measurable."""
    nothing = Measure(0.0, float(fine.times[0]), float(fine.times[-1]))
    gathered = _Gathered({name: [_Observation(nothing)] for name in OF_OBJECTS})
    for event in events:
        if event.measure.support > gathered[event.name][0].measure.support:
            gathered[event.name] = [_Observation(event.measure, 1.0, event.number, event.other)]
    return gathered


def _shows_objects(flow: Flow, fine: Frames) -> bool:
    """Whether the frame rate and the texture suffice to tell what objects do."""
    near = len(fine) > 3 and float(np.median(np.diff(fine.times))) <= MAX_FRAME_GAP
    return near and float(np.isfinite(flow.points.real).sum(axis=0).mean()) >= MIN_POINTS


def _at_frames(camera: Camera, flow: Flow, fine: Frames, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """(frames, 2) shift of the scene in original pixels since the shot began, and (frames,) the number of the shot."""
    at = np.clip(np.searchsorted(fine.times, frames.times + 1e-6, side="right") - 1, 0, len(fine) - 1)
    to_original = np.array(fine.images.shape[2:0:-1]) / flow.size / fine.scale
    shift = camera.shift[at]
    return np.stack([shift.real, shift.imag], axis=1) * to_original, flow.shots[at]


def _drift(shift: np.ndarray, shots: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(2,) pixels per second by which the scene drifts in the longest shot."""
    inside = np.flatnonzero(shots == np.bincount(shots).argmax())
    seconds = max(float(times[inside[-1]] - times[inside[0]]), 1e-6)
    return np.asarray((shift[inside[-1]] - shift[inside[0]]) / seconds)


def _combined(name: str, observations: list[_Observation]) -> MeasuredPrimitive:
    """One support for the clip, every actor weighted by prominence.

    For pairs, that of the clearest pair. For single people, halfway between the clearest and the weighted average: the
    clearest alone lets a crowd's noise through, the average loses one actor in a crowd.
    """
    clearest = max(observations, key=lambda o: o.weighted)
    support = clearest.weighted
    if not clearest.partner:
        average = sum(o.weighted for o in observations) / max(sum(o.weight for o in observations), 1e-9)
        support = (support + average) / 2
    measure = clearest.measure
    return MeasuredPrimitive(
        name, float(support), float(measure.start), float(measure.end), int(clearest.actor), int(clearest.partner)
    )


def _prominence(found: list[Body]) -> list[float]:
    """0..1 for each person: long in view and large counts most."""
    if not found:
        return []
    longest = max(len(body.times) for body in found)
    tallest = max(float(np.median(body.height)) for body in found)
    return [
        float(min(1.0, 2 * len(body.times) / longest) * min(1.0, 2 * np.median(body.height) / tallest))
        for body in found
    ]


def _by_presence(found: list[Body]) -> list[Body]:
    """Longest in view first."""
    return sorted(found, key=lambda body: -len(body.times))


def _people(found: list[Body], frames: int) -> tuple[PersonMotion, ...]:
    sides = [np.sqrt(np.prod(np.maximum(body.boxes[:, 2:] - body.boxes[:, :2], 0), axis=1)) for body in found]
    weights = [len(body.times) / frames * float(np.median(side)) for body, side in zip(found, sides, strict=True)]
    most = max(weights, default=1.0) or 1.0
    return tuple(_person(body, weight / most) for body, weight in zip(found, weights, strict=True))


def _person(body: Body, prominence: float) -> PersonMotion:
    def median(values: np.ndarray) -> float | None:
        known = values[np.isfinite(values)]
        return float(np.median(known)) if len(known) else None

    knees = body.knees()
    legs_visible = body.step <= MAX_FRAME_GAP and np.isfinite(knees).all(axis=1).mean() > 0.3
    right, down = net_velocity(body).tolist()
    return PersonMotion(
        track=int(body.track),
        start=float(body.times[0]),
        end=float(body.times[-1]),
        right=right,
        down=down,
        trunk_angle=median(body.trunk()),
        knee_angle=median(knees),
        step_rate=steps_per_second(body) if legs_visible else None,
        prominence=prominence,
    )


def _object(obj: MovingObject) -> ObjectMotion:
    way = obj.path[-1] - obj.path[0]
    return ObjectMotion(
        start=float(obj.times[0]),
        end=float(obj.times[-1]),
        right=float(way.real),
        down=float(way.imag),
        log_growth=float(obj.growth[-1]),
        rotation=float(np.degrees(obj.angle[-1])),
        reaches_out=reaches_out(obj),
        path_length=obj.went,
    )


def _repetitions(
    rhythms: list[Rhythm | None], found: list[Body], beats: list[BodyRhythm | None]
) -> tuple[Repetition, ...]:
    """People before objects: what a person repeats has been seen to come back."""

    def repetition(kind: Literal["person", "object"], number: int, r: Rhythm) -> Repetition:
        return Repetition(kind, int(number), r.count, float(r.period), r.start, r.end)

    longest_first = sorted(zip(found, beats, strict=True), key=lambda each: -len(each[0].times))
    repeated = [repetition("person", body.track, beat) for body, beat in longest_first if beat]
    repeated += [repetition("object", k + 1, r) for k, r in enumerate(rhythms) if r and (not k or r.count > 1)]
    return tuple(repeated[:MAX_REPETITIONS])
