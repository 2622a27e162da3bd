"""Body keypoints of everybody in a clip, who is who, and how they hold themselves, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar, Final, Protocol, Self

import numpy as np

from ..video.reader import Frames
from .blazepose import Skeletons
from .people import People, check_array, follow, original_size
from .posture import body_height, posture
from .tracking import VISIBLE

DESCRIBED: Final = 6
"""Most people, and most pairs of people, whose postures and distances a summary gives."""
MOMENTS: Final = 4
"""Most moments at which a summary gives a person's posture."""

KEYPOINTS: Final = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
    "right ankle",
)  # fmt: skip
"""COCO's 17 keypoints in COCO's order; left and right are the person's own."""
SKELETON: Final = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13),
    (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""The bones: pairs of indices into `KEYPOINTS`."""


@dataclass(frozen=True)
class Poses(People):
    """People with their keypoints."""

    PER_DETECTION: ClassVar[tuple[str, ...]] = (*People.PER_DETECTION, "keypoints")

    keypoints: np.ndarray
    """(detections, 17, 3) float32 in the order of `KEYPOINTS`: x, y in pixels of the original picture, and visibility
    0..1; nothing is known of a joint below `VISIBLE`, and of a person whose skeleton was not found all are 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_array("keypoints", self.keypoints, (len(self.frame), 17, 3))

    @classmethod
    def empty(cls, times: np.ndarray, size: tuple[int, int]) -> Self:
        """Nobody at any of these times."""
        none = np.zeros(0, np.int64)
        nowhere = np.zeros((0, 4), np.float32)
        return cls(times, size, none, nowhere, np.zeros(0, np.float32), none, np.zeros((0, 17, 3), np.float32))

    def summary(self) -> str:
        """`People.summary`, then postures at a few moments and distances between people, bounded in length.

        Angles are those seen in the picture: degrees, knees and elbows as left/right with 180 for straight, the trunk's
        from the vertical towards the picture's left or right.
        """
        people = self.most_present(DESCRIBED)
        lines = [super().summary(), *(_postures(person) for person in people)]
        pairs = [_apart(one, other) for one, other in combinations(people, 2)]
        return "\n".join(lines + [pair for pair in pairs if pair][:DESCRIBED])


class PoseEstimator(Protocol):
    """What finds people with their keypoints; an adapter for another model is one of these."""

    def poses(self, frames: Frames) -> Sequence[Skeletons]:
        """The people of each frame, in pixels of `frames.images`."""
        ...


def estimate_pose(frames: Frames, estimator: PoseEstimator | None = None) -> Poses:
    """Find the people of every frame with their keypoints and follow them through the clip.

    Args:
        frames: The frames to look at; pixels come back as those of the original, `frames.scale` undone.
        estimator: The model that looks; that of `engines.engine` by default.
    """
    from .engines import engine

    found = (estimator or engine().estimator).poses(frames)
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(boxes for boxes, _, _ in found)])
    keypoints = np.concatenate([np.zeros((0, 17, 3), np.float32), *(points for _, _, points in found)])
    keypoints[:, :, :2] /= np.float32(frames.scale)
    poses = Poses(
        times=frames.times,
        size=original_size(frames),
        frame=np.repeat(np.arange(len(found)), [len(scores) for _, scores, _ in found]),
        boxes=boxes / np.float32(frames.scale),
        scores=np.concatenate([np.zeros(0, np.float32), *(scores for _, scores, _ in found)]),
        tracks=np.ones(len(boxes), np.int64),
        keypoints=keypoints,
    )
    return follow(poses, keypoints)


def _postures(person: Poses) -> str:
    """One person's posture at up to `MOMENTS` moments, spread over the sightings with the most joints seen."""
    seen = (person.keypoints[:, :, 2] >= VISIBLE).sum(axis=1)
    clear = np.flatnonzero(seen >= max(int(np.median(seen)), 4))
    if not len(clear):
        return f"Person {person.tracks[0]}: joints not seen."
    chosen = np.unique(clear[np.linspace(0, len(clear) - 1, MOMENTS).round().astype(int)])
    moments = (f"at {person.times[person.frame[i]]:.1f} s {posture(person.keypoints[i])}" for i in chosen)
    return f"Person {person.tracks[0]}: " + "; ".join(moments) + "."


def _apart(one: Poses, other: Poses) -> str:
    """Distance of two people's boxes' centres over the frames that show both: first, nearest, last."""
    frames, mine, theirs = np.intersect1d(one.frame, other.frame, return_indices=True)
    if not len(frames):
        return ""
    height = np.mean([body_height(each.keypoints, each.boxes) for each in (one, other)])
    centres = [each.boxes[rows].reshape(-1, 2, 2).mean(axis=1) for each, rows in ((one, mine), (other, theirs))]
    apart = np.linalg.norm(centres[0] - centres[1], axis=1) / height
    when = one.times[frames]
    moments = ", ".join(f"{apart[i]:.1f} at {when[i]:.1f} s" for i in sorted({0, int(apart.argmin()), len(frames) - 1}))
    return f"Persons {one.tracks[0]} and {other.tracks[0]} apart, in body heights: {moments}."
