"""Fitting images into the input of a network: scaled, centred, padded with grey."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

STRIDE: Final = 32
"""Width and height of a network's input are multiples of this."""
GREY: Final = 114
"""Grey level of the padding, as YOLO was trained with."""


@dataclass(frozen=True)
class Letterbox:
    """Where an image lies in the network's input: scaled, centred, padded with grey."""

    picture: tuple[int, int]
    """Width and height in pixels."""
    inner: tuple[int, int]
    """Width and height of the image within the input, in pixels."""
    outer: tuple[int, int]
    """Width and height of the input, in pixels."""

    @classmethod
    def fit(cls, picture: tuple[int, ...], into: int | tuple[int, int]) -> Letterbox:
        """The letterbox for images of one size.

        Args:
            picture: Height and width in pixels.
            into: The longer side of the input, whose other side is then as short as possible; or its height and width.
        """
        height, width = picture
        rows, columns = into if isinstance(into, tuple) else (into, into)
        scale = min(rows / height, columns / width)
        inner = max(round(width * scale), 1), max(round(height * scale), 1)
        outer = (columns, rows) if isinstance(into, tuple) else (_multiple(inner[0]), _multiple(inner[1]))
        return cls((width, height), inner, outer)

    @property
    def corner(self) -> tuple[int, int]:
        """Position of the image's upper left corner in the input, x and y."""
        # An odd pixel of padding goes to the right and bottom, as in training.
        return (self.outer[0] - self.inner[0]) // 2, (self.outer[1] - self.inner[1]) // 2

    def apply(self, image: np.ndarray) -> np.ndarray:
        """An image (height, width, 3) uint8 as network input: (3, height, width) float32 in [0, 1]."""
        canvas = Image.new("RGB", self.outer, (GREY, GREY, GREY))
        canvas.paste(Image.fromarray(image).resize(self.inner, Image.Resampling.BILINEAR), self.corner)
        return np.asarray(canvas).transpose(2, 0, 1).astype(np.float32) / 255

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the input, x and y, converted to pixels of the image."""
        return np.asarray((points - self.corner) * np.divide(self.picture, self.inner))


def _multiple(pixels: int) -> int:
    return -(-pixels // STRIDE) * STRIDE
