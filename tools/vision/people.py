"""People in a clip: bounding boxes, scores and identities across frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self, TypeVar

import numpy as np

from ..video.reader import Frames
from .cuts import shot_numbers
from .detections import PersonDetector, check_array, original_size
from .joining import distinct, joined
from .tracking import renumber, track

MAX_DESCRIBED: Final = 12
"""Most people a summary describes one by one."""
LASTING_SHARE: Final = 0.15
"""Share of the frames in which a number of people must be in view together to be told."""
MIN_SINGLE_FRAME_SCORE: Final = 0.6
"""A person seen in one frame only is dropped below this score."""


@dataclass(frozen=True)
class People:
    """All people found in a clip; one detection is one person in one frame.

    Raises:
        ValueError: The arrays do not match in length, or contain values that are not finite.
    """

    PER_DETECTION: ClassVar[tuple[str, ...]] = ("frame", "boxes", "scores", "tracks")

    times: np.ndarray
    """(frames,) float64, seconds of the video."""
    size: tuple[int, int]
    """Width and height in pixels of the original frame."""
    frame: np.ndarray
    """(detections,) int64, index into `times`, sorted."""
    boxes: np.ndarray
    """(detections, 4) float32: x0, y0, x1, y1 in pixels of the original frame."""
    scores: np.ndarray
    """(detections,) float32 in [0, 1]."""
    tracks: np.ndarray
    """(detections,) int64: the person's identity across frames, numbered from 1 in order of first appearance."""

    def __post_init__(self) -> None:
        count = len(self.frame)
        for name, shape in {"frame": (), "boxes": (4,), "scores": (), "tracks": ()}.items():
            check_array(name, getattr(self, name), (count, *shape))
        check_array("times", self.times, (len(self.times),))
        if count and not (0 <= self.frame.min() and self.frame.max() < len(self.times)):
            raise ValueError(f"frame contains an index outside 0..{len(self.times) - 1}; index into times")
        if (np.diff(self.frame) < 0).any():
            raise ValueError("frame must not decrease; sort the detections by frame")
        if count and self.tracks.min() < 1:
            raise ValueError("tracks contains a number below 1; number people from 1")

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, mask: np.ndarray) -> Self:
        """The detections selected by `mask`, (detections,) bool."""
        return replace(self, **{name: getattr(self, name)[mask] for name in self.PER_DETECTION})

    def at(self, frame_index: int) -> Self:
        """The detections of one frame."""
        return self.where(self.frame == frame_index)

    def of(self, track: int) -> Self:
        """The detections of one person."""
        return self.where(self.tracks == track)

    def most_present(self, limit: int) -> list[Self]:
        """The `limit` people seen in most frames, one result per person, in order of their numbers."""
        numbers, counts = np.unique(self.tracks, return_counts=True)
        selected = np.lexsort((numbers, -counts))[:limit]
        return [self.of(int(number)) for number in np.sort(numbers[selected])]

    @property
    def at_once(self) -> int:
        """The largest number of people in view together in at least `LASTING_SHARE` of the frames; 0 for none."""
        counts = np.bincount(self.frame, minlength=len(self.times))
        lasting = [n for n in range(1, int(counts.max(initial=0)) + 1) if (counts >= n).mean() >= LASTING_SHARE]
        return max(lasting, default=0)

    def summary(self) -> str:
        """Text for the policy: how many people, when, where in the picture and how large; times in seconds."""
        if not len(self):
            return f"No people found in {len(self.times)} frames."
        count = len(np.unique(self.tracks))
        lines = [people_sentence(self.at_once, count)]
        lines += [person.describe_one() for person in self.most_present(MAX_DESCRIBED)]
        if count > MAX_DESCRIBED:
            lines.append(f"{count - MAX_DESCRIBED} more, seen more briefly.")
        return " ".join(lines)

    def describe_one(self) -> str:
        """One sentence about a single person, as returned by `of`: when, where in the picture, how large."""
        height = float(np.median(self.boxes[:, 3] - self.boxes[:, 1])) / self.size[1]
        first, last = self.times[self.frame[[0, -1]]]
        when = f"{first:.1f} to {last:.1f} s" if len(self) > 1 else f"only at {first:.1f} s"
        where = placed(self.boxes, self.size)
        return f"Person {self.tracks[0]}: {when}, {where}, about {min(height, 1):.0%} of the picture's height."


def people_sentence(at_once: int, in_all: int) -> str:
    """How many people are seen at once and, if more, in all."""
    if not at_once:
        return "People are seen only briefly." if in_all else "Nobody is seen."
    told = "One person is seen at a time" if at_once == 1 < in_all else "One person is seen"
    told = told if at_once == 1 else f"{at_once} people are seen at once"
    return f"{told}, {in_all} in all." if in_all > at_once else f"{told}."


P = TypeVar("P", bound=People)


def detect_people(frames: Frames, detector: PersonDetector) -> People:
    """Detect people in every frame and track them through the clip.

    Args:
        frames: The frames; boxes are returned in pixels of the original, with `frames.scale` undone.
        detector: The model, such as `EMBEDDED.detector` of `engines`.
    """
    found = detector.people(frames)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _ in found)])
    shots = shot_numbers(frames.images)
    people = People(
        times=frames.times,
        size=original_size(frames),
        frame=np.repeat(np.arange(len(found)), [len(scores) for _, scores in found]),
        boxes=boxes / np.float32(frames.scale),
        scores=np.concatenate([np.zeros(0, np.float32), *(scores for _, scores in found)]),
        tracks=np.ones(len(boxes), np.int64),
    )
    return seen_twice(assign_tracks(people, frames, shots))


def assign_tracks(people: P, frames: Frames, shots: np.ndarray, keypoints: np.ndarray | None = None) -> P:
    """The same detections with identities, without second ones of the same person in a frame.

    Args:
        people: The detections, in pixels of the original; their tracks are ignored.
        frames: The frames they were found in.
        shots: (frames,) int, the number of each frame's shot; a cut ends all tracks.
        keypoints: (detections, 17, 3) of the people, if known.
    """
    tracks = track(people.frame, people.boxes, people.scores, people.times, keypoints, shots)
    kept = distinct(people.frame, people.boxes, people.scores, tracks, keypoints)
    people, tracks = people.where(kept), tracks[kept]
    return replace(people, tracks=joined(tracks, people.frame, people.boxes * frames.scale, frames, shots))


def seen_twice(people: P) -> P:
    """The people without those seen in a single frame at a low score."""
    doubtful = np.bincount(people.tracks, minlength=1)[people.tracks] == 1
    doubtful &= (people.scores < MIN_SINGLE_FRAME_SCORE) & (len(people.times) > 4)
    return replace(people.where(~doubtful), tracks=renumber(people.tracks[~doubtful]))


def placed(boxes: np.ndarray, size: tuple[int, int]) -> str:
    """Where the first and the last box lie, in words."""
    places = [_place(box, size) for box in boxes[[0, -1]]]
    return places[0] if places[0] == places[1] else f"from {places[0]} to {places[1]}"


def _place(box: np.ndarray, size: tuple[int, int]) -> str:
    """Where in the picture a box lies, in words; the vertical position is named only away from the middle."""
    x, y = (box[:2] + box[2:]) / 2 / size
    across = ("far left", "left of centre", "centre", "right of centre", "far right")[int(np.clip(x * 5, 0, 4))]
    return across if 0.3 <= y <= 0.7 else f"{across}, {'upper' if y < 0.3 else 'lower'} part"
