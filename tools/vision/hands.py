"""Hands in a clip: 21 keypoints of every hand, identities across frames, and a summary in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final, Protocol, Self

import numpy as np

from ..video.reader import Frames
from .detections import VISIBLE, check_array, original_size
from .pose import Poses
from .posture import body_height
from .tracking import renumber

HandSkeletons = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Hands in one frame: keypoints (hands, 21, 3) float32 as in `Hands`, in pixels of the frame; scores and probabilities
of being a right hand, (hands,) float32 in [0, 1]; numbers (hands,) int64 that stay the same from frame to frame."""

WRIST: Final = 0
PALM: Final = (0, 5, 9, 13, 17)
"""Wrist and knuckles."""
TIPS: Final = (4, 8, 12, 16, 20)
"""Finger tips from thumb to little finger."""
HAND_SKELETON: Final = (
    (0, 1), (1, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7), (7, 8), (5, 9), (9, 10), (10, 11), (11, 12), (9, 13),
    (13, 14), (14, 15), (15, 16), (13, 17), (17, 18), (18, 19), (19, 20), (0, 17),
)  # fmt: skip
"""The bones: pairs of indices into the 21 keypoints: wrist, then four joints per finger, from thumb to little finger,
from the palm to the tip."""

RARELY_WHOLE: Final = 0.7
"""Proportion of frames with a whole person below which hands are looked for unasked."""
CLOSE: Final = 0.15
"""Median length of the palm, in short sides of the picture, from which hands are seen in close-up."""
MIN_SHARE: Final = 0.3
"""Proportion of frames with a hand from which hands are seen in close-up."""
MIN_HEIGHT: Final = 6.0
"""Palms: a person is 17 tall; beside a hand that is stretched towards the camera still this much. Bodies invented on
hands measured up to 3."""
BRIEF: Final = 4
"""Frames below which a hand is seen briefly only: lips, ears and bow ties are, too."""
MIN_BRIEF_SCORE: Final = 0.9
"""A hand seen briefly is dropped if its score is below this in every frame."""
CROP: Final = 0.2
"""Half the side of the crop in which a person's hand is looked for, in body heights; a hand is 0.11 long."""
MAX_DESCRIBED: Final = 4
"""Most hands a summary describes one by one."""


class HandEstimator(Protocol):
    """Finds hands and their keypoints."""

    def hands(self, frames: Frames, wrists: Sequence[np.ndarray]) -> Sequence[HandSkeletons]:
        """The hands of each frame, in pixels of `frames.images`.

        Args:
            frames: The frames.
            wrists: Of each frame, boxes (wrists, 4) about the hands of people: x0, y0, x1, y1.
        """
        ...


