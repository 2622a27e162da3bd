"""The embedded pose estimator: BlazePose (Bazarevsky et al. 2020, arXiv:2006.10204) on ai-edge-litert.

People are looked for in three places: where a body of the frames before must be by now, in the boxes of the person
detector, and where BlazePose's own detector sees a body. Two skeletons are never one person: a second one on the same
body is dropped, and where known people overlap, the pixels of the surer one are hidden from the look at the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from PIL import Image

from ..video.reader import Frames
from .people import SSDLITE, WEIGHTS, SsdLite, suppress
from .tracking import GAP, VISIBLE, areas, overlaps, pose_distance

if TYPE_CHECKING:
    from ai_edge_litert.interpreter import Interpreter

Skeletons = tuple[np.ndarray, np.ndarray, np.ndarray]
"""One frame's boxes (people, 4), scores (people,) and keypoints (people, 17, 3), in pixels of the picture looked at."""

_COCO: Final = (0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)
"""BlazePose's index of each of COCO's 17 keypoints."""


@dataclass(frozen=True)
class _Region:
    """The turned square BlazePose looks at: hips in the middle, the head towards its upper edge. In pixels."""

    MARGIN: ClassVar[float] = 1.25

    centre: np.ndarray
    """(2,): the middle of the hips."""
    up: np.ndarray
    """(2,): from the centre to the end of the body; the square reaches `MARGIN` times as far."""

    @classmethod
    def of_box(cls, box: np.ndarray) -> _Region:
        """Where to look for an upright person in a box (4,): x0, y0, x1, y1."""
        low, high = box.astype(np.float64).reshape(2, 2)
        return cls((low + high) / 2, np.array([0.0, -(high - low).max() / 2]))

    def moved(self, shift: np.ndarray) -> _Region:
        return _Region(self.centre + shift, self.up)

    def towards(self, other: _Region) -> _Region:
        """The region halfway to another."""
        return _Region((self.centre + other.centre) / 2, (self.up + other.up) / 2)

    def strayed(self, other: _Region) -> float:
        """How differently two regions look at a picture: distance of centres or of upper ends, in reaches."""
        centres = float(np.linalg.norm(self.centre - other.centre))
        ends = float(np.linalg.norm(self.centre + self.up - other.centre - other.up))
        return max(centres, ends) / max(float(np.linalg.norm(self.up)), 1e-6)

    def affine(self) -> np.ndarray:
        """(2, 3) matrix from the model's input, in pixels 0..256, to the picture."""
        up = self.up * self.MARGIN / 128
        matrix = np.array([[-up[1], -up[0]], [up[0], -up[1]]])
        return np.column_stack([matrix, self.centre - matrix @ [128, 128]])


@dataclass(eq=False)
class _Body:
    """One skeleton in one frame."""

    box: np.ndarray
    """(4,) pixels."""
    keypoints: np.ndarray
    """(17, 3): x, y, visibility."""
    region: _Region
    """Where to look for this person next."""
    presence: float
    """How sure the landmark model is that this is a body, 0..1."""
    mask: Image.Image
    """Which pixels of the model's input are this body."""
    affine: np.ndarray
    """From the model's input to the picture, (2, 3)."""
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    """Pixels per second of the region's centre."""
    time: float = 0.0
    """Seconds of the video."""
    score: float = 0.0
    """That of the detector which last saw this person, 0..1."""
    confirmed: float = 0.0
    """Seconds of the video when that was."""

    @property
    def partial(self) -> bool:
        """Whether the hips are hidden or out of the picture, so that the keypoints tell little of the body's extent."""
        return bool(self.keypoints[11:13, 2].min() < VISIBLE)

    def confirm(self, score: float, time: float) -> None:
        """A detector sees this person; of several the best score counts."""
        self.score = max(score, self.score) if self.confirmed == time else score
        self.confirmed = time

    def accounts_for(self, box: np.ndarray) -> bool:
        """Whether a detector's box is this person: they agree, or the skeleton is what shows of somebody close up."""
        of_body, of_box = _shares(self.box, box)
        return bool(overlaps(self.box[None], box[None])[0, 0] >= 0.4 or (of_body > 0.8 and of_box > 0.1))

    def repeats(self, other: _Body) -> bool:
        """Whether this is somebody else's face or arm taken for a small body, or a second guess at a close-up."""
        of_body, of_other = _shares(self.box, other.box)
        return (of_body > 0.8 and of_other < 0.5) or (self.partial and other.partial and min(of_body, of_other) > 0.5)


