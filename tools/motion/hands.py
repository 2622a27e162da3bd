"""The motion primitives of hands in close view. Lengths are in palms, from the wrist to the knuckles."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..execution.cancellation import check_cancelled
from ..vision.hands import CLOSE, MIN_SHARE, PALM, TIPS, Hands, rarely_whole
from ..vision.pose import Poses
from .time_series import MAX_FRAME_GAP, MIN_KNOWN, Measure, Measures, lasting, ramp, strongest

TOUCH: Final = 0.25
"""Palms between two hands below which they touch: about the width of a finger, as keypoints are inside of fingers."""
TWO_HANDS: Final = 3
"""Fewest frames with two hands in which touching is measured."""
FEWEST: Final = 4
"""Fewest consecutive frames of one hand in which its fingers are measured."""


MIN_PALM: Final = 0.06
"""Length of the palm, in short sides of the picture, below which errors of keypoints look like work of fingers."""
MIN_PIXELS: Final = 24.0
"""The same in pixels of the original frame."""
SURE: Final = 0.8
"""Score of a hand from which its finger tips, and its distance from another, are measured."""
SLOW: Final = 0.7
"""Palms per second by which the finger tips of a still hand seem to move at most, by errors of its keypoints. Measured
on hands that hold something: median 0.3 to 0.6, three quarters below 1."""
FAST: Final = 1.6
"""Palms per second from which fingers are at work."""


def measure_hands(hands: Hands | None, poses: Poses) -> Measures:
    """Support of every primitive of hands; None for what was not measurable.

    Args:
        hands: Tracked hands; None where they were not looked for.
        poses: The people of the same frames, without invented ones. Where they are seen, hands do not fill the picture.
    """
    times = poses.times
    if hands is None:
        return {} if rarely_whole(poses) else {"hands_close": Measure(0.0, float(times[0]), float(times[-1]))}
    found: Measures = {"hands_close": _close(hands, poses), "hands_touch": _touch(hands)}
    if len(times) > 1 and float(np.median(np.diff(times))) <= MAX_FRAME_GAP:
        found["fingers_work"] = strongest(*(_works(hands.of(int(track))) for track in np.unique(hands.tracks)))
    return found


def _close(hands: Hands, poses: Poses) -> Measure | None:
    """Hands fill the picture, and nobody they may belong to is seen. None where neither hands nor people are seen."""
    people = len(np.unique(poses.frame)) / max(len(hands.times), 1)
    if hands.share() < MIN_KNOWN and people < MIN_KNOWN:
        return None
    here = hands.times[hands.frame] if len(hands) else hands.times
    large = ramp(hands.median_palm(), 0.6 * CLOSE, 1.1 * CLOSE)
    often = ramp(hands.share(), 0.5 * MIN_SHARE, 1.5 * MIN_SHARE)
    return Measure(float(large * often * ramp(people, 0.8, 0.3)), float(here[0]), float(here[-1]))


def _touch(hands: Hands) -> Measure | None:
    """Two hands touch, over the frames with two."""
    known = [(hands.times[index], _gap(hands.at(int(index)))) for index in np.unique(hands.frame)]
    times, gaps = np.array([(time, gap) for time, gap in known if np.isfinite(gap)]).reshape(-1, 2).T
    if len(gaps) < TWO_HANDS:
        return None
    return lasting(ramp(gaps, 2 * TOUCH, TOUCH), times, 0.5)


def _gap(here: Hands) -> float:
    """Smallest distance between the keypoints of the two largest hands of one frame, in palms of the larger.

    NaN without two true hands, which are certain and of about one size: hands that touch are equally far away.
    """
    order = np.argsort(-here.palms, kind="stable")[:2]
    one, other = here.palms[order] if len(order) > 1 else (1.0, 0.0)
    if other < 0.5 * one or here.scores[order].min() < SURE:
        return float("nan")
    points = here.keypoints[order, :, :2].astype(np.float64)
    return float(np.linalg.norm(points[0][:, None] - points[1][None], axis=2).min() / one)


def _works(hand: Hands) -> Measure | None:
    """The fingers of one hand move: how fast their tips move relative to the palm."""
    check_cancelled()
    if len(hand) < FEWEST or np.median(hand.palms) < max(MIN_PIXELS, MIN_PALM * min(hand.size)):
        return None
    times = hand.times[hand.frame]
    step = np.diff(times)
    speed = np.where(step <= MAX_FRAME_GAP, finger_change(hand) / np.maximum(step, 1e-6), np.nan)
    return lasting(ramp(speed, SLOW, FAST), times[1:], 0.4)


def finger_change(hand: Hands) -> np.ndarray:
    """(k - 1,) mean distance in palms by which the finger tips of one hand moved between its k frames.

    Place and direction of the palm are removed from each step. Tips outside the picture are guesses of the model and
    do not count; NaN where less than three are left, or the hand is uncertain.
    """
    z = hand.keypoints[..., 0].astype(np.float64) + 1j * hand.keypoints[..., 1]
    inside = (z.real >= 0) & (z.imag >= 0) & (z.real < hand.size[0]) & (z.imag < hand.size[1])
    known = inside[:, TIPS] & (hand.scores >= SURE)[:, None]
    palms = z[:, PALM]
    z = z - palms.mean(axis=1, keepdims=True)
    turn = (z[1:, PALM] * z[:-1, PALM].conj()).sum(axis=1)
    turn /= np.maximum(np.abs(turn), 1e-9)
    moved = np.abs(z[1:, TIPS] - turn[:, None] * z[:-1, TIPS]) / np.median(hand.palms)
    both = known[1:] & known[:-1]
    count = both.sum(axis=1)
    return np.where(count >= 3, (moved * both).sum(axis=1) / np.maximum(count, 1), np.nan)
