"""Who is who across frames: the identities of detected people, from boxes, times and, where known, keypoints.

Everything here is pure: the same detections in any order get the same identities.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

GAP: Final = 0.7
"""Seconds a person may go unseen and still be the same person."""
STRONG: Final = 0.5
"""Detections of at least this score choose their track first, as in ByteTrack (Zhang et al. 2022, arXiv:2110.06864)."""
VISIBLE: Final = 0.5
"""A keypoint at or above this visibility counts as seen."""
MOST_COST: Final = 1.0
"""A detection costlier than this for every track begins a track of its own."""


def overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every other: (n, 4) and (m, 4) to (n, m), 0..1."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    return np.asarray(shared / np.maximum(areas(boxes)[:, None] + areas(others)[None] - shared, 1e-9))


def areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of boxes: (n, 4) to (n,) square pixels; a box with its corners swapped has none."""
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))


def pose_distance(pose: np.ndarray, other: np.ndarray, size: float) -> float:
    """How far apart two skeletons lie: median distance of the keypoints seen in both, in units of `size`.

    Args:
        pose: (keypoints, 3) x, y in pixels and visibility.
        other: The same of the other skeleton.
        size: Pixels, such as the square root of the box's area.

    Returns:
        0 for one and the same; NaN where fewer than four keypoints are seen in both.
    """
    both = (pose[:, 2] >= VISIBLE) & (other[:, 2] >= VISIBLE)
    if both.sum() < 4:
        return float("nan")
    return float(np.median(np.linalg.norm(pose[both, :2] - other[both, :2], axis=1)) / max(size, 1e-6))


@dataclass
class _Track:
    """The last sighting of one person, and how fast they were moving then."""

    number: int
    box: np.ndarray
    pose: np.ndarray | None
    time: float
    velocity: np.ndarray
    """Pixels per second of the box's centre, (2,)."""

    def predicted(self, time: float) -> _Track:
        """This person as they should look at a later time, had they kept their velocity and shape."""
        shift = self.velocity * (time - self.time)
        pose = None if self.pose is None else self.pose + np.append(shift, 0.0)
        return _Track(self.number, self.box + np.tile(shift, 2), pose, self.time, self.velocity)

    def seen(self, box: np.ndarray, pose: np.ndarray | None, time: float) -> None:
        """Take in the next sighting; the velocity is averaged with the one before, to ride out jumpy boxes."""
        now = (_centre(box) - _centre(self.box)) / (time - self.time)
        self.velocity = 0.5 * self.velocity + 0.5 * now
        self.box, self.pose, self.time = box, pose, time


def track(
    frame: ArrayLike, boxes: ArrayLike, scores: ArrayLike, times: ArrayLike, keypoints: ArrayLike | None = None
) -> np.ndarray:
    """Give every detection the identity of its person.

    Each track foresees where its person is next (constant velocity); in every frame detections and tracks pair up,
    cheapest pair first, by overlap, distance of centres and, where both have one, distance of skeletons.

    Args:
        frame: (detections,) index into `times`.
        boxes: (detections, 4) x0, y0, x1, y1 in pixels.
        scores: (detections,) 0..1.
        times: (frames,) seconds, increasing.
        keypoints: (detections, keypoints, 3) x, y in pixels and visibility 0..1.

    Returns:
        (detections,) int64, numbered from 1 in order of first appearance, left to right within a frame. A person unseen
        for longer than `GAP` seconds (or one and a half frames, where frames are sparser) comes back as somebody new.
    """
    which, places, ranks = np.asarray(frame, np.int64), np.asarray(boxes, np.float64), np.asarray(scores, np.float64)
    clock = np.asarray(times, np.float64)
    poses = None if keypoints is None else np.asarray(keypoints, np.float64)
    memory = max(GAP, 1.5 * float(np.median(np.diff(clock)))) if len(clock) > 1 else GAP
    order = np.lexsort((ranks, *places.T[::-1], which))
    tracks = np.zeros(len(which), np.int64)
    known: list[_Track] = []
    for index in np.unique(which):
        time = float(clock[index])
        here = order[which[order] == index]
        expected = {each.number: each.predicted(time) for each in known if time - each.time <= memory}
        for strong in (True, False):
            ids = [int(i) for i in here if (ranks[i] >= STRONG) == strong]
            for number, i in _pairs(list(expected.values()), ids, places, poses, time):
                tracks[i] = number
                del expected[number]
        for i in here:
            pose = None if poses is None else poses[i]
            if tracks[i]:
                known[tracks[i] - 1].seen(places[i], pose, time)
            else:
                known.append(_Track(len(known) + 1, places[i], pose, time, np.zeros(2)))
                tracks[i] = len(known)
    return tracks


def renumber(tracks: np.ndarray) -> np.ndarray:
    """The same identities numbered from 1 without holes, in their old order: (detections,) int64."""
    return np.asarray(np.unique(tracks, return_inverse=True)[1].reshape(-1) + 1, np.int64)


def _pairs(
    expected: list[_Track], detections: list[int], boxes: np.ndarray, poses: np.ndarray | None, time: float
) -> list[tuple[int, int]]:
    """(track number, detection) for each pair that belongs together, cheapest first, each used once."""
    priced = sorted(
        (cost, track.number, rank, i)
        for track in expected
        for rank, i in enumerate(detections)
        if (cost := _cost(track, boxes[i], None if poses is None else poses[i], time)) <= MOST_COST
    )
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, number, _, i in priced:
        if number not in pairs and i not in taken:
            pairs[number] = i
            taken.add(i)
    return list(pairs.items())


def _cost(track: _Track, box: np.ndarray, pose: np.ndarray | None, time: float) -> float:
    """0 for a sighting just as foreseen; above `MOST_COST` for one that cannot be this person."""
    pair = np.stack([track.box, box])
    small, large = sorted(np.maximum(areas(pair), 1e-6))
    height = max(float((pair[:, 3] - pair[:, 1]).mean()), 1e-6)
    reach = height * min(0.5 + 1.2 * (time - track.time), 1.2)
    away = float(np.linalg.norm(_centre(pair[0]) - _centre(pair[1]))) / reach
    if large > 6 * small or away > 1:
        return float("inf")
    overlap = float(overlaps(pair[:1], pair[1:])[0, 0])
    cost = 0.5 * (1 - overlap) + 0.5 * away
    if track.pose is None or pose is None:
        return cost
    apart = pose_distance(track.pose, pose, float(np.sqrt(np.sqrt(small * large))))
    return cost if np.isnan(apart) else 0.5 * cost + min(apart, 1.0)


def _centre(box: np.ndarray) -> np.ndarray:
    return np.asarray((box[:2] + box[2:]) / 2)
