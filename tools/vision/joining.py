"""One person, one identity: duplicates are dropped, and tracks that end and start alike are joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..video.reader import Frames
from .detections import VISIBLE, box_areas, box_iou, pose_distance
from .tracking import renumber

SAME: Final = 0.6
"""IoU from which two boxes of one frame are one person, unless their skeletons differ by `APART`."""
SAME_DOUBTFUL: Final = 0.4
"""The same where one of the two is doubtful: without a skeleton, or with a score below `CERTAIN`."""
INSIDE: Final = 0.8
"""Fraction of a doubtful box inside another one from which it is part of that person."""
CERTAIN: Final = 0.5
APART: Final = 0.25
"""Median distance of the joints of two skeletons from which they are two people, in square roots of the box area."""
GAP: Final = 2.0
"""Longest gap, in seconds, between tracks that are joined."""
REACH: Final = (0.4, 1.2)
"""Farthest that a person may have moved during a gap: so many body heights, plus so many per second, at most
`FARTHEST`."""
FARTHEST: Final = 1.2
LIKE_SIZE: Final = 2.0
"""Largest ratio of the square roots of the box areas."""
LIKE_COLOUR: Final = 60.0
"""Largest distance of the torsos' mean colours (RGB, 0..255)."""


def distinct(
    frame: np.ndarray, boxes: np.ndarray, scores: np.ndarray, tracks: np.ndarray, keypoints: np.ndarray | None = None
) -> np.ndarray:
    """Which detections are not a second one of a person in the same frame; of two the better one is kept.

    Args:
        frame: (detections,) int.
        boxes: (detections, 4) pixels.
        scores: (detections,).
        tracks: (detections,) int.
        keypoints: (detections, 17, 3) x, y in pixels, then visibility.

    Returns:
        (detections,) bool.
    """
    lengths = np.bincount(tracks)[tracks] if len(tracks) else tracks
    doubtful = scores < CERTAIN
    if keypoints is not None:
        doubtful = doubtful | (keypoints[:, :, 2].max(axis=1, initial=0) < VISIBLE)
    kept = np.ones(len(frame), bool)
    for i in np.lexsort((-scores, -lengths, doubtful, frame)):
        for j in np.flatnonzero((frame == frame[i]) & kept):
            if i == j or (doubtful[i], -lengths[i], -scores[i]) <= (doubtful[j], -lengths[j], -scores[j]):
                continue
            pair = [i, j]
            if _same(boxes[pair], bool(doubtful[i])) and not (
                keypoints is not None and _apart(keypoints[pair], boxes[pair])
            ):
                kept[i] = False
                break
    return kept


def _same(boxes: np.ndarray, doubtful: bool) -> bool:
    """Whether the first of two boxes (2, 4) shows the person of the second."""
    overlap = float(box_iou(boxes[:1], boxes[1:])[0, 0])
    if not doubtful:
        return overlap >= SAME
    shared = overlap / (1 + overlap) * float(box_areas(boxes).sum())
    return overlap >= SAME_DOUBTFUL or shared >= INSIDE * float(box_areas(boxes)[0])


def _apart(keypoints: np.ndarray, boxes: np.ndarray) -> bool:
    """Whether two skeletons (2, 17, 3) are those of two people."""
    return pose_distance(keypoints[0], keypoints[1], float(np.sqrt(box_areas(boxes).min()))) >= APART


@dataclass(frozen=True)
class _End:
    """A track where it begins or ends."""

    time: float
    shot: int
    centre: np.ndarray
    """(2,) pixels."""
    speed: np.ndarray
    """(2,) pixels per second."""
    height: float
    size: float
    """Square root of the box area."""
    colour: np.ndarray
    """(3,) mean RGB of the torso."""


def joined(tracks: np.ndarray, frame: np.ndarray, boxes: np.ndarray, frames: Frames, shots: np.ndarray) -> np.ndarray:
    """The tracks, joined where one ends and another starts near in place, time, size and colour.

    Args:
        tracks: (detections,) int.
        frame: (detections,) int, sorted.
        boxes: (detections, 4) pixels of `frames.images`.
        frames: The frames.
        shots: (frames,) int, the number of each frame's shot; nobody is joined across a cut.

    Returns:
        (detections,) int64, numbered from 1 in order of first appearance.
    """
    numbers = np.unique(tracks)
    rows = [np.flatnonzero(tracks == number) for number in numbers]
    starts = [_end(each[:3], 0, frame, boxes, frames, shots) for each in rows]
    ends = [_end(each[-3:], -1, frame, boxes, frames, shots) for each in rows]
    pairs = sorted(
        (cost, i, j)
        for i, end in enumerate(ends)
        for j, start in enumerate(starts)
        if i != j and (cost := _cost(end, start)) is not None
    )
    follows: dict[int, int] = {}
    for _, i, j in pairs:
        if j not in follows and i not in follows.values():
            follows[j] = i
    identity = np.arange(len(numbers))
    for j in sorted(follows, key=lambda j: starts[j].time):
        identity[j] = identity[follows[j]]
    return renumber(identity[np.searchsorted(numbers, tracks)])


def _end(rows: np.ndarray, at: int, frame: np.ndarray, boxes: np.ndarray, frames: Frames, shots: np.ndarray) -> _End:
    """The first or last detections of a track; `at` is 0 or -1."""
    index, some = frame[rows], boxes[rows].astype(np.float64)
    times, centres = frames.times[index], (some[:, :2] + some[:, 2:]) / 2
    seconds = float(times[-1] - times[0])
    return _End(
        time=float(times[at]),
        shot=int(shots[index[at]]),
        centre=centres[at],
        speed=(centres[-1] - centres[0]) / seconds if seconds else np.zeros(2),
        height=max(float(np.median(some[:, 3] - some[:, 1])), 1.0),
        size=max(float(np.sqrt(np.median(box_areas(some)))), 1.0),
        colour=np.mean([_torso(box, frames.images[k]) for box, k in zip(some, index, strict=True)], axis=0),
    )


def _torso(box: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(3,) mean colour of the middle of the upper half of a box (4,)."""
    x0, y0, x1, y1 = box
    area = np.array([x0 + 0.3 * (x1 - x0), y0 + 0.2 * (y1 - y0), x0 + 0.7 * (x1 - x0), y0 + 0.5 * (y1 - y0)])
    low = np.clip(area[:2], 0, np.array(image.shape[1::-1]) - 1).astype(int)
    high = np.maximum(np.ceil(area[2:]).astype(int), low + 1)
    return np.asarray(image[low[1] : high[1], low[0] : high[0]].reshape(-1, 3).mean(axis=0))


def _cost(end: _End, start: _End) -> float | None:
    """How unlike the end of one track and the start of another are; None if they are not one person."""
    gap = start.time - end.time
    if not 0 < gap <= GAP or end.shot != start.shot:
        return None
    if max(end.size, start.size) > LIKE_SIZE * min(end.size, start.size):
        return None
    colour = float(np.linalg.norm(end.colour - start.colour))
    moved = min(
        float(np.linalg.norm(start.centre - end.centre - speed * gap)) for speed in (np.zeros(2), end.speed)
    ) / max(end.height, start.height)
    if colour > LIKE_COLOUR or moved > min(REACH[0] + REACH[1] * gap, FARTHEST):
        return None
    return moved + colour / LIKE_COLOUR + gap / GAP
