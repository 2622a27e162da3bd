"""Renders one clip of an action, with its annotations."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from . import scenery
from .actions import ACTIONS, choreograph
from .annotations import Annotations
from .appearance import WOODS, Board, Clothes, Colour, Solid, person_solids, prop_parts
from .camera import Camera, frame
from .canvas import Canvas
from .people_and_props import Prop, Stage, floor
from .skeleton import COCO, SIDES, Joints, unit

FPS: Final = 12.0
SIZES: Final = ((192, 192), (208, 160), (160, 208), (240, 180), (224, 224), (256, 144))
"""Widths and heights of clips in pixels."""
BLUR: Final = 3
"""Pictures averaged into one frame for motion blur, over half of the frame interval."""
_INSIDE: Final = np.array(
    [0.05] * 3 + [0.07] * 2 + [0.13] * 2 + [0.11] * 2 + [0.10] * 2 + [0.17] * 2 + [0.13] * 2 + [0.11] * 2
)
"""Greatest depth of each keypoint, in COCO order, below the surface of the body, in metres."""


@dataclass(frozen=True)
class Film(Annotations):
    """One clip and its annotations."""

    frames: np.ndarray
    """(T, H, W, 3) uint8 RGB."""
    owner: np.ndarray
    """(T, H, W) uint8 segmentation: 0 scenery, n the n-th person from 1, 255 an object."""


def film(action: str, seed: int, *, hard: bool = False) -> Film:
    """Render an action; the same arguments give the same clip.

    Args:
        action: A label of `ACTIONS`.
        seed: 0 or more. Body, pace, acting hand, clothes, scenery and camera are drawn from it.
        hard: Add motion blur, occluders, distractors, camera shake, unusual views, dim light and noise.

    Raises:
        KeyError: There is no such action.
    """
    entropy = np.random.SeedSequence([seed, zlib.crc32(action.encode()), int(hard)])
    motion_rng, camera_rng, colour_rng, scenery_rng = (np.random.default_rng(child) for child in entropy.spawn(4))
    stage, seconds = choreograph(ACTIONS[action], motion_rng)
    count = round(seconds * FPS)
    times = np.arange(count) / FPS
    size = SIZES[camera_rng.integers(len(SIZES))]
    view = "across" if stage.apart else ACTIONS[action].view
    camera = frame(_extent(stage, times, view == "head"), view, size, seconds, camera_rng, hard)
    _add_bystanders(stage, camera, scenery_rng)
    blurred = hard and bool(camera_rng.random() < 0.6)
    fine = (times[:, None] + np.linspace(-0.25, 0.25, BLUR) / FPS).ravel() if blurred else times
    shot = _Shot(stage, camera, fine, colour_rng, scenery_rng, hard)
    step = slice(BLUR // 2, None, BLUR) if blurred else slice(None)
    pictures = shot.canvas.pictures
    if blurred:
        pictures = pictures.reshape(count, BLUR, *pictures.shape[1:]).mean(1)
    return Film(
        label=action,
        fps=FPS,
        keypoints=np.stack([_keypoints(joints, shot, step) for joints in shot.joints], 1),
        boxes=np.stack([box[step] for box in shot.boxes], 1),
        primitives=tuple(stage.performed),
        objects={name: box[step] for name, box in shot.objects.items()},
        frames=_expose(pictures, scenery_rng, hard),
        owner=shot.canvas.owner[step],
    )


def _extent(stage: Stage, times: np.ndarray, head: bool) -> np.ndarray:
    """Points (n, 3) to keep in the frame: the people, or their upper halves, and the objects."""
    bodies = [body.joints(times[::3]) for body in stage.bodies]
    points = [
        at for joints in bodies for name, at in joints.items() if not head or name in ("crown", "left_hip", "right_hip")
    ]
    for prop in stage.props.values():
        when = times[::3] if not prop.released else times[:1]
        if not prop.appears:
            solids, boards = prop_parts(prop, prop.at(when), when, (0, 0, 0))
            points += [end for solid in solids for end in (solid.a, solid.b)]
            points += [board.corners.reshape(-1, 3) for board in boards]
    visible = np.concatenate(points)
    return np.concatenate([visible, visible + (0, 0.06, 0), *([] if head else [visible * (1, 0, 1)])])


def _add_bystanders(stage: Stage, camera: Camera, rng: np.random.Generator) -> None:
    """Sometimes add an uninvolved object beside and behind the people."""
    if rng.random() < 0.4:
        kind = str(rng.choice([kind for kind in ("box", "ball", "chair", "crate", "table") if kind not in stage.props]))
        away = unit(camera.axes[2] * (1, 0, 1)) * rng.uniform(0.5, 1.4)
        across = camera.axes[0] * (stage.apart / 2 + rng.uniform(0.5, 1.3)) * rng.choice([-1, 1])
        spot = (away + across) * (1, 0, 1) + (0, floor(kind), 0)
        stage.extras[kind] = Prop(kind, spot, float(rng.uniform(-np.pi, np.pi)))


def _expose(pictures: np.ndarray, rng: np.random.Generator, hard: bool) -> np.ndarray:
    """Apply exposure, colour cast and sensor noise: (T, H, W, 3) uint8."""
    gain = (
        rng.uniform(0.92, 1.08) * rng.normal(1, 0.02, 3)
        if not hard
        else rng.uniform(0.6, 1.15) * rng.normal(1, 0.06, 3)
    )
    noise = rng.uniform(0, 2) if not hard else rng.uniform(1, 7)
    grain = rng.normal(0, noise, pictures.shape[1:]).astype(np.float32)
    out = np.empty(pictures.shape, np.uint8)
    for k, picture in enumerate(pictures):
        picture = picture * gain.astype(np.float32)
        picture += np.roll(grain, (k * 37 % grain.shape[0], k * 53 % grain.shape[1]), (0, 1))
        out[k] = np.clip(picture, 0, 255, out=picture)
    return out


@dataclass(frozen=True)
class _Drawable:
    """One person or object to render."""

    solids: list[Solid]
    boards: list[Board]
    owner: int


def _prop_colour(kind: str, rng: np.random.Generator) -> Colour:
    """A random colour for an object, often that of wood or cardboard."""
    if kind in ("ball", "cup") or rng.random() < 0.35:
        red, green, blue = rng.uniform(40, 250, 3)
        return float(red), float(green), float(blue)
    return WOODS[rng.integers(len(WOODS))]


class _Shot:
    """The stage rendered at given times."""

    def __init__(
        self,
        stage: Stage,
        camera: Camera,
        times: np.ndarray,
        colour_rng: np.random.Generator,
        scenery_rng: np.random.Generator,
        hard: bool,
    ) -> None:
        self.camera, self.times = camera, times
        self.joints = [body.joints(times) for body in stage.bodies]
        back = float(np.linalg.norm(camera.position)) + scenery_rng.uniform(1.2, 3.5)
        image, self._meet = scenery.backdrop(camera, back, scenery_rng, hard)
        sun = unit(
            np.array([scenery_rng.uniform(-0.8, 0.8), scenery_rng.uniform(0.7, 1.4), scenery_rng.uniform(0.2, 1.0)])
        )
        sun = unit(camera.axes.T @ (sun * (1, -1, -1)))
        self._sun = sun * (1, np.sign(sun[1]) or 1, 1)
        self.canvas = Canvas(scenery.render_backdrop(image, camera, times), (camera.axes @ self._sun) * (1, 1, -1))
        scenery.distractors(self.canvas, camera, times, scenery_rng, hard)
        self._shadows(scenery_rng.uniform(0.15, 0.45))
        drawables = [
            _Drawable(person_solids(body.shape, joints, Clothes.sample(colour_rng)), [], number)
            for number, (body, joints) in enumerate(zip(stage.bodies, self.joints, strict=True), 1)
        ]
        for prop in (stage.props | stage.extras).values():
            drawables.append(
                _Drawable(*prop_parts(prop, prop.at(times), times, _prop_colour(prop.kind, colour_rng)), 255)
            )
        boxes = [_clipped(box, camera) for box in self._draw(drawables)]
        self.boxes = boxes[: len(stage.bodies)]
        self.objects = dict(zip(stage.props, boxes[len(stage.bodies) :], strict=False))
        if hard:
            scenery.occluders(self.canvas, camera, times, scenery_rng)

    def _project(self, solid: Solid) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        """Ends and radii of a solid in the picture."""
        zoom, _ = self.camera.zoom_and_shift(self.times)
        ends = [self.camera.project(end, self.times) for end in (solid.a, solid.b)]
        scale = [self.camera.focal * zoom[:, 0] / np.maximum(end[:, 2], 0.2) for end in ends]
        return (ends[0], ends[1]), (solid.ra * scale[0], solid.rb * scale[1])

    def _draw(self, drawables: list[_Drawable]) -> list[np.ndarray]:
        """Draw everything from far to near, so that antialiased edges blend correctly; returns boxes (T, 4)."""
        boxes = [np.full((len(self.times), 4), np.nan) for _ in drawables]
        strokes: list[tuple[float, Callable[[], None]]] = []
        for k, one in enumerate(drawables):
            for solid in one.solids:
                ends, radii = self._project(solid)
                for end, radius in zip(ends, radii, strict=True):
                    boxes[k] = _union(boxes[k], end[:, :2] - radius[:, None], end[:, :2] + radius[:, None])
                thickness = (solid.ra + solid.rb) / 2
                paint: Callable[[], None] = partial(
                    self.canvas.cone, ends, radii, thickness, solid.colour, one.owner, solid.stripes
                )
                strokes.append((float(np.nanmean([end[:, 2] for end in ends])) - thickness, paint))
            for board in one.boards:
                lit = 0.55 + 0.45 * max(0.0, float(np.nanmean(board.normal @ self._sun)))
                corners = self.camera.project(board.corners, self.times)
                boxes[k] = _union(boxes[k], corners[..., :2].min(1), corners[..., :2].max(1))
                paint = partial(self.canvas.board, corners, lit * np.array(board.colour), one.owner)
                strokes.append((float(np.nanmean(corners[..., 2])), paint))
        for _, paint in sorted(strokes, key=lambda stroke: -stroke[0]):
            paint()
        return boxes

    def _shadows(self, strength: float) -> None:
        dark = np.zeros(self.canvas.frames * self.canvas.height * self.canvas.width, np.float32)
        for j in self.joints:
            limbs = [("pelvis", "neck", 0.13), ("neck", "crown", 0.1)]
            for side in SIDES:
                limbs += [(f"{side}_hip", f"{side}_knee", 0.08), (f"{side}_knee", f"{side}_toe", 0.07)]
                limbs += [(f"{side}_shoulder", f"{side}_palm", 0.05)]
            for a, b, radius in limbs:
                ground = [j[name] - j[name][:, 1:2] / self._sun[1] * self._sun for name in (a, b)]
                self.canvas.shadow(*self._project(Solid(ground[0], ground[1], radius, radius, (0, 0, 0))), dark)
        rows = np.arange(self.canvas.height) > self._meet
        self.canvas.darken(strength * dark * np.tile(np.repeat(rows, self.canvas.width), self.canvas.frames))


def _union(box: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.concatenate([np.fmin(box[:, :2], low), np.fmax(box[:, 2:], high)], 1)


def _clipped(box: np.ndarray, camera: Camera) -> np.ndarray:
    """The box clipped to the picture; NaN if it lies outside."""
    limit = np.array([camera.width, camera.height] * 2)
    cut = np.clip(box, 0, limit)
    cut[~((cut[:, 2] - cut[:, 0] > 0) & (cut[:, 3] - cut[:, 1] > 0))] = np.nan
    return cut.astype(np.float32)


def _keypoints(joints: Joints, shot: _Shot, step: slice) -> np.ndarray:
    """Keypoints (T, 17, 3) of one person, as in `Annotations`."""
    points = shot.camera.project(np.stack([joints[name] for name in COCO], 1), shot.times)[step]
    depth = shot.canvas.depth[step]
    x, y = np.floor(points[..., 0]).astype(int), np.floor(points[..., 1]).astype(int)
    inside = (x >= 0) & (y >= 0) & (x < shot.camera.width) & (y < shot.camera.height)
    frames = np.arange(len(points))[:, None]
    nearest = depth[frames, np.clip(y, 0, depth.shape[1] - 1), np.clip(x, 0, depth.shape[2] - 1)]
    points[..., 2] = np.where(nearest < points[..., 2] - _INSIDE, 1, 2) * inside
    points[~inside] = 0
    return np.asarray(points, np.float32)
