"""The embedded pose estimator: BlazePose (Bazarevsky et al. 2020, arXiv:2006.10204) on ai-edge-litert.

Candidates come from three sources: the positions predicted from the previous frames, the boxes of the person detector,
and BlazePose's own detector. Each person gets one skeleton: a second one on the same body is dropped, and where known
people overlap, the pixels of the more certain one are masked before the next one is estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
from PIL import Image

from ..video.reader import Frames
from .cuts import CutDetector
from .detections import MIRRORED, VISIBLE, Skeletons, box_areas, box_iou, non_maximum_suppression, pose_distance
from .mediapipe import LiteRtModel, Square, anchors, crop_affine, sigmoid, warp
from .ssdlite import SSDLITE, WEIGHTS
from .tracking import MAX_GAP

_ANCHORS: Final = anchors(224, ((8, 2), (16, 2), (32, 6)))
_COCO: Final = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose's index of each of the 17 COCO keypoints."""


@dataclass(frozen=True)
class _Region:
    """The rotated square that the landmark model reads: hips in the centre, head towards the upper edge. In pixels."""

    MARGIN: ClassVar[float] = 1.25

    centre: np.ndarray
    """(2,): midpoint of the hips."""
    up: np.ndarray
    """(2,): from the centre to the end of the body; the square extends `MARGIN` times as far."""

    @classmethod
    def of_box(cls, box: np.ndarray) -> _Region:
        """The region of an upright person in a box (4,): x0, y0, x1, y1."""
        low, high = box.astype(np.float64).reshape(2, 2)
        return cls((low + high) / 2, np.array([0.0, -(high - low).max() / 2]))

    @classmethod
    def of_keypoints(cls, keypoints: np.ndarray) -> _Region:
        """The region of a skeleton (17, 3); joints that are not visible count too, as the model places them."""
        points = keypoints[:, :2].astype(np.float64)
        hips, shoulders = points[[11, 12]].mean(axis=0), points[[5, 6]].mean(axis=0)
        trunk = float(np.linalg.norm(shoulders - hips))
        reach = max(1.1 * float(np.linalg.norm(points - hips, axis=1).max()), 1.0)
        return cls(hips, (shoulders - hips) / trunk * reach if trunk > 1e-6 else np.array([0.0, -reach]))

    def moved(self, shift: np.ndarray) -> _Region:
        return _Region(self.centre + shift, self.up)

    def midway(self, other: _Region) -> _Region:
        """The region halfway to another one."""
        return _Region((self.centre + other.centre) / 2, (self.up + other.up) / 2)

    def distance(self, other: _Region) -> float:
        """The larger of the distances between centres and between upper ends, relative to the length of `up`."""
        centres = float(np.linalg.norm(self.centre - other.centre))
        ends = float(np.linalg.norm(self.centre + self.up - other.centre - other.up))
        return max(centres, ends) / max(float(np.linalg.norm(self.up)), 1e-6)

    def affine(self) -> np.ndarray:
        """(2, 3) matrix from the model's input, in pixels 0..256, to the image."""
        return crop_affine(self.centre, self.up * self.MARGIN, 256)


@dataclass(eq=False)
class _Body:
    """One person in one frame."""

    box: np.ndarray
    """(4,) pixels."""
    keypoints: np.ndarray
    """(17, 3): x, y in pixels, then visibility."""
    region: _Region
    """Where to look for this person in the next frame."""
    presence: float
    """The landmark model's confidence that this is a body, in [0, 1]."""
    mask: Image.Image
    """Which pixels of the model's input belong to this body."""
    affine: np.ndarray
    """(2, 3) matrix from the model's input to the image."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """(2,) pixels per second of the region's centre."""
    time: float = 0.0
    """Seconds of the video."""
    score: float = 0.0
    """Score of the detector that last found this person, in [0, 1]."""
    confirmed: float = 0.0
    """Time of that detection in seconds of the video."""

    @property
    def partial(self) -> bool:
        """Whether the hips are hidden or outside the frame, so that the keypoints do not show the whole body."""
        return bool(self.keypoints[11:13, 2].min() < VISIBLE)

    def confirm(self, score: float, time: float) -> None:
        """Record that a detector found this person; of several scores at one time the best is kept."""
        self.score = max(score, self.score) if self.confirmed == time else score
        self.confirmed = time

    def matches_box(self, box: np.ndarray) -> bool:
        """Whether a detector's box is this person: the boxes agree, or the skeleton is part of a close-up."""
        of_body, of_box = _shares(self.box, box)
        return bool(box_iou(self.box[None], box[None])[0, 0] >= 0.4 or (of_body > 0.8 and of_box > 0.1))

    def disagrees(self, box: np.ndarray) -> bool:
        """Whether a detector's box of this person differs: the skeleton shows a part of the body, or is wrong."""
        return bool(box_iou(self.box[None], box[None])[0, 0] < 0.5)

    def duplicates(self, other: _Body) -> bool:
        """Whether this is the other's face or arm mistaken for a small body, or a second skeleton of a close-up."""
        of_body, of_other = _shares(self.box, other.box)
        return (of_body > 0.8 and of_other < 0.5) or (self.partial and other.partial and min(of_body, of_other) > 0.5)


