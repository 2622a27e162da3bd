"""Objects in a clip: boxes, names and identities across frames, and which person's hand each one is near."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Final, Self

import numpy as np

from ..video.reader import Frames
from .detections import KEYPOINTS, VISIBLE, ObjectDetector, check_array, original_size
from .people import placed
from .pose import Poses
from .tracking import renumber, track

MAX_DESCRIBED: Final = 8
"""Most objects a summary describes one by one."""
MIN_SINGLE_FRAME_SCORE: Final = 0.6
"""An object seen in one frame only is dropped below this score."""
NEAR: Final = 0.5
"""A hand is near an object if its wrist is at most this far from the box, in lengths of the forearm; a hand is about
half a forearm long."""
LASTING: Final = 0.1
"""Share of the frames of an object in which a hand must be near it to be told."""
WRISTS: Final = {"left": KEYPOINTS.index("left wrist"), "right": KEYPOINTS.index("right wrist")}
ELBOWS: Final = {"left": KEYPOINTS.index("left elbow"), "right": KEYPOINTS.index("right elbow")}


@dataclass(frozen=True)
class Objects:
    """All objects found in a clip; one detection is one object in one frame.

    Raises:
        ValueError: The arrays do not match in length, or contain values that are not finite.
    """

    PER_DETECTION: ClassVar[tuple[str, ...]] = ("frame", "boxes", "scores", "names", "tracks")

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
    names: np.ndarray
    """(detections,) str: the class, such as `sports ball`."""
    tracks: np.ndarray
    """(detections,) int64: the object's identity across frames, numbered from 1 in order of first appearance."""

    def __post_init__(self) -> None:
        for name, shape in {"frame": (), "boxes": (4,), "scores": (), "tracks": ()}.items():
            check_array(name, getattr(self, name), (len(self.frame), *shape))
        if self.names.shape != (len(self.frame),):
            raise ValueError(f"names has shape {self.names.shape}; expected {(len(self.frame),)}")

    def __len__(self) -> int:
        return len(self.frame)

    def where(self, chosen: np.ndarray) -> Self:
        """The chosen detections, by mask or index."""
        return replace(self, **{name: getattr(self, name)[chosen] for name in self.PER_DETECTION})

    def at(self, index: int) -> Self:
        """The objects in one frame."""
        return self.where(self.frame == index)

    def most_present(self, limit: int) -> list[Self]:
        """The `limit` objects seen in most frames, one result per object, in order of their numbers."""
        numbers, counts = np.unique(self.tracks, return_counts=True)
        selected = np.lexsort((numbers, -counts))[:limit]
        return [self.where(self.tracks == number) for number in np.sort(numbers[selected])]

    def summary(self, poses: Poses) -> str:
        """Text for the policy: what, when, where in the picture, and near whose hand; times in seconds."""
        if not len(self):
            return f"No known objects found in {len(self.times)} frames."
        count = len(np.unique(self.tracks))
        lines = [one.describe_one(poses) for one in self.most_present(MAX_DESCRIBED)]
        if count > MAX_DESCRIBED:
            lines.append(f"{count - MAX_DESCRIBED} more, seen more briefly.")
        return " ".join(lines)

    def describe_one(self, poses: Poses) -> str:
        """One sentence about a single object: when, where, and near whose hand."""
        first, last = self.times[self.frame[[0, -1]]]
        when = f"{first:.1f} to {last:.1f} s" if len(self) > 1 else f"only at {first:.1f} s"
        names, counts = np.unique(self.names, return_counts=True)
        near = hands_near(self, poses)
        told = "".join(f", near the {side} hand of person {person} {span}" for person, side, span in near)
        return f"Object {self.tracks[0]}, {names[counts.argmax()]}: {when}, {placed(self.boxes, self.size)}{told}."


def detect_objects(frames: Frames, detector: ObjectDetector) -> Objects:
    """Detect objects other than people in every frame and track them, each class by itself.

    Args:
        frames: The frames; boxes are returned in pixels of the original, with `frames.scale` undone.
        detector: The model.
    """
    found = detector.objects(frames)
    frame = np.repeat(np.arange(len(found)), [len(scores) for _, scores, _ in found])
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(each for each, _, _ in found)]) / np.float32(frames.scale)
    scores = np.concatenate([np.zeros(0, np.float32), *(each for _, each, _ in found)])
    names = np.array([name for _, _, each in found for name in each], str)
    tracks = np.zeros(len(frame), np.int64)
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        tracks[own] = tracks.max(initial=0) + track(frame[own], boxes[own], scores[own], frames.times)
    doubtful = (np.bincount(tracks)[tracks] == 1) & (scores < MIN_SINGLE_FRAME_SCORE) & (len(frames.times) > 4)
    objects = Objects(frames.times, original_size(frames), frame, boxes, scores, names, tracks).where(~doubtful)
    return replace(objects, tracks=renumber(objects.tracks))


def hands_near(one: Objects, poses: Poses) -> list[tuple[int, str, str]]:
    """Whose hands are near an object for long: person, `left` or `right`, and the time span in words."""
    found = []
    for person in np.unique(poses.tracks):
        for side in WRISTS:
            times = [
                float(one.times[index])
                for index, box in zip(one.frame, one.boxes, strict=True)
                for pose in poses.keypoints[(poses.frame == index) & (poses.tracks == person)]
                if _is_near(pose, side, box)
            ]
            if len(times) > max(1, LASTING * len(one)):
                found.append((int(person), side, f"from {times[0]:.1f} to {times[-1]:.1f} s"))
    return found


def _is_near(pose: np.ndarray, side: str, box: np.ndarray) -> bool:
    wrist, elbow = pose[WRISTS[side]], pose[ELBOWS[side]]
    if min(wrist[2], elbow[2]) < VISIBLE:
        return False
    outside = np.maximum(np.maximum(box[:2] - wrist[:2], wrist[:2] - box[2:]), 0)
    return bool(np.linalg.norm(outside) <= NEAR * np.linalg.norm(wrist[:2] - elbow[:2]))
