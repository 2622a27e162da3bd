"""Captions around a frame: the answer, the time and what happens above, the scores below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from .fonts import drawable

BACKGROUND: Final = (24, 24, 24)
WHITE: Final = (255, 255, 255)
GREY: Final = (170, 176, 180)
BEST: Final = (0, 130, 90)
"""Bar of the first score; the others are `OTHERS`."""
OTHERS: Final = (0, 95, 135)


@dataclass(frozen=True)
class Banner:
    """Captions that stay the same for all frames of a video."""

    title: str
    """Any text; like all others, it is truncated with an ellipsis to fit on one line."""
    bars: Sequence[tuple[str, float]] = ()
    """Names and scores in [0, 1], in the order to draw."""
    lines: int = 0
    """Lines above the frame for what happens in it; players cover the lower edge with their controls."""

    def annotate(self, scene: np.ndarray, time: str = "", happening: Sequence[str] = ()) -> np.ndarray:
        """The scene with captions above and below; it grows, so that nothing is covered.

        Args:
            scene: (height, width, 3) uint8 RGB; not changed.
            time: Short text for the upper right corner.
            happening: Any texts, of which the first `lines` are drawn.
        """
        height, width = scene.shape[:2]
        size = max(round(min(width, height) / 20), 10)
        row = round(size * 1.5)
        above = row * (1 + self.lines)
        picture = Image.new("RGB", (width, above + height + row * len(self.bars)), BACKGROUND)
        picture.paste(Image.fromarray(scene), (0, above))
        draw, margin = ImageDraw.Draw(picture), row / 3
        _two_texts(draw, self.title, time, row / 2, margin, width, size)
        for k, text in enumerate(happening[: self.lines], 1):
            _line(draw, text, (margin, (k + 0.5) * row), size, width - 2 * margin, GREY)
        for k, (name, score) in enumerate(self.bars):
            share = float(np.clip(np.nan_to_num(score), 0, 1))
            top = above + height + k * row
            draw.rectangle((0, top + 1, round(share * width), top + row - 2), fill=OTHERS if k else BEST)
            _two_texts(draw, name, f"{share:.2f}", top + row / 2, margin, width, size)
        return np.asarray(picture)


def _two_texts(
    draw: ImageDraw.ImageDraw, left: str, right: str, y: float, margin: float, width: int, size: int
) -> None:
    """One text at the left, truncated, and one at the right, whole; vertically centred on `y`."""
    line, font = drawable(right, size)
    taken = font.getlength(line) + size if line else 0.0
    draw.text((width - margin, y), line, fill=WHITE, font=font, anchor="rm")
    _line(draw, left, (margin, y), size, width - 2 * margin - taken, WHITE)


def _line(
    draw: ImageDraw.ImageDraw, text: str, at: tuple[float, float], size: int, room: float, colour: tuple[int, int, int]
) -> None:
    """The text on one line, vertically centred on `at`, truncated with an ellipsis to `room` pixels."""
    line, font = drawable(" ".join(text.split()), size)
    keep = len(line)
    if font.getlength(line) > room:
        while keep and font.getlength(line[:keep].rstrip() + "…") > room:
            keep -= max(1, keep // 20)
        line = line[:keep].rstrip() + "…"
    draw.text(at, line, fill=colour, font=font, anchor="lm")