class BlazePose:
    """A `PoseEstimator`: SSDLite boxes, BlazePose's detector and its "full" landmark model.

    Thread-safe; the models are loaded on first use.
    """

    MIN_PROPOSAL: Final = 0.5
    """Minimum score of BlazePose's own detector."""
    MIN_SEED: Final = 0.2
    """The person detector's minimum score of a box in which a body is sought every `SEED_EVERY` frames; whoever is
    found there is verified later."""
    MIN_SEED_PROPOSAL: Final = 0.3
    """The same for BlazePose's own detector."""
    SURE_BOX: Final = 0.6
    """The person detector's score from which its box is believed rather than the extent of a skeleton elsewhere."""
    SEED_EVERY: Final = 3
    """Frames between two that are searched thoroughly: in tiles, and from low scores."""
    MIN_PRESENCE: Final = 0.5
    """Minimum presence of a skeleton confirmed by the person detector."""
    MIN_PRESENCE_UNBOXED: Final = 0.7
    """The same outside the boxes of the person detector."""
    MIN_PRESENCE_UNCONFIRMED: Final = 0.9
    """The same for a person tracked from the previous frame and found by no detector in this one."""
    REFIT_DISTANCE: Final = 0.2
    """If the region derived from a skeleton differs by this much from the region read, the landmarks are read again
    there."""
    MERGE_DISTANCE: Final = 0.12
    """Tracked people whose skeletons are closer than this, in square roots of the box area, are one person."""
    MIN_NEW_DISTANCE: Final = 0.25
    """A new skeleton must be at least this far from the tracked ones to be another person."""

    def __init__(self) -> None:
        self._body_detector = LiteRtModel(WEIGHTS / "pose_detection.tflite")
        self._landmarks = LiteRtModel(WEIGHTS / "pose_landmark_full.tflite")

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame, in pixels of `frames.images`."""
        found: list[Skeletons] = []
        known: list[_Body] = []
        is_cut = CutDetector()
        for k, (image, time) in enumerate(zip(frames.images, frames.times.tolist(), strict=True)):
            picture = Image.fromarray(image)
            cut = is_cut(picture)
            known = [] if cut else known
            thorough = cut or k % self.SEED_EVERY == 0
            bodies, lost = self._track(picture, [body for body in known if time - body.time <= MAX_GAP], time)
            boxes, scores = SSDLITE.detect(picture, self.MIN_SEED, thorough)
            bare = self._add_from_boxes(picture, bodies, boxes, scores, time, thorough)
            self._add_from_proposals(picture, bodies, time, thorough)
            bodies = [body for body in bodies if self._accepted(body, bodies, time)]
            bare = [i for i in bare if not any(body.matches_box(boxes[i]) for body in bodies)]
            found.append(_skeletons(bodies, boxes[bare], scores[bare]))
            known = bodies + lost
        return found

    def read_mirrored(self, image: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, float]:
        """As in `MirroredReader`."""
        affine = _Region.of_keypoints(keypoints).affine()
        # 256 pixels run from 0 to 256, so that a mirrored x is 256 - x.
        mirrored = np.column_stack([-affine[:, 0], affine[:, 1], affine[:, 2] + 256 * affine[:, 0]])
        picture = Image.fromarray(image)
        out = self._landmarks(np.asarray(warp(picture, mirrored, 256), np.float32) / 255)
        body = _landmarks_in(out, mirrored, picture.size)[list(_COCO)]
        return body[list(MIRRORED)], float(out["Identity_1"][0])

    def _track(self, picture: Image.Image, known: Sequence[_Body], time: float) -> tuple[list[_Body], list[_Body]]:
        """The bodies of earlier frames: those found again at their predicted positions, and those lost."""
        bodies: list[_Body] = []
        lost: list[_Body] = []
        for body in sorted(known, key=lambda each: -each.presence):
            gap = time - body.time
            expected = body.region.moved(body.velocity * gap)
            again = self._read(picture, expected, bodies)
            if again.presence < self.MIN_PRESENCE:
                again = self._read(picture, again.region, bodies)
            if again.presence < self.MIN_PRESENCE or self._same(bodies, again, self.MERGE_DISTANCE):
                lost.append(body)
                continue
            again.velocity = (again.region.centre - body.region.centre) / gap / 2
            # Where people overlap, the model's own next region drifts towards the more prominent one: go halfway.
            again.region = expected.midway(again.region)
            again.time, again.score, again.confirmed = time, body.score, body.confirmed
            bodies.append(again)
        return bodies, lost

    def _add_from_boxes(
        self,
        picture: Image.Image,
        bodies: list[_Body],
        boxes: np.ndarray,
        scores: np.ndarray,
        time: float,
        thorough: bool,
    ) -> list[int]:
        """Add the bodies in boxes that no known body matches; returns the indices of certain boxes without a body."""
        bare = []
        for i, (box, score) in enumerate(zip(boxes, scores.tolist(), strict=True)):
            owners = [body for body in bodies if body.matches_box(box)]
            presence = max((body.presence for body in owners), default=0.0)
            certain = score >= SSDLITE.MIN_SCORE
            if presence < self.MIN_PRESENCE_UNBOXED and (certain or (thorough and not owners)):
                least = self.MIN_PRESENCE if certain else self.MIN_PRESENCE_UNBOXED
                body = self._fit(picture, _Region.of_box(box), least)
                if body and body.presence > presence:
                    bodies[:] = [each for each in bodies if each not in owners]
                    owners = [self._add(bodies, body, time)]
            for body in owners:
                body.confirm(score, time)
            if len(owners) == 1 and (owners[0].partial or (score >= self.SURE_BOX and owners[0].disagrees(box))):
                owners[0].box = np.concatenate([np.minimum(owners[0].box, box)[:2], np.maximum(owners[0].box, box)[2:]])
            if certain and not owners:
                bare.append(i)
        return bare

    def _add_from_proposals(self, picture: Image.Image, bodies: list[_Body], time: float, thorough: bool) -> None:
        """Add the bodies that only BlazePose's own detector finds: close up, or partly hidden by another person."""
        for region, score in self._proposals(picture):
            body = next((each for each in bodies if region.distance(each.region) < 2 * self.REFIT_DISTANCE), None)
            sought = thorough or score >= self.MIN_PROPOSAL
            if not body and sought and (fitted := self._fit(picture, region, self.MIN_PRESENCE_UNBOXED)):
                body = self._add(bodies, fitted, time)
            if body:
                body.confirm(score, time)

    def _accepted(self, body: _Body, bodies: Sequence[_Body], time: float) -> bool:
        """Whether a body is not a duplicate, and is confirmed now, or clearly visible and confirmed recently."""
        rivals = [other for other in bodies if (other.score, other.presence) > (body.score, body.presence)]
        if any(body.duplicates(other) for other in rivals):
            return False
        recent = body.presence >= self.MIN_PRESENCE_UNCONFIRMED and time - body.confirmed <= MAX_GAP
        return body.confirmed == time or recent

    def _add(self, bodies: list[_Body], body: _Body, time: float) -> _Body:
        """Add a new body unless it is already known; returns the one that is kept."""
        if same := self._same(bodies, body, self.MIN_NEW_DISTANCE):
            return same
        body.time = time
        bodies.append(body)
        return body

    @staticmethod
    def _same(bodies: Sequence[_Body], body: _Body, within: float) -> _Body | None:
        """The body whose skeleton lies closer than `within` to this one's; None if there is none."""
        for other in bodies:
            size = float(np.sqrt(box_areas(np.stack([body.box, other.box])).min()))
            if pose_distance(body.keypoints, other.keypoints, size) < within:
                return other
        return None

    def _fit(self, picture: Image.Image, region: _Region, min_presence: float) -> _Body | None:
        """The body in a region, read again if the model places its region elsewhere; None below `min_presence`."""
        body = self._read(picture, region)
        if body.presence >= min_presence and region.distance(body.region) > self.REFIT_DISTANCE:
            body = self._read(picture, body.region)
        return body if body.presence >= min_presence else None

    def _read(self, picture: Image.Image, region: _Region, masked: Sequence[_Body] = ()) -> _Body:
        """The body that the landmark model finds in a region, with the pixels of the `masked` bodies painted over."""
        affine = region.affine()
        crop = warp(picture, affine, 256)
        for body in masked:
            crop.paste((128, 128, 128), mask=warp(body.mask, _composed(affine, body.affine), 256))
        out = self._landmarks(np.asarray(crop, np.float32) / 255)
        points = _landmarks_in(out, affine, picture.size)
        landmarks = points[:33]
        return _Body(
            box=_extent(landmarks, picture.size),
            keypoints=landmarks[list(_COCO)],
            region=_Region(points[33, :2], points[34, :2] - points[33, :2]),
            presence=float(out["Identity_1"][0]),
            mask=Image.fromarray((out["Identity_2"][:, :, 0] > 0).astype(np.uint8) * 255),
            affine=affine,
        )

    def _proposals(self, picture: Image.Image) -> list[tuple[_Region, float]]:
        """Regions and scores from BlazePose's own detector."""
        square = Square.of(picture, 224)
        out = self._body_detector(square.pixels / 127.5 - 1)
        scores = sigmoid(out["Identity_1"][:, 0].astype(np.float64))
        likely = scores >= self.MIN_SEED_PROPOSAL
        offsets = out["Identity"][likely].astype(np.float64).reshape(-1, 6, 2)
        # Box centre, box size, then four alignment points; the first two are the hips and the end of the body.
        points = square.invert(offsets[:, [0, 2, 3]] + _ANCHORS[likely, None])
        half = offsets[:, 1] / square.scale / 2
        boxes = np.concatenate([points[:, 0] - half, points[:, 0] + half], axis=1)
        kept = non_maximum_suppression(boxes, scores[likely], iou=0.3)
        return [(_Region(points[i, 1], points[i, 2] - points[i, 1]), float(scores[likely][i])) for i in kept]


