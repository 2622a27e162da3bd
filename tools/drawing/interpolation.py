"""People, hands and objects at any time, from those found in the analysed frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

import numpy as np

from ..motion.time_series import MAX_FRAME_GAP
from ..vision.hands import Hands
from ..vision.objects import Objects
from ..vision.people import People
from ..vision.pose import Poses

MAX_HOLD: Final = 0.125
"""Seconds from an analysed frame for which its people are shown where they cannot be interpolated."""

F = TypeVar("F", People, Poses, Hands, Objects)


def found_at(result: F, seconds: float) -> F:
    """What was found at one time, as a result with one frame.

    Positions are interpolated between the analysed frames before and after, if these are at most `MAX_FRAME_GAP` apart;
    otherwise those of the nearest frame are taken, if it is at most `MAX_HOLD` away.

    Args:
        result: People, poses, hands or objects of a clip.
        seconds: Seconds of the video.
    """
    times = result.times
    after = int(np.searchsorted(times, seconds, side="right"))
    before = after - 1
    if 0 <= before and after < len(times) and times[after] - times[before] <= MAX_FRAME_GAP:
        share = float((seconds - times[before]) / (times[after] - times[before]))
        found = _between(result.at(before), result.at(after), share)
    else:
        nearest = int(np.abs(times - seconds).argmin())
        near = abs(float(times[nearest]) - seconds) <= MAX_HOLD
        found = result.at(nearest) if near else result.where(np.zeros(len(result), bool))
    return replace(found, times=np.array([seconds]), frame=np.zeros(len(found), np.int64))


def _between(one: F, other: F, share: float) -> F:
    """What is `share` of the way from one frame to another; what is in one of them only stays for the nearer half."""
    _, i, j = np.intersect1d(one.tracks, other.tracks, return_indices=True)
    near = one if share < 0.5 else other
    alone = ~np.isin(near.tracks, one.tracks[i])
    changes = {}
    for name in one.PER_DETECTION:
        first, second = getattr(one, name)[i], getattr(other, name)[j]
        is_float = np.issubdtype(first.dtype, np.floating)
        mixed = ((1 - share) * first + share * second).astype(first.dtype) if is_float else first
        if name == "keypoints" and isinstance(one, Poses):
            # A keypoint that one frame does not show has no position there.
            mixed[..., 2] = np.minimum(first[..., 2], second[..., 2])
        changes[name] = np.concatenate([mixed, getattr(near, name)[alone]])
    changes["frame"][:] = 0
    return replace(one, **changes)
