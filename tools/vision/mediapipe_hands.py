"""The embedded hand estimator: MediaPipe Hands (Zhang et al. 2020, arXiv:2006.10214) on ai-edge-litert.

Candidates come from three sources: the positions predicted from the previous frame, the palm detector on the whole
picture and on parts of it in turn, and the palm detector where wrists are. Each hand gets one skeleton: a second one on
it is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from PIL import Image

from ..execution.cancellation import check_cancelled
from ..video.reader import Frames
from .cuts import CutDetector
from .detections import non_maximum_suppression
from .hands import WRIST, HandSkeletons, palm_centres, palm_sizes
from .mediapipe import LiteRtModel, Square, anchors, crop_affine, sigmoid, warp
from .ssdlite import WEIGHTS
from .tracking import MAX_GAP

_ANCHORS: Final = anchors(192, ((8, 2), (16, 6)))
_PALM_JOINTS: Final = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Joints from which the region of the next frame is derived: without the finger tips, which move fastest."""


@dataclass(frozen=True)
class _Region:
    """The rotated square that the landmark model reads, fingers towards the upper edge. In pixels."""

    centre: np.ndarray
    """(2,)"""
    up: np.ndarray
    """(2,): from the centre to the middle of the upper edge."""

    @classmethod
    def of_palm(cls, centre: np.ndarray, size: np.ndarray, wrist: np.ndarray, knuckle: np.ndarray) -> _Region:
        """The region of a detected palm: box centre and size, wrist and knuckle of the middle finger, (2,) each."""
        up = _direction(knuckle - wrist)
        return cls(centre + 0.5 * size[1] * up, 1.3 * float(size.max()) * up)

    @classmethod
    def of_keypoints(cls, points: np.ndarray) -> _Region:
        """The region about the keypoints (21, 2) of the previous frame."""
        knuckles = 0.25 * points[5] + 0.5 * points[9] + 0.25 * points[13]
        up = _direction(knuckles - points[WRIST])
        axes = np.stack([[-up[1], up[0]], up])
        along = points[list(_PALM_JOINTS)] @ axes.T
        low, high = along.min(axis=0), along.max(axis=0)
        middle = (low + high) / 2 + [0, 0.1 * (high - low)[1]]
        return cls(middle @ axes, float((high - low).max()) * up)

    def moved(self, shift: np.ndarray) -> _Region:
        return _Region(self.centre + shift, self.up)


@dataclass(eq=False)
class _Hand:
    """One hand in one frame."""

    keypoints: np.ndarray
    """(21, 3): x, y in pixels, then depth in pixels relative to the wrist, smaller nearer to the camera."""
    presence: float
    """The landmark model's confidence that this is a hand, in [0, 1]."""
    right: float
    """Probability that it is a right hand."""
    region: _Region
    """Where to look for it in the next frame."""
    track: int = 0
    time: float = 0.0
    """Seconds of the video."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """(2,) pixels per second of the region's centre."""

    @property
    def palm(self) -> float:
        """Length of the palm in pixels."""
        return float(palm_sizes(self.keypoints))

    @property
    def centre(self) -> np.ndarray:
        """(2,) centre of the palm."""
        return palm_centres(self.keypoints)


