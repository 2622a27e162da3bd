"""Annotators: results drawn on copies of the frames.

Every annotator has one method, `annotate(scene, result, frame_index, scale)`. It returns the scene itself if nobody is
in that frame. `annotated` draws several results on one frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..vision.detections import SKELETON, VISIBLE
from ..vision.hands import HAND_SKELETON, TIPS, Hands
from ..vision.objects import Objects
from ..vision.people import People
from ..vision.pose import Poses

Colour = tuple[int, int, int]

TRACK_COLOURS: Final[tuple[Colour, ...]] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178),
    (170, 255, 195), (255, 179, 186), (188, 143, 255),
)  # fmt: skip
"""One per person, repeated: the palette of Okabe and Ito, suited to colour-blind viewers, and three more."""
LEFT: Final[Colour] = (0, 200, 255)
RIGHT: Final[Colour] = (255, 120, 0)
WHITE: Final[Colour] = (255, 255, 255)
TRAIL_SECONDS: Final = 3.0
"""Length of a trail."""


class Annotator(Protocol):
    """Draws one kind of result."""

    def annotate(self, scene: np.ndarray, result: Any, frame_index: int, scale: float) -> np.ndarray:
        """The scene with the result; arguments as those of `PeopleAnnotator.annotate`."""
        ...


Layers = Sequence[tuple[Annotator, Any]]
"""What to draw on a frame: annotators with their results, the lowest first."""


def annotated(scene: np.ndarray, layers: Layers, frame_index: int, scale: float) -> np.ndarray:
    """The scene with all layers; other arguments as those of `PeopleAnnotator.annotate`."""
    for annotator, result in layers:
        scene = annotator.annotate(scene, result, frame_index, scale)
    return scene


def track_colour(track: int) -> Colour:
    """The colour of a person, the same in every overlay."""
    return TRACK_COLOURS[(track - 1) % len(TRACK_COLOURS)]


class PeopleAnnotator:
    """Draws the box of each person in their colour, with their number."""

    def annotate(self, scene: np.ndarray, people: People, frame_index: int, scale: float) -> np.ndarray:
        """The scene with boxes.

        Args:
            scene: (height, width, 3) uint8 RGB; not changed.
            people: The people of the clip.
            frame_index: The index of this frame.
            scale: Pixels of the scene per pixel of the original frame.
        """
        here = people.at(frame_index)
        if not len(here):
            return scene
        picture, draw, width = _canvas(scene)
        font = _font(max(round(min(picture.size) / 28), 11))
        for box, track in zip(here.boxes * scale, here.tracks.tolist(), strict=True):
            colour = track_colour(track)
            draw.rectangle(box.tolist(), outline=colour, width=width)
            _label(draw, f"{track}", (float(box[0]), float(box[1])), font, colour)
        return np.asarray(picture)


class ObjectAnnotator:
    """Draws the box of each object in its colour, with its name."""

    def annotate(self, scene: np.ndarray, objects: Objects, frame_index: int, scale: float) -> np.ndarray:
        """The scene with boxes; arguments as those of `PeopleAnnotator.annotate`."""
        here = objects.at(frame_index)
        if not len(here):
            return scene
        picture, draw, width = _canvas(scene)
        for box, name, number in zip(here.boxes * scale, here.names, here.tracks, strict=True):
            colour = track_colour(int(number) + len(TRACK_COLOURS) // 2)
            draw.rectangle(box.tolist(), outline=colour, width=width)
            draw.text((float(box[0]) + width + 1, float(box[1]) + width), str(name), fill=colour)
        return np.asarray(picture)


class PoseAnnotator:
    """Draws boxes, numbers and the visible part of skeletons, left in blue and right in orange."""

    def annotate(self, scene: np.ndarray, poses: Poses, frame_index: int, scale: float) -> np.ndarray:
        """The scene with skeletons; arguments as those of `PeopleAnnotator.annotate`."""
        here = poses.at(frame_index)
        if not len(here):
            return scene
        picture, draw, width = _canvas(PeopleAnnotator().annotate(scene, poses, frame_index, scale))
        for pose, box in zip(here.keypoints, here.boxes * scale, strict=True):
            # Thick lines would hide the limbs of a small person.
            line = max(1, min(2 * width, round(float(box[3] - box[1]) / 80)))
            points = pose[:, :2] * scale
            visible = pose[:, 2] >= VISIBLE
            for a, b in SKELETON:
                if visible[a] and visible[b]:
                    draw.line([*points[a].tolist(), *points[b].tolist()], fill=_side(a, b), width=line)
            for joint in np.flatnonzero(visible).tolist():
                draw.circle(points[joint].tolist(), line, fill=_side(joint, joint))
        return np.asarray(picture)


class HandAnnotator:
    """Draws the skeletons of hands, left in blue and right in orange, with white finger tips."""

    def annotate(self, scene: np.ndarray, hands: Hands, frame_index: int, scale: float) -> np.ndarray:
        """The scene with hands; arguments as those of `PeopleAnnotator.annotate`."""
        here = hands.at(frame_index)
        if not len(here):
            return scene
        picture, draw, width = _canvas(scene)
        for keypoints, palm, right in zip(here.keypoints, here.palms * scale, here.right, strict=True):
            line = max(1, min(2 * width, round(float(palm) / 12)))
            points, colour = keypoints[:, :2] * scale, RIGHT if right >= 0.5 else LEFT
            for a, b in HAND_SKELETON:
                draw.line([*points[a].tolist(), *points[b].tolist()], fill=colour, width=line)
            for joint, point in enumerate(points.tolist()):
                draw.circle(point, line, fill=WHITE if joint in TIPS else colour)
        return np.asarray(picture)


class TrailAnnotator:
    """Draws the recent paths of each person's hips (their colour) and wrists (thin, left in blue, right in orange)."""

    def annotate(self, scene: np.ndarray, poses: Poses, frame_index: int, scale: float) -> np.ndarray:
        """The scene with the paths of the people in this frame; arguments as those of `PeopleAnnotator.annotate`."""
        tracks = poses.at(frame_index).tracks.tolist()
        if not tracks:
            return scene
        picture, draw, width = _canvas(scene)
        now = poses.times[frame_index]
        recent = poses.where((poses.frame <= frame_index) & (poses.times[poses.frame] >= now - TRAIL_SECONDS))
        for track in tracks:
            keypoints = recent.of(track).keypoints
            hips = keypoints[:, 11:13].mean(axis=1)
            hips[:, 2] = keypoints[:, 11:13, 2].min(axis=1)
            _path(draw, hips, scale, track_colour(track), 2 * width)
            _path(draw, keypoints[:, 9], scale, LEFT, width)
            _path(draw, keypoints[:, 10], scale, RIGHT, width)
        return np.asarray(picture)