class _LiteRtModel:
    """One tflite model, read at first use. An interpreter serves one thread at a time, hence one for each at once."""

    def __init__(self, weights: Path) -> None:
        self._weights = weights
        self._idle: list[Interpreter] = []

    def __call__(self, inputs: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name for one input, both without the batch axis."""
        try:
            model = self._idle.pop()
        except IndexError:
            model = self._read()
        model.set_tensor(model.get_input_details()[0]["index"], inputs[None])
        model.invoke()
        outputs = {each["name"]: model.get_tensor(each["index"])[0] for each in model.get_output_details()}
        self._idle.append(model)
        return outputs

    def _read(self) -> Interpreter:
        from ai_edge_litert.interpreter import Interpreter

        # One thread: a second one costs 40 % more processor time and saves less than 10 % of the wait, whereas two
        # calls at once, which `service` sees to, keep two cores busy.
        model = Interpreter(model_path=str(self._weights), num_threads=1)
        model.allocate_tensors()
        return model


class BlazePose:
    """SSDLite boxes, BlazePose's detector and its landmarks ("full"); a `PoseEstimator`.

    Safe to share between threads; the models are read at first use.
    """

    PRESENT: Final = 0.5
    """Least presence, as the landmark model gives it, at which a skeleton is believed that a detector vouches for."""
    PRESENT_ALONE: Final = 0.7
    """The same for a body in no box of the person detector."""
    PRESENT_UNSEEN: Final = 0.9
    """The same for a body carried on from the frame before that no detector sees now."""
    STRAYED: Final = 0.2
    """A skeleton whose own region differs this much from the one looked at is looked at again, there."""
    SAME: Final = 0.12
    """Known people whose skeletons come nearer than this, in square roots of the box's area, have become one."""
    SAME_AS_KNOWN: Final = 0.25
    """A skeleton found anew must keep this far away from the known ones to be somebody else."""

    CUT: Final = 40.0
    """Mean difference of grey levels 0..255, at 16x16 pixels, between two frames that are not of one scene: 41 to 79
    over the five cuts of a film sampled at 5 frames/s, below 28 between its other frames but one (a taxi driving up,
    40). A wildly shaken camera passes for a cut too, which costs no more than finding everybody anew."""

    def __init__(self, boxes: SsdLite = SSDLITE, weights: Path = WEIGHTS) -> None:
        self._boxes = boxes
        self._detector = _LiteRtModel(weights / "pose_detection.tflite")
        self._landmarks = _LiteRtModel(weights / "pose_landmark_full.tflite")

    def poses(self, frames: Frames) -> list[Skeletons]:
        """The people of each frame, in pixels of `frames.images`."""
        found: list[Skeletons] = []
        known: list[_Body] = []
        before = np.zeros(0)
        for image, time in zip(frames.images, frames.times.tolist(), strict=True):
            picture = Image.fromarray(image)
            gist = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float64)
            known = [] if before.size and np.abs(gist - before).mean() >= self.CUT else known
            before = gist
            bodies, lost = self._carried(picture, [body for body in known if time - body.time <= GAP], time)
            boxes, scores = self._boxes.look(picture)
            bare = self._boxed(picture, bodies, boxes, scores, time)
            self._alone(picture, bodies, time)
            bodies = [body for body in bodies if self._believed(body, bodies, time)]
            bare = [i for i in bare if not any(body.accounts_for(boxes[i]) for body in bodies)]
            found.append(_skeletons(bodies, boxes[bare], scores[bare]))
            known = bodies + lost
        return found

    def _carried(self, picture: Image.Image, known: Sequence[_Body], time: float) -> tuple[list[_Body], list[_Body]]:
        """The bodies of earlier frames: those found again where they must be by now, and those not found."""
        bodies: list[_Body] = []
        lost: list[_Body] = []
        for body in sorted(known, key=lambda each: -each.presence):
            gap = time - body.time
            expected = body.region.moved(body.velocity * gap)
            again = self._read(picture, expected, bodies)
            if again.presence < self.PRESENT:
                again = self._read(picture, again.region, bodies)
            if again.presence < self.PRESENT or self._same(bodies, again, self.SAME):
                lost.append(body)
                continue
            again.velocity = (again.region.centre - body.region.centre) / gap / 2
            # The model's own next region leans towards whoever stands out more where people overlap: go half the way.
            again.region = expected.towards(again.region)
            again.time, again.score, again.confirmed = time, body.score, body.confirmed
            bodies.append(again)
        return bodies, lost

    def _boxed(
        self, picture: Image.Image, bodies: list[_Body], boxes: np.ndarray, scores: np.ndarray, time: float
    ) -> list[int]:
        """Add the bodies in boxes that no body accounts for yet; returns which boxes stay without."""
        bare = []
        for i, (box, score) in enumerate(zip(boxes, scores.tolist(), strict=True)):
            owners = [body for body in bodies if body.accounts_for(box)]
            surest = max((body.presence for body in owners), default=0.0)
            if surest < self.PRESENT_ALONE and (body := self._fit(picture, _Region.of_box(box), self.PRESENT)):
                if body.presence > surest:
                    bodies[:] = [each for each in bodies if each not in owners]
                    owners = [self._add(bodies, body, time)]
            for body in owners:
                body.confirm(score, time)
            if len(owners) == 1 and owners[0].partial:
                owners[0].box = np.concatenate([np.minimum(owners[0].box, box)[:2], np.maximum(owners[0].box, box)[2:]])
            if not owners:
                bare.append(i)
        return bare

    def _alone(self, picture: Image.Image, bodies: list[_Body], time: float) -> None:
        """Add the bodies that only BlazePose's own detector sees: close up, or one behind another."""
        for region, score in self._proposals(picture):
            body = next((each for each in bodies if region.strayed(each.region) < 2 * self.STRAYED), None)
            if not body and (fitted := self._fit(picture, region, self.PRESENT_ALONE)):
                body = self._add(bodies, fitted, time)
            if body:
                body.confirm(score, time)

    def _believed(self, body: _Body, bodies: Sequence[_Body], time: float) -> bool:
        rivals = [other for other in bodies if (other.score, other.presence) > (body.score, body.presence)]
        if any(body.repeats(other) for other in rivals):
            return False
        seen_lately = body.presence >= self.PRESENT_UNSEEN and time - body.confirmed <= GAP
        return body.confirmed == time or seen_lately

    def _add(self, bodies: list[_Body], body: _Body, time: float) -> _Body:
        """Take a new body in unless it is one already there; returns the one that stays."""
        if same := self._same(bodies, body, self.SAME_AS_KNOWN):
            return same
        body.time = time
        bodies.append(body)
        return body

    @staticmethod
    def _same(bodies: Sequence[_Body], body: _Body, within: float) -> _Body | None:
        """The one among `bodies` whose skeleton this one is."""
        for other in bodies:
            size = float(np.sqrt(areas(np.stack([body.box, other.box])).min()))
            if pose_distance(body.keypoints, other.keypoints, size) < within:
                return other
        return None

    def _fit(self, picture: Image.Image, region: _Region, least: float) -> _Body | None:
        """The body in a region, looked at once more where the model would have placed the region elsewhere."""
        body = self._read(picture, region)
        if body.presence >= least and region.strayed(body.region) > self.STRAYED:
            body = self._read(picture, body.region)
        return body if body.presence >= least else None

    def _read(self, picture: Image.Image, region: _Region, hidden: Sequence[_Body] = ()) -> _Body:
        """What the landmark model sees in a region, the pixels of the `hidden` bodies painted over."""
        affine = region.affine()
        crop = _warp(picture, affine)
        for body in hidden:
            crop.paste((128, 128, 128), mask=_warp(body.mask, _chained(affine, body.affine)))
        out = self._landmarks(np.asarray(crop, np.float32) / 255)
        points = out["Identity"].reshape(39, 5).astype(np.float64)
        points[:, :2] = points[:, :2] @ affine[:, :2].T + affine[:, 2]
        within = ((points[:, :2] >= 0) & (points[:, :2] <= picture.size)).all(axis=1)
        # The model's last two columns: seen, and inside the crop at all.
        landmarks = np.column_stack([points[:, :2], _sigmoid(points[:, 3:].min(axis=1)) * within])[:33]
        return _Body(
            box=_extent(landmarks, picture.size),
            keypoints=landmarks[list(_COCO)],
            region=_Region(points[33, :2], points[34, :2] - points[33, :2]),
            presence=float(out["Identity_1"][0]),
            mask=Image.fromarray((out["Identity_2"][:, :, 0] > 0).astype(np.uint8) * 255),
            affine=affine,
        )

    def _proposals(self, picture: Image.Image) -> list[tuple[_Region, float]]:
        """BlazePose's own detections: where to look, and scores."""
        scale = 224 / max(picture.size)
        small = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR)
        square = Image.new("RGB", (224, 224))
        corner = ((224 - small.width) // 2, (224 - small.height) // 2)
        square.paste(small, corner)
        out = self._detector(np.asarray(square, np.float32) / 127.5 - 1)
        scores = _sigmoid(out["Identity_1"][:, 0].astype(np.float64))
        likely = scores >= 0.5
        offsets = out["Identity"][likely].astype(np.float64).reshape(-1, 6, 2)
        # Box centre, box size, then four alignment points of which the first two are hips and end of the body.
        points = (offsets[:, [0, 2, 3]] + _ANCHORS[likely, None] * 224 - corner) / scale
        half = offsets[:, 1] / scale / 2
        kept = suppress(np.concatenate([points[:, 0] - half, points[:, 0] + half], axis=1), scores[likely], overlap=0.3)
        return [(_Region(points[i, 1], points[i, 2] - points[i, 1]), float(scores[likely][i])) for i in kept]


BLAZEPOSE: Final = BlazePose()
"""The embedded estimator, one per process."""


def _anchors() -> np.ndarray:
    """Centres of the detector's anchors, x and y in 0..1 of its input: (2254, 2)."""
    layers = []
    for stride, per_cell in ((8, 2), (16, 2), (32, 6)):
        cells = 224 // stride
        y, x = np.mgrid[:cells, :cells].reshape(2, -1)
        layers.append(np.repeat((np.column_stack([x, y]) + 0.5) / cells, per_cell, axis=0))
    return np.concatenate(layers)


_ANCHORS: Final = _anchors()


def _warp(picture: Image.Image, affine: np.ndarray) -> Image.Image:
    """256x256 pixels of a picture; `affine` (2, 3) leads from there to the picture, black lies outside."""
    coefficients = affine.ravel().tolist()
    return picture.transform((256, 256), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _chained(affine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """From the input of one look to that of another by way of the picture, (2, 3)."""
    back = np.linalg.inv(other[:, :2])
    return np.column_stack([back @ affine[:, :2], back @ (affine[:, 2] - other[:, 2])])


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -80, 80))))