class MediaPipeHands:
    """A `HandEstimator`: MediaPipe's palm detector and hand landmark model.

    Thread-safe; the models are loaded on first use.
    """

    MIN_PALM_SCORE: Final = 0.5
    MIN_PRESENCE: Final = 0.5
    SAME_HAND: Final = 0.5
    """Hands whose palm centres are closer than this, in lengths of the larger palm, are one hand."""
    REACH: Final = 3.0
    """Palm lengths a hand may move in `MAX_GAP` seconds, beyond its predicted place, and keep its identity."""
    MIN_CROP: Final = 40.0
    """Pixels of the side of a part of the picture below which no hand is looked for in it."""
    TWO_HANDS: Final = 3
    """Where two hands are known, new ones are looked for in every third frame only."""

    def __init__(self, palms: str = "palm_detection_lite.tflite", landmarks: str = "hand_landmark_lite.tflite") -> None:
        self._palm_detector = LiteRtModel(WEIGHTS / palms)
        self._landmarks = LiteRtModel(WEIGHTS / landmarks)

    def hands(self, frames: Frames, wrists: Sequence[np.ndarray]) -> list[HandSkeletons]:
        """The hands of each frame; see `HandEstimator`."""
        found: list[HandSkeletons] = []
        known: list[_Hand] = []
        is_cut, count = CutDetector(), 0
        for k, (image, time) in enumerate(zip(frames.images, frames.times.tolist(), strict=True)):
            check_cancelled()
            picture = Image.fromarray(image)
            known = [] if is_cut(picture) else [hand for hand in known if time - hand.time <= MAX_GAP]
            hands, lost = self._track(picture, known, time)
            for box in self._where_to_look(k, picture.size, wrists[k], hands):
                self._add(picture, hands, box)
            for hand in hands:
                hand.time = time
                if not hand.track:
                    count = self._identify(hand, lost, count)
            found.append(_skeletons(hands))
            known = hands + lost
        return found

    def _where_to_look(
        self, k: int, size: tuple[int, int], wrists: np.ndarray, hands: Sequence[_Hand]
    ) -> list[np.ndarray | None]:
        """The parts of frame `k` that the palm detector reads, None for the whole: one in turn, and one at a wrist.

        Hands stay known from frame to frame, so that it is enough to look everywhere once in a while.
        """
        views = [box for box in _views(size) if box is None or (box[2:] - box[:2]).min() >= self.MIN_CROP]
        looked = [] if len(hands) > 1 and k % self.TWO_HANDS else [views[k % len(views)]]
        bare = [box for box in wrists if (box[2:] - box[:2]).min() >= self.MIN_CROP and not _holds(box, hands)]
        return [*looked, *([bare[k % len(bare)]] if bare else [])]

    def _track(self, picture: Image.Image, known: Sequence[_Hand], time: float) -> tuple[list[_Hand], list[_Hand]]:
        """The hands of earlier frames: those found again at their predicted positions, and those lost."""
        hands: list[_Hand] = []
        lost: list[_Hand] = []
        for hand in sorted(known, key=lambda each: -each.presence):
            gap = time - hand.time
            again = self._read(picture, hand.region.moved(hand.velocity * gap))
            if again.presence < self.MIN_PRESENCE or self._same(hands, again):
                lost.append(hand)
                continue
            again.track, again.velocity = hand.track, (again.region.centre - hand.region.centre) / gap / 2
            hands.append(again)
        return hands, lost

    def _add(self, picture: Image.Image, hands: list[_Hand], box: np.ndarray | None) -> None:
        """Add the hands whose palms are found in the picture, or in a box (4,) of it, and that are not known yet."""
        for region in self._palms(picture, box):
            hand = self._read(picture, region)
            if hand.presence >= self.MIN_PRESENCE and not self._same(hands, hand):
                hands.append(hand)

    def _identify(self, hand: _Hand, lost: list[_Hand], count: int) -> int:
        """Give a hand the identity of the nearest one lost near by, or a new number; returns the highest number."""

        def distance(other: _Hand) -> float:
            gap = hand.time - other.time
            return float(np.linalg.norm(hand.centre - other.centre - other.velocity * gap))

        nearest = min(lost, key=distance, default=None)
        if nearest is None or distance(nearest) > self.REACH * max(hand.palm, nearest.palm):
            hand.track = count + 1
            return count + 1
        lost.remove(nearest)
        hand.track = nearest.track
        return count

    def _same(self, hands: Iterable[_Hand], hand: _Hand) -> bool:
        """Whether this is a second skeleton on one of these hands."""
        return any(
            float(np.linalg.norm(hand.centre - other.centre)) < self.SAME_HAND * max(hand.palm, other.palm)
            for other in hands
        )

    def _read(self, picture: Image.Image, region: _Region) -> _Hand:
        """The hand that the landmark model finds in a region."""
        affine = crop_affine(region.centre, region.up, 224)
        out = self._landmarks(np.asarray(warp(picture, affine, 224), np.float32) / 255)
        points = out["Identity"].reshape(21, 3).astype(np.float64)
        points[:, 2] *= float(np.linalg.norm(affine[:, 0]))
        points[:, :2] = points[:, :2] @ affine[:, :2].T + affine[:, 2]
        presence, right = float(out["Identity_1"][0]), float(out["Identity_2"][0])
        return _Hand(points, presence, right, _Region.of_keypoints(points[:, :2]))

    def _palms(self, picture: Image.Image, box: np.ndarray | None) -> list[_Region]:
        """Regions of the palms that the detector finds in the picture or in a box of it, best first."""
        square = Square.of(picture, 192, box)
        out = self._palm_detector(square.pixels / 255)
        scores = sigmoid(out["Identity_1"][:, 0].astype(np.float64))
        likely = scores >= self.MIN_PALM_SCORE
        # Box centre, box size, then seven points: the wrist first, the knuckle of the middle finger third.
        offsets = out["Identity"][likely].astype(np.float64).reshape(-1, 9, 2)
        points = square.invert(offsets[:, [0, 2, 4]] + _ANCHORS[likely, None])
        sizes = offsets[:, 1] / square.scale
        boxes = np.concatenate([points[:, 0] - sizes / 2, points[:, 0] + sizes / 2], axis=1)
        kept = non_maximum_suppression(boxes, scores[likely], iou=0.3)
        return [_Region.of_palm(points[i, 0], sizes[i], points[i, 1], points[i, 2]) for i in kept]


MEDIAPIPE_HANDS: Final = MediaPipeHands()
"""The embedded estimator, one per process."""


def _views(size: tuple[int, int]) -> list[np.ndarray | None]:
    """The whole picture (None) and boxes (4,) of parts of it, in the order in which palms are looked for.

    A palm must be about a fifteenth of the side that the detector reads: of the whole picture in close-ups, of a square
    or of a smaller tile for hands farther away.
    """
    sides = np.array(size, np.float64)
    square, tile = np.full(2, sides.min()), np.full(2, 0.6 * sides.min())
    squares = [np.concatenate([low, low + square]) for low in (0 * sides, sides - square)]
    corners = [(0, 0), (1, 0), (0, 1), (1, 1)]
    middle = [np.where(sides == sides.max(), 0.5, end) for end in (0.0, 1.0)]
    lows = [(sides - tile) * np.asarray(place) for place in (*corners, *middle)]
    tiles = [np.concatenate([low, np.minimum(low + tile, sides)]) for low in lows]
    large = [None, squares[0], None, squares[1], None, squares[0]]
    return [view for pair in zip(large, tiles, strict=True) for view in pair]


def _holds(box: np.ndarray, hands: Sequence[_Hand]) -> bool:
    """Whether one of the hands lies in a box."""
    return any(bool((hand.centre >= box[:2]).all() and (hand.centre <= box[2:]).all()) for hand in hands)


def _direction(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-6))


def _skeletons(hands: Sequence[_Hand]) -> HandSkeletons:
    return (
        np.array([hand.keypoints for hand in hands], np.float32).reshape(-1, 21, 3),
        np.array([hand.presence for hand in hands], np.float32),
        np.array([hand.right for hand in hands], np.float32),
        np.array([hand.track for hand in hands], np.int64),
    )
