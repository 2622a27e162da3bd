"""Tracking: identities of detected people across frames, from boxes, times and, if known, keypoints.

A pure function: the same detections in any order get the same identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from .detections import box_areas, box_iou, pose_distance

MAX_GAP: Final = 0.7
"""Seconds a person may go undetected and keep their identity."""
HIGH_SCORE: Final = 0.5
"""Detections of at least this score are matched first, as in ByteTrack (Zhang et al. 2022, arXiv:2110.06864)."""
MAX_COST: Final = 1.0
"""A detection with a higher matching cost to every track starts a new track."""


@dataclass
class _Track:
    """The last detection of one person, and their velocity then."""

    number: int
    box: np.ndarray
    pose: np.ndarray | None
    time: float
    velocity: np.ndarray
    """Pixels per second of the box's centre, (2,)."""

    def predicted(self, time: float) -> _Track:
        """Box and pose expected at a later time, at constant velocity and shape."""
        shift = self.velocity * (time - self.time)
        pose = None if self.pose is None else self.pose + np.append(shift, 0.0)
        return _Track(self.number, self.box + np.tile(shift, 2), pose, self.time, self.velocity)

    def update(self, box: np.ndarray, pose: np.ndarray | None, time: float) -> None:
        """Take in the next detection; the velocity is averaged with the previous one to smooth out jumpy boxes."""
        velocity = (_centre(box) - _centre(self.box)) / (time - self.time)
        self.velocity = 0.5 * self.velocity + 0.5 * velocity
        self.box, self.pose, self.time = box, pose, time


def track(
    frame: ArrayLike,
    boxes: ArrayLike,
    scores: ArrayLike,
    times: ArrayLike,
    keypoints: ArrayLike | None = None,
    shots: ArrayLike | None = None,
) -> np.ndarray:
    """Assign an identity to every detection.

    Each track predicts its next position (constant velocity). In every frame detections and tracks are matched
    greedily, lowest cost first; the cost combines IoU, distance of centres and, where both exist, of skeletons.

    Args:
        frame: (detections,) index into `times`.
        boxes: (detections, 4) x0, y0, x1, y1 in pixels.
        scores: (detections,) in [0, 1].
        times: (frames,) seconds, increasing.
        keypoints: (detections, keypoints, 3) x, y in pixels, then visibility in [0, 1].
        shots: (frames,) int, the number of each frame's shot; a cut ends all tracks. None is one shot.

    Returns:
        (detections,) int64, numbered from 1 in order of first appearance, left to right within a frame. A person not
        detected for longer than `MAX_GAP` seconds (or 1.5 frame intervals, if that is longer) gets a new identity.
    """
    frame, boxes, scores = np.asarray(frame, np.int64), np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
    times = np.asarray(times, np.float64)
    poses = None if keypoints is None else np.asarray(keypoints, np.float64)
    max_gap = max(MAX_GAP, 1.5 * float(np.median(np.diff(times)))) if len(times) > 1 else MAX_GAP
    order = np.lexsort((scores, *boxes.T[::-1], frame))
    numbers = np.zeros(len(frame), np.int64)
    tracks: list[_Track] = []
    shot = np.zeros(len(times), np.int64) if shots is None else np.asarray(shots, np.int64)
    ended, last = 0, -1
    for index in np.unique(frame):
        time = float(times[index])
        ended, last = (len(tracks) if shot[index] != last else ended), int(shot[index])
        here = order[frame[order] == index]
        unmatched = {each.number: each.predicted(time) for each in tracks[ended:] if time - each.time <= max_gap}
        for high in (True, False):
            candidates = [int(i) for i in here if (scores[i] >= HIGH_SCORE) == high]
            for number, i in _matches(list(unmatched.values()), candidates, boxes, poses, time):
                numbers[i] = number
                del unmatched[number]
        for i in here:
            pose = None if poses is None else poses[i]
            if numbers[i]:
                tracks[numbers[i] - 1].update(boxes[i], pose, time)
            else:
                tracks.append(_Track(len(tracks) + 1, boxes[i], pose, time, np.zeros(2)))
                numbers[i] = len(tracks)
    return numbers


def renumber(tracks: np.ndarray) -> np.ndarray:
    """The same identities numbered from 1 without gaps, in the same order: (detections,) int64."""
    return np.asarray(np.unique(tracks, return_inverse=True)[1].reshape(-1) + 1, np.int64)


def _matches(
    tracks: list[_Track], detections: list[int], boxes: np.ndarray, poses: np.ndarray | None, time: float
) -> list[tuple[int, int]]:
    """Matched (track number, detection) pairs, lowest cost first, each track and detection used once."""
    pairs = sorted(
        (cost, track.number, rank, i)
        for track in tracks
        for rank, i in enumerate(detections)
        if (cost := _cost(track, boxes[i], None if poses is None else poses[i], time)) <= MAX_COST
    )
    matched: dict[int, int] = {}
    used: set[int] = set()
    for _, number, _, i in pairs:
        if number not in matched and i not in used:
            matched[number] = i
            used.add(i)
    return list(matched.items())


def _cost(track: _Track, box: np.ndarray, pose: np.ndarray | None, time: float) -> float:
    """0 for a detection exactly as predicted; above `MAX_COST` for one that cannot be this person."""
    pair = np.stack([track.box, box])
    small, large = sorted(np.maximum(box_areas(pair), 1e-6))
    height = max(float((pair[:, 3] - pair[:, 1]).mean()), 1e-6)
    reach = height * min(0.5 + 1.2 * (time - track.time), 1.2)
    distance = float(np.linalg.norm(_centre(pair[0]) - _centre(pair[1]))) / reach
    if large > 6 * small or distance > 1:
        return float("inf")
    cost = 0.5 * (1 - float(box_iou(pair[:1], pair[1:])[0, 0])) + 0.5 * distance
    if track.pose is None or pose is None:
        return cost
    skeletons = pose_distance(track.pose, pose, float(np.sqrt(np.sqrt(small * large))))
    return cost if np.isnan(skeletons) else 0.5 * cost + min(skeletons, 1.0)


def _centre(box: np.ndarray) -> np.ndarray:
    return np.asarray((box[:2] + box[2:]) / 2)