def _canvas(scene: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A copy to draw on, and a line width for its size."""
    picture = Image.fromarray(scene).copy()
    return picture, ImageDraw.Draw(picture), max(1, round(max(picture.size) / 400))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _side(a: int, b: int) -> Colour:
    """The colour of a bone: in COCO order left keypoints are odd, right ones even, and the nose is 0."""
    if 0 in (a, b) or a % 2 != b % 2:
        return WHITE
    return LEFT if a % 2 else RIGHT


def _label(
    draw: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], font: ImageFont.FreeTypeFont, colour: Colour
) -> None:
    """Black text on a coloured background, above the corner if there is room and below it otherwise."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x, y = max(corner[0], 0), corner[1] - (bottom - top) - 4
    y = y if y >= 0 else max(corner[1], 0)
    draw.rectangle((x, y, x + right - left + 4, y + bottom - top + 4), fill=colour)
    draw.text((x + 2 - left, y + 2 - top), text, fill=(0, 0, 0), font=font)


def _path(draw: ImageDraw.ImageDraw, points: np.ndarray, scale: float, colour: Colour, width: int) -> None:
    """A path through the visible points of (n, 3), thicker towards its end."""
    visible = points[points[:, 2] >= VISIBLE, :2] * scale
    for i in range(1, len(visible)):
        thickness = max(1, round(width * (0.4 + 0.6 * i / len(visible))))
        draw.line([*visible[i - 1].tolist(), *visible[i].tolist()], fill=colour, width=thickness)