@dataclass(frozen=True)
class Hands:
    """All hands found in a clip; one detection is one hand in one frame.

    Raises:
        ValueError: The arrays do not match in length, or contain values that are not finite.
    """

    PER_DETECTION: ClassVar[tuple[str, ...]] = ("frame", "keypoints", "scores", "right", "tracks")

    times: np.ndarray
    """(frames,) float64, seconds of the video."""
    size: tuple[int, int]
    """Width and height in pixels of the original frame."""
    frame: np.ndarray
    """(detections,) int64, index into `times`, sorted."""
    keypoints: np.ndarray
    """(detections, 21, 3) float32: x, y in pixels of the original frame, then depth in pixels relative to the wrist,
    smaller nearer to the camera. All 21 are estimated, hidden ones too. Pairs of them are bones, `HAND_SKELETON`."""
    scores: np.ndarray
    """(detections,) float32 in [0, 1]."""
    right: np.ndarray
    """(detections,) float32: probability that it is a right hand, in [0, 1]."""
    tracks: np.ndarray
    """(detections,) int64: the hand's identity across frames, numbered from 1 in order of first appearance."""

    def __post_init__(self) -> None:
        shapes: dict[str, tuple[int, ...]] = {name: () for name in self.PER_DETECTION} | {"keypoints": (21, 3)}
        for name, shape in shapes.items():
            check_array(name, getattr(self, name), (len(self.frame), *shape))
        check_array("times", self.times, (len(self.times),))

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def palms(self) -> np.ndarray:
        """(detections,) length of the palm, from the wrist to the knuckles, in pixels of the original frame."""
        return palm_sizes(self.keypoints)

    @property
    def boxes(self) -> np.ndarray:
        """(detections, 4) float32 about the keypoints: x0, y0, x1, y1 in pixels of the original frame."""
        points = self.keypoints[:, :, :2]
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)

    @property
    def large(self) -> bool:
        """Whether hands are seen in close-up."""
        return self.share() >= MIN_SHARE and self.median_palm() >= CLOSE

    def share(self) -> float:
        """Proportion of frames that show a hand."""
        return len(np.unique(self.frame)) / max(len(self.times), 1)

    def median_palm(self) -> float:
        """Median over the frames with hands of the longest palm, in short sides of the picture; 0 without hands."""
        longest = [self.palms[self.frame == index].max() for index in np.unique(self.frame)]
        return float(np.median(longest)) / min(self.size) if longest else 0.0

    def where(self, mask: np.ndarray) -> Self:
        """The detections selected by `mask`, (detections,) bool."""
        return replace(self, **{name: getattr(self, name)[mask] for name in self.PER_DETECTION})

    def at(self, frame_index: int) -> Self:
        """The detections of one frame."""
        return self.where(self.frame == frame_index)

    def of(self, track: int) -> Self:
        """The detections of one hand."""
        return self.where(self.tracks == track)

    def summary(self) -> str:
        """Text for the policy: how many hands, when, which, how large, how far open; times in seconds."""
        if not len(self):
            return f"No hands found in {len(self.times)} frames."
        numbers, counts = np.unique(self.tracks, return_counts=True)
        together = int(np.bincount(self.frame).max())
        lines = [f"Hands: at most {together} at once, in {self.share():.0%} of the frames."]
        if self.large:
            lines.append("They are close to the camera.")
        chosen = np.sort(numbers[np.lexsort((numbers, -counts))[:MAX_DESCRIBED]])
        lines += [self.of(int(number)).describe_one() for number in chosen]
        return " ".join(lines)

    def describe_one(self) -> str:
        """One sentence about a single hand, as returned by `of`."""
        side = "right" if np.median(self.right) >= 0.5 else "left"
        first, last = self.times[self.frame[[0, -1]]]
        when = f"{first:.1f} to {last:.1f} s" if len(self) > 1 else f"only at {first:.1f} s"
        palm = float(np.median(self.palms)) / min(self.size)
        extended = np.median(extended_fingers(self.keypoints), axis=0)
        return (
            f"Hand {self.tracks[0]} ({side}): {when}, palm {palm:.0%} of the picture's short side, "
            f"{int(extended.sum())} fingers extended."
        )


def estimate_hands(frames: Frames, poses: Poses, estimator: HandEstimator) -> Hands:
    """Find the hands in every frame and track them through the clip.

    Args:
        frames: The frames; pixels are returned as those of the original, with `frames.scale` undone.
        poses: The people in these frames: hands are looked for closely where their wrists are.
        estimator: The model, such as `mediapipe_hands.MEDIAPIPE_HANDS`.
    """
    found = estimator.hands(frames, wrist_boxes(poses, frames))
    keypoints = np.concatenate([np.zeros((0, 21, 3), np.float32), *(each[0] for each in found)])
    scores, right = (np.concatenate([np.zeros(0, np.float32), *(each[k] for each in found)]) for k in (1, 2))
    tracks = np.concatenate([np.zeros(0, np.int64), *(each[3] for each in found)])
    frame = np.repeat(np.arange(len(found)), [len(each[3]) for each in found])
    hands = Hands(
        frames.times, original_size(frames), frame, keypoints / np.float32(frames.scale), scores, right, tracks
    )
    best = np.zeros(tracks.max(initial=0) + 1)
    np.maximum.at(best, tracks, scores)
    brief = np.bincount(tracks, minlength=len(best)) < min(BRIEF, 0.5 * len(found))
    hands = hands.where(~(brief & (best < MIN_BRIEF_SCORE))[tracks])
    return replace(hands, tracks=renumber(hands.tracks))


