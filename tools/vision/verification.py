"""People who are there: whoever an estimator reads differently in the mirror is invented.

The median distance between the joints of a skeleton and those read from the mirrored image, in square roots of the box
area, is small for a person and large for anything else that was taken for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..execution.cancellation import check_cancelled
from ..video.reader import Frames
from .detections import VISIBLE, MirroredReader, box_areas, pose_distance
from .people import People

LOOKS: Final = 5
"""Most detections of one person that are read again."""
FEW_FRAMES: Final = 4
"""In a clip of more frames, a person seen in one only needs a trusted skeleton and a score of `BRIEF_SCORE`."""
BRIEF_SCORE: Final = 0.6
MIN_PRESENCE: Final = 0.85
"""Smallest median confidence, in the mirror, of a person with a skeleton."""
MAX_DISTANCE: Final = 0.09
"""Largest median distance between a skeleton and its mirrored reading."""
MAX_DISTANCE_TILTED: Final = 0.06
"""The same for a trunk tilted by `TILTED` degrees or more: most invented people lie."""
TILTED: Final = 45.0
WRONG_PRESENCE: Final = 0.5
"""Confidence below which the keypoints of single detections of a person are not trusted."""
WRONG_DISTANCE: Final = 0.15
"""Distance above which they are not."""
BOX_PRESENCE: Final = 0.6
"""Smallest confidence of a person whose skeleton is not trusted but whose box the detector is sure of."""
BOX_SCORE: Final = 0.5
"""Smallest mean score of such a person, and of one without a skeleton."""
SURE_SCORE: Final = 0.6
"""Smallest mean score of a person whose skeleton is wrong: the detector knows half a person, the estimator does not."""
FILLED_DISTANCE: Final = 0.18
"""Largest median distance between an interpolated skeleton and the mirrored reading."""
FILLED: Final = 1.0
"""Longest gap, in seconds, in which a person is sought between two detections."""


@dataclass(frozen=True)
class _Look:
    """One detection read again in the mirror."""

    distance: float
    """As in the module's docstring; NaN if too few joints are visible."""
    presence: float
    """The estimator's confidence in the mirror."""
    tilted: bool

    @property
    def plausible(self) -> bool:
        """Whether this one detection may be right where the person's others are."""
        return self.presence >= WRONG_PRESENCE and not self.distance > WRONG_DISTANCE


def verify(
    people: People, keypoints: np.ndarray, frames: Frames, reader: MirroredReader
) -> tuple[np.ndarray, np.ndarray]:
    """Who is there, and whose skeleton can be trusted.

    Args:
        people: Tracked people, in pixels of the original.
        keypoints: (detections, 17, 3) of them.
        frames: The frames they were found in.
        reader: The estimator that found them.

    Returns:
        (detections,) bool each; a person who is there may have a wrong skeleton.
    """
    kept, trusted = np.zeros(len(people), bool), np.zeros(len(people), bool)
    for track in np.unique(people.tracks):
        rows = np.flatnonzero(people.tracks == track)
        seen = rows[keypoints[rows, :, 2].max(axis=1) >= VISIBLE]
        sampled = seen[np.unique(np.linspace(0, len(seen) - 1, min(LOOKS, len(seen))).round().astype(int))]
        looks = [_look(people.boxes[i], keypoints[i], frames, int(people.frame[i]), reader) for i in sampled.tolist()]
        agree = bool(looks) and _agree(looks)
        score = float(people.scores[rows].mean())
        if len(rows) == 1 and len(people.times) > FEW_FRAMES:
            kept[rows] = agree and score >= BRIEF_SCORE
        else:
            kept[rows] = agree or score >= (BOX_SCORE if not looks or _presence(looks) >= BOX_PRESENCE else SURE_SCORE)
        if agree:
            nearest = np.abs(people.frame[rows][:, None] - people.frame[sampled][None]).argmin(axis=1)
            trusted[rows] = [looks[i].plausible for i in nearest]
    return kept, trusted


def _look(box: np.ndarray, first: np.ndarray, frames: Frames, index: int, reader: MirroredReader) -> _Look:
    """A skeleton (17, 3) in a box (4,), in pixels of the original, beside its mirrored reading."""
    check_cancelled()
    scaled = first.astype(np.float64) * [frames.scale, frames.scale, 1]
    again, presence = reader.read_mirrored(frames.images[index], scaled)
    again = np.column_stack([again[:, :2], scaled[:, 2]])
    size = float(np.sqrt(box_areas(box[None])[0])) * frames.scale
    up = first[[5, 6], :2].mean(axis=0) - first[[11, 12], :2].mean(axis=0)
    tilted = bool(np.degrees(np.arctan2(abs(up[0]), -up[1])) >= TILTED)
    return _Look(pose_distance(scaled, again, size), presence, tilted)


def _presence(looks: list[_Look]) -> float:
    return float(np.mean([look.presence for look in looks]))


def _agree(looks: list[_Look]) -> bool:
    """Whether the readings and their mirrored ones are those of a person."""
    distances = [look.distance for look in looks if np.isfinite(look.distance)]
    limit = MAX_DISTANCE_TILTED if np.mean([look.tilted for look in looks]) > 0.5 else MAX_DISTANCE
    return (
        bool(distances)
        and float(np.median(distances)) <= limit
        and float(np.median([look.presence for look in looks])) >= MIN_PRESENCE
    )


@dataclass(frozen=True)
class Filled:
    """A person in a frame between two detections."""

    frame: int
    box: np.ndarray
    """(4,) pixels of the original."""
    score: float
    track: int
    keypoints: np.ndarray
    """(17, 3) pixels of the original, then visibility."""


def fill_gaps(
    people: People, keypoints: np.ndarray, frames: Frames, shots: np.ndarray, reader: MirroredReader
) -> list[Filled]:
    """The people in short gaps between two detections, where the interpolated skeleton is found in the mirror.

    Args:
        people: Tracked people, in pixels of the original.
        keypoints: (detections, 17, 3) of them.
        frames: The frames they were found in.
        shots: (frames,) int, the number of each frame's shot.
        reader: The estimator that found them.
    """
    found = []
    for track in np.unique(people.tracks):
        rows = np.flatnonzero((people.tracks == track) & (keypoints[:, :, 2].max(axis=1, initial=0) >= VISIBLE))
        for one, other in zip(rows, rows[1:], strict=False):
            ends = people.frame[[one, other]]
            start, end = people.times[ends]
            if end - start > FILLED or shots[ends[0]] != shots[ends[1]]:
                continue
            bare = people.frame[people.tracks == track]
            for k in np.setdiff1d(np.arange(ends[0] + 1, ends[1]), bare).tolist():
                part = (people.times[k] - start) / (end - start)
                box = (1 - part) * people.boxes[one] + part * people.boxes[other]
                points = (1 - part) * keypoints[one] + part * keypoints[other]
                look = _look(box, points, frames, k, reader)
                if look.presence >= MIN_PRESENCE and look.distance <= FILLED_DISTANCE:
                    found.append(Filled(k, box, float(people.scores[[one, other]].min()), int(track), points))
    return found
