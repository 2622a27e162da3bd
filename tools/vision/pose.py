"""Poses in a clip: COCO keypoints of every person, identities across frames, and a summary in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import ClassVar, Final, Self

import numpy as np

from ..video.reader import Frames
from .cuts import shot_numbers
from .detections import VISIBLE, MirroredReader, PoseEstimator, check_array, original_size
from .joining import distinct
from .people import People, assign_tracks, seen_twice
from .posture import body_height, posture
from .tracking import renumber
from .verification import fill_gaps, verify

MAX_DESCRIBED: Final = 6
"""Most people, and most pairs of people, whose postures and distances a summary gives."""
MAX_MOMENTS: Final = 4
"""Most moments at which a summary gives a person's posture."""


@dataclass(frozen=True)
class Poses(People):
    """People with their keypoints."""

    PER_DETECTION: ClassVar[tuple[str, ...]] = (*People.PER_DETECTION, "keypoints")

    keypoints: np.ndarray
    """(detections, 17, 3) float32 in the order of `KEYPOINTS`: x, y in pixels of the original frame, then visibility in
    [0, 1]. The position of a keypoint below `VISIBLE` means nothing; a person without a skeleton has visibility 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_array("keypoints", self.keypoints, (len(self.frame), 17, 3))

    @classmethod
    def empty(cls, times: np.ndarray, size: tuple[int, int]) -> Self:
        """No people at any of these times."""
        none, boxes = np.zeros(0, np.int64), np.zeros((0, 4), np.float32)
        return cls(times, size, none, boxes, np.zeros(0, np.float32), none, np.zeros((0, 17, 3), np.float32))

    def summary(self) -> str:
        """`People.summary`, then postures at a few moments and distances between people; bounded in length.

        Angles are those in the image plane, in degrees: knees and elbows left/right, 180 is straight; the trunk's from
        the vertical, towards the picture's left or right.
        """
        people = self.most_present(MAX_DESCRIBED)
        lines = [super().summary(), *(_postures(person) for person in people)]
        pairs = [_distance(one, other) for one, other in combinations(people, 2)]
        return "\n".join(lines + [pair for pair in pairs if pair][:MAX_DESCRIBED])


def estimate_pose(frames: Frames, estimator: PoseEstimator) -> Poses:
    """Find the people in every frame with their keypoints and track them through the clip.

    Args:
        frames: The frames; pixels are returned as those of the original, with `frames.scale` undone.
        estimator: The model, such as `EMBEDDED.estimator` of `engines`.
    """
    found = estimator.poses(frames)
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
    shots = shot_numbers(frames.images)
    poses = assign_tracks(poses, frames, shots, keypoints)
    return _verified(poses, frames, shots, estimator) if isinstance(estimator, MirroredReader) else seen_twice(poses)


def _verified(poses: Poses, frames: Frames, shots: np.ndarray, reader: MirroredReader) -> Poses:
    """The people who are there, also in short gaps; keypoints that cannot be trusted get visibility 0."""
    kept, trusted = verify(poses, poses.keypoints, frames, reader)
    keypoints = poses.keypoints.copy()
    keypoints[~trusted, :, 2] = 0
    poses = replace(poses, keypoints=keypoints).where(kept)
    poses = poses.where(distinct(poses.frame, poses.boxes, poses.scores, poses.tracks, poses.keypoints))
    filled = fill_gaps(poses, poses.keypoints, frames, shots, reader)
    order = np.argsort(np.concatenate([poses.frame, [one.frame for one in filled]]), kind="stable")

    def with_filled(known: np.ndarray, more: Sequence[object]) -> np.ndarray:
        new = np.array(more, known.dtype).reshape(-1, *known.shape[1:])
        return np.asarray(np.concatenate([known, new])[order])

    return replace(
        poses,
        frame=with_filled(poses.frame, [one.frame for one in filled]),
        boxes=with_filled(poses.boxes, [one.box for one in filled]),
        scores=with_filled(poses.scores, [one.score for one in filled]),
        tracks=renumber(with_filled(poses.tracks, [one.track for one in filled])),
        keypoints=with_filled(poses.keypoints, [one.keypoints for one in filled]),
    )


def _postures(person: Poses) -> str:
    """One person's posture at up to `MAX_MOMENTS` moments, spread over the frames with most keypoints visible."""
    visible = (person.keypoints[:, :, 2] >= VISIBLE).sum(axis=1)
    clear = np.flatnonzero(visible >= max(int(np.median(visible)), 4))
    if not len(clear):
        return f"Person {person.tracks[0]}: joints not seen."
    selected = np.unique(clear[np.linspace(0, len(clear) - 1, MAX_MOMENTS).round().astype(int)])
    moments = (f"at {person.times[person.frame[i]]:.1f} s {posture(person.keypoints[i])}" for i in selected)
    return f"Person {person.tracks[0]}: " + "; ".join(moments) + "."


def _distance(one: Poses, other: Poses) -> str:
    """Distance between the box centres of two people over the frames that show both: first, smallest, last."""
    frames, mine, theirs = np.intersect1d(one.frame, other.frame, return_indices=True)
    if not len(frames):
        return ""
    height = np.mean([body_height(each.keypoints, each.boxes) for each in (one, other)])
    centres = [each.boxes[rows].reshape(-1, 2, 2).mean(axis=1) for each, rows in ((one, mine), (other, theirs))]
    apart = np.linalg.norm(centres[0] - centres[1], axis=1) / height
    when = one.times[frames]
    moments = ", ".join(f"{apart[i]:.1f} at {when[i]:.1f} s" for i in sorted({0, int(apart.argmin()), len(frames) - 1}))
    return f"Persons {one.tracks[0]} and {other.tracks[0]} apart, in body heights: {moments}."