def rarely_whole(poses: Poses) -> bool:
    """Whether a whole person (shoulders, hips and a knee) is seen in less than `RARELY_WHOLE` of the frames."""
    seen = poses.keypoints[:, :, 2] >= VISIBLE
    whole = seen[:, [5, 6, 11, 12]].all(axis=1) & seen[:, [13, 14]].any(axis=1)
    return len(np.unique(poses.frame[whole])) < RARELY_WHOLE * len(poses.times)


def beside_hands(poses: Poses, hands: Hands) -> Poses:
    """The people without those whom the pose model invents where hands are seen in close-up: on palms and fingers.

    Beside large hands, a person is kept who is as tall as such hands require, or whose face is seen all the time.
    """
    if not hands.large:
        return poses
    kept = np.zeros(len(poses), bool)
    for track in np.unique(poses.tracks):
        person = poses.of(int(track))
        tall = body_height(person.keypoints, person.boxes) >= MIN_HEIGHT * float(np.median(hands.palms))
        faces = (person.keypoints[:, :3, 2] >= VISIBLE).all(axis=1)
        lasting = faces.mean() >= 0.7 and len(person) >= 0.5 * len(poses.times) and person.scores.mean() >= 0.7
        kept |= (poses.tracks == track) & (tall or lasting)
    return poses.where(kept)


def wrist_boxes(poses: Poses, frames: Frames) -> list[np.ndarray]:
    """Of each frame, (wrists, 4) boxes about the hands of people, in pixels of `frames.images` and inside of them."""
    height, width = frames.images.shape[1:3]
    boxes: list[list[np.ndarray]] = [[] for _ in frames.times]
    for track in np.unique(poses.tracks):
        person = poses.of(int(track))
        reach = CROP * body_height(person.keypoints, person.boxes) * frames.scale
        for index, pose in zip(person.frame.tolist(), person.keypoints, strict=True):
            for elbow, wrist in ((7, 9), (8, 10)):
                if pose[[elbow, wrist], 2].min() >= VISIBLE:
                    hand = (pose[wrist, :2] + 0.35 * (pose[wrist, :2] - pose[elbow, :2])) * frames.scale
                    box = np.concatenate([hand - reach, hand + reach]).clip(0, [width, height, width, height])
                    boxes[index].append(box)
    return [np.array(each, np.float64).reshape(-1, 4) for each in boxes]


def palm_sizes(keypoints: np.ndarray) -> np.ndarray:
    """Lengths of palms in pixels: (..., 21, 3) to (...). A palm seen from the fingers is measured by its width."""
    length = np.linalg.norm(keypoints[..., 9, :2] - keypoints[..., 0, :2], axis=-1)
    width = np.linalg.norm(keypoints[..., 17, :2] - keypoints[..., 5, :2], axis=-1)
    # A palm is 1.4 times as long as the knuckles are wide.
    return np.asarray(np.maximum(np.maximum(length, 1.4 * width), 1.0))


def palm_centres(keypoints: np.ndarray) -> np.ndarray:
    """Centres of palms in pixels: (..., 21, 3) to (..., 2)."""
    return np.asarray(keypoints[..., PALM, :2].mean(axis=-2))


def extended_fingers(keypoints: np.ndarray) -> np.ndarray:
    """Which fingers are extended, from thumb to little finger: (..., 21, 3) to (..., 5) bool."""
    fingers = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16], [17, 18, 19, 20]]
    joints = keypoints[..., fingers, :]
    bones = np.linalg.norm(np.diff(joints, axis=-2), axis=-1).sum(axis=-1)
    reach = np.linalg.norm(joints[..., -1, :] - joints[..., 0, :], axis=-1)
    return np.asarray(reach > 0.9 * bones)