def _extent(landmarks: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The box (4,) around the landmarks (33, 3) that are seen, or around all where hardly any is, in the picture."""
    eyes, shoulders = landmarks[[2, 5]].mean(axis=0), landmarks[[11, 12]].mean(axis=0)
    # No landmark lies on the crown: it is as far above the eyes as 0.55 of the way from shoulders to eyes
    # (shoulders at 0.818, eyes at 0.936 of the body's height; Drillis and Contini 1966).
    crown = np.append(eyes[:2] + 0.55 * (eyes - shoulders)[:2], min(eyes[2], shoulders[2]))
    points = np.concatenate([landmarks, crown[None]])
    seen = points[points[:, 2] >= VISIBLE, :2]
    seen = seen if len(seen) >= 4 else points[:, :2]
    low, high = seen.min(axis=0), seen.max(axis=0)
    margin = 0.03 * float((high - low).max())
    return np.asarray(np.clip(np.concatenate([low - margin, high + margin]), 0, [*size, *size]))


def _shares(box: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The part of each of two boxes that lies in the other, 0..1."""
    common = np.concatenate([np.maximum(box, other)[:2], np.minimum(box, other)[2:]])
    size, rest, shared = areas(np.stack([box, other, common]))
    return float(shared / max(size, 1e-9)), float(shared / max(rest, 1e-9))


def _skeletons(bodies: Sequence[_Body], boxes: np.ndarray, scores: np.ndarray) -> Skeletons:
    """Bodies, and people of whom there is a box only, their keypoints at its centre and not visible."""
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    unknown = np.concatenate([np.repeat(centres, 17, axis=1), np.zeros((len(boxes), 17, 1))], axis=2)
    return (
        np.array([*(body.box for body in bodies), *boxes], np.float32).reshape(-1, 4),
        np.array([*(body.score for body in bodies), *scores], np.float32),
        np.array([*(body.keypoints for body in bodies), *unknown], np.float32).reshape(-1, 17, 3),
    )
