"""Array types of detections, the protocols of detectors and pose estimators, and the geometry they share.

This module stands below every detector, estimator and engine, and imports none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

import numpy as np

from ..video.reader import Frames

Detections = tuple[np.ndarray, np.ndarray]
"""People in one frame: boxes (people, 4) float32, x0, y0, x1, y1 in pixels of the frame, and scores (people,) float32
in [0, 1]."""
NamedDetections = tuple[np.ndarray, np.ndarray, Sequence[str]]
"""Objects in one frame: boxes and scores as in `Detections`, and the names of their classes."""
Skeletons = tuple[np.ndarray, np.ndarray, np.ndarray]
"""People in one frame with keypoints: boxes and scores as in `Detections`, and keypoints (people, 17, 3) float32: x, y
in pixels of the frame, then visibility in [0, 1]."""

KEYPOINTS: Final = (
    "nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder", "left elbow",
    "right elbow", "left wrist", "right wrist", "left hip", "right hip", "left knee", "right knee", "left ankle",
    "right ankle",
)  # fmt: skip
"""The 17 COCO keypoints in COCO order; left and right are the person's own."""
SKELETON: Final = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13),
    (13, 15), (12, 14), (14, 16),
)  # fmt: skip
"""The bones: pairs of indices into `KEYPOINTS`."""
MIRRORED: Final = (0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15)
"""Index of each keypoint's counterpart on the other side of the body."""
VISIBLE: Final = 0.5
"""A keypoint at or above this visibility counts as visible."""


class PersonDetector(Protocol):
    """Finds people; implement this to add a detector."""

    def people(self, frames: Frames) -> Sequence[Detections]:
        """The people of each frame, in pixels of `frames.images`."""
        ...


class PoseEstimator(Protocol):
    """Finds people and their keypoints; implement this to add a pose model."""

    def poses(self, frames: Frames) -> Sequence[Skeletons]:
        """The people of each frame, in pixels of `frames.images`."""
        ...


class ObjectDetector(Protocol):
    """Finds objects of named classes; implement this to offer the tool `detect_objects`."""

    def objects(self, frames: Frames) -> Sequence[NamedDetections]:
        """The objects of each frame that are not people, in pixels of `frames.images`."""
        ...


@runtime_checkable
class MirroredReader(Protocol):
    """A pose estimator that can also read a person again from the mirrored image.

    Implement this, too, to have its people verified: the mirrored reading of a real person agrees with the first, that
    of an invented one does not.
    """

    def read_mirrored(self, image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, float]:
        """The same person in the mirrored image.

        Args:
            image: (height, width, 3) uint8.
            keypoints: (17, 3) of the first reading, in pixels of `image`.

        Returns:
            Keypoints (17, 3) in pixels of `image`, with left and right as in the first reading, and the model's
            confidence in [0, 1] that this is a person.
        """
        ...


@dataclass(frozen=True)
class Engine:
    """A person detector and a pose estimator under one name."""

    name: str
    """Name and version: part of every cache key, so that results of different engines or weights never mix."""
    detector: PersonDetector
    estimator: PoseEstimator
    licence: str = ""
    """Licence terms beyond attribution, shown by `video-star doctor`; empty if there are none."""
    objects: ObjectDetector | None = None
    """Detector of other objects; without one, the tool `detect_objects` is not offered."""


def box_areas(boxes: np.ndarray) -> np.ndarray:
    """Areas of boxes: (n, 4) to (n,) square pixels; 0 for a box whose corners are swapped."""
    return np.asarray(np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1))


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of all pairs of boxes: (n, 4) and (m, 4) to (n, m) in [0, 1]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    return np.asarray(shared / np.maximum(box_areas(boxes)[:, None] + box_areas(others)[None] - shared, 1e-9))


def non_maximum_suppression(
    boxes: np.ndarray, scores: np.ndarray, iou: float = 0.5, containment: float | None = 0.8
) -> np.ndarray:
    """Indices of the boxes to keep, best score first: (kept,) int64.

    Args:
        boxes: (n, 4) x0, y0, x1, y1.
        scores: (n,).
        iou: A box is dropped if its intersection over union with a better one is at least this.
        containment: A box is also dropped if its intersection with a better one is at least this fraction of the
            smaller of the two. Tiles and close-ups give half a person beside the whole. None disables the test.
    """
    overlap = box_iou(boxes, boxes)
    rival = overlap >= iou
    if containment is not None:
        size = box_areas(boxes)
        shared = overlap / (1 + overlap) * (size[:, None] + size[None])
        rival |= shared >= containment * np.minimum(size[:, None], size[None])
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        if not rival[i, kept].any():
            kept.append(int(i))
    return np.array(kept, np.int64)


def pose_distance(pose: np.ndarray, other: np.ndarray, size: float) -> float:
    """Median distance of the keypoints visible in both skeletons, in units of `size`.

    Args:
        pose: (keypoints, 3) x, y in pixels, then visibility.
        other: The same for the other skeleton.
        size: Pixels, such as the square root of the box area.

    Returns:
        At least 0; NaN if fewer than four keypoints are visible in both.
    """
    both = (pose[:, 2] >= VISIBLE) & (other[:, 2] >= VISIBLE)
    if both.sum() < 4:
        return float("nan")
    return float(np.median(np.linalg.norm(pose[both, :2] - other[both, :2], axis=1)) / max(size, 1e-6))


def original_size(frames: Frames) -> tuple[int, int]:
    """Width and height in pixels of the video as displayed, before `frames.scale` was applied."""
    height, width = frames.images.shape[1:3]
    return round(width / frames.scale), round(height / frames.scale)


def check_array(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    """Raise `ValueError` unless the array has this shape and only finite values."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}; expected {shape} to match the other arrays")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} contains values that are not finite; leave such detections out")