BLAZEPOSE: Final = BlazePose()
"""The embedded estimator, one per process."""


def _landmarks_in(out: dict[str, np.ndarray], affine: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(39, 3) landmarks of the model's output: x, y in pixels of the image, then visibility, 0 outside the image."""
    points = out["Identity"].reshape(39, 5).astype(np.float64)
    places = points[:, :2] @ affine[:, :2].T + affine[:, 2]
    within = ((places >= 0) & (places <= size)).all(axis=1)
    # The model's last two columns are the logits of visibility and of lying inside the crop.
    return np.column_stack([places, sigmoid(points[:, 3:].min(axis=1)) * within])


def _composed(affine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(2, 3) matrix from the model input of `affine` to that of `other`."""
    back = np.linalg.inv(other[:, :2])
    return np.column_stack([back @ affine[:, :2], back @ (affine[:, 2] - other[:, 2])])


def _extent(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box (4,) around the visible landmarks of (33, 3), or around all if hardly any is; within the image."""
    eyes, shoulders = landmarks[[2, 5]].mean(axis=0), landmarks[[11, 12]].mean(axis=0)
    # No landmark lies on the crown: it is 0.55 of the distance from shoulders to eyes above the eyes
    # (shoulders at 0.818, eyes at 0.936 of body height; Drillis and Contini 1966).
    crown = np.append(eyes[:2] + 0.55 * (eyes - shoulders)[:2], min(eyes[2], shoulders[2]))
    points = np.concatenate([landmarks, crown[None]])
    visible = points[points[:, 2] >= VISIBLE, :2]
    visible = visible if len(visible) >= 4 else points[:, :2]
    low, high = visible.min(axis=0), visible.max(axis=0)
    margin = 0.03 * float((high - low).max())
    return np.asarray(np.clip(np.concatenate([low - margin, high + margin]), 0, [*size, *size]))


def _shares(box: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The fraction of each of two boxes that lies in the other, in [0, 1]."""
    common = np.concatenate([np.maximum(box, other)[:2], np.minimum(box, other)[2:]])
    size, rest, shared = box_areas(np.stack([box, other, common]))
    return float(shared / max(size, 1e-9)), float(shared / max(rest, 1e-9))


def _skeletons(bodies: Sequence[_Body], boxes: np.ndarray, scores: np.ndarray) -> Skeletons:
    """Bodies, then boxes without a body, whose keypoints are put at the box centre with visibility 0."""
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    unknown = np.concatenate([np.repeat(centres, 17, axis=1), np.zeros((len(boxes), 17, 1))], axis=2)
    return (
        np.array([*(body.box for body in bodies), *boxes], np.float32).reshape(-1, 4),
        np.array([*(body.score for body in bodies), *scores], np.float32),
        np.array([*(body.keypoints for body in bodies), *unknown], np.float32).reshape(-1, 17, 3),
    )
