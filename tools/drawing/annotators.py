"""Overlays: what was found, drawn on a copy of the picture it was found in.

Every annotator has one method, `annotate(scene, found, frame_index, scale)`; with nobody in that frame the scene comes
back as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..vision.detections import SKELETON, VISIBLE
from ..vision.people import People
from ..vision.pose import Poses
from .fonts import drawable

Colour = tuple[int, int, int]

TRACK_COLOURS: Final[tuple[Colour, ...]] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167), (0, 114, 178),
    (170, 255, 195), (255, 179, 186), (188, 143, 255),
)  # fmt: skip
"""One per person, in turn: Okabe and Ito's palette, told apart by colour-blind eyes too, and three more."""
LEFT: Final[Colour] = (0, 200, 255)
RIGHT: Final[Colour] = (255, 120, 0)
GROUND: Final = (24, 24, 24)
"""Behind captions and bars."""
MIDDLE: Final[Colour] = (255, 255, 255)


def track_colour(track: int) -> Colour:
    """The colour of a person, the same in every overlay."""
    return TRACK_COLOURS[(track - 1) % len(TRACK_COLOURS)]


@dataclass(frozen=True)
class PeopleAnnotator:
    """Draws each person's box in their own colour, with their number."""

    def annotate(self, scene: np.ndarray, people: People, frame_index: int, scale: float) -> np.ndarray:
        """The scene with boxes.

        Args:
            scene: (height, width, 3) uint8 RGB; not changed.
            people: What was found in the clip.
            frame_index: Which of its frames this is.
            scale: Pixels of the scene per pixel of the original picture.
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


@dataclass(frozen=True)
class PoseAnnotator:
    """Draws skeletons, the person's left side blue and right side orange, with boxes and numbers; no unseen joints."""

    boxes: bool = True

    def annotate(self, scene: np.ndarray, poses: Poses, frame_index: int, scale: float) -> np.ndarray:
        """The scene with skeletons; arguments as those of `PeopleAnnotator.annotate`."""
        here = poses.at(frame_index)
        if not len(here):
            return scene
        picture, draw, width = _canvas(
            PeopleAnnotator().annotate(scene, poses, frame_index, scale) if self.boxes else scene
        )
        for pose, box in zip(here.keypoints, here.boxes * scale, strict=True):
            # A line as thick on a small person as on a large one would hide the limbs.
            line = max(1, min(2 * width, round(float(box[3] - box[1]) / 80)))
            points = pose[:, :2] * scale
            seen = pose[:, 2] >= VISIBLE
            for a, b in SKELETON:
                if seen[a] and seen[b]:
                    draw.line([*points[a].tolist(), *points[b].tolist()], fill=_side(a, b), width=line)
            for joint in np.flatnonzero(seen).tolist():
                draw.circle(points[joint].tolist(), line, fill=_side(joint, joint))
        return np.asarray(picture)


@dataclass(frozen=True)
class TrailAnnotator:
    """Draws the paths of each person's hips (their own colour) and wrists (thin, blue left, orange right) so far."""

    seconds: float = 3.0
    """How far back a path reaches."""

    def annotate(self, scene: np.ndarray, poses: Poses, frame_index: int, scale: float) -> np.ndarray:
        """The scene with the paths of those in this frame; arguments as those of `PeopleAnnotator.annotate`."""
        tracks = poses.at(frame_index).tracks.tolist()
        if not tracks:
            return scene
        picture, draw, width = _canvas(scene)
        now = poses.times[frame_index]
        recent = poses.where((poses.frame <= frame_index) & (poses.times[poses.frame] >= now - self.seconds))
        for track in tracks:
            keypoints = recent.of(track).keypoints
            hips = keypoints[:, 11:13].mean(axis=1)
            hips[:, 2] = keypoints[:, 11:13, 2].min(axis=1)
            _path(draw, hips, scale, track_colour(track), 2 * width)
            _path(draw, keypoints[:, 9], scale, LEFT, width)
            _path(draw, keypoints[:, 10], scale, RIGHT, width)
        return np.asarray(picture)


def banner(scene: np.ndarray, title: str, bars: Sequence[tuple[str, float]]) -> np.ndarray:
    """The picture with a caption above and up to three score bars below it; it grows, so that nothing is hidden.

    Args:
        scene: (height, width, 3) uint8 RGB; not changed.
        title: Any text; what does not fit on one line is cut with an ellipsis.
        bars: Names with scores 0..1, drawn in the order given.
    """
    height, width = scene.shape[:2]
    size = max(round(min(width, height) / 20), 10)
    font, row = _font(size), round(size * 1.5)
    bars = bars[:3]
    picture = Image.new("RGB", (width, height + row * (1 + len(bars))), GROUND)
    picture.paste(Image.fromarray(scene), (0, row))
    draw = ImageDraw.Draw(picture)
    _line(draw, title, (row / 3, row / 2), size, width - row)
    for i, (name, score) in enumerate(bars):
        y = row + height + i * row
        share = float(np.clip(np.nan_to_num(score), 0, 1))
        draw.rectangle((0, y + 1, round(share * width), y + row - 2), fill=(0, 95, 135) if i else (0, 130, 90))
        percent = f"{share:.0%}"
        _line(draw, name, (row / 3, y + row / 2), size, width - row - font.getlength(percent) - size)
        draw.text((width - row / 3, y + row / 2), percent, fill=MIDDLE, font=font, anchor="rm")
    return np.asarray(picture)


def _canvas(scene: np.ndarray) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """A copy to draw on, and the line width that suits its size."""
    picture = Image.fromarray(scene).copy()
    return picture, ImageDraw.Draw(picture), max(1, round(max(picture.size) / 400))


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def _side(a: int, b: int) -> Colour:
    """The colour of a bone: in COCO's order left joints are odd, right ones even, and the nose is 0."""
    if 0 in (a, b) or a % 2 != b % 2:
        return MIDDLE
    return LEFT if a % 2 else RIGHT


def _label(
    draw: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], font: ImageFont.FreeTypeFont, colour: Colour
) -> None:
    """Black text on a coloured ground, above the corner where the picture has room for it and below it elsewhere."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x, y = max(corner[0], 0), corner[1] - (bottom - top) - 4
    y = y if y >= 0 else max(corner[1], 0)
    draw.rectangle((x, y, x + right - left + 4, y + bottom - top + 4), fill=colour)
    draw.text((x + 2 - left, y + 2 - top), text, fill=(0, 0, 0), font=font)


def _path(draw: ImageDraw.ImageDraw, points: np.ndarray, scale: float, colour: Colour, width: int) -> None:
    """A path through the points (n, 3) that are seen, thicker towards its end."""
    seen = points[points[:, 2] >= VISIBLE, :2] * scale
    for i in range(1, len(seen)):
        thick = max(1, round(width * (0.4 + 0.6 * i / len(seen))))
        draw.line([*seen[i - 1].tolist(), *seen[i].tolist()], fill=colour, width=thick)


def _line(draw: ImageDraw.ImageDraw, text: str, at: tuple[float, float], size: int, room: float) -> None:
    """The text on one line, middled on `at`, cut with an ellipsis where it is wider than `room` pixels."""
    line, font = drawable(" ".join(text.split()), size)
    keep = len(line)
    if font.getlength(line) > room:
        while keep and font.getlength(line[:keep].rstrip() + "…") > room:
            keep -= max(1, keep // 20)
        line = line[:keep].rstrip() + "…"
    draw.text(at, line, fill=MIDDLE, font=font, anchor="lm")
