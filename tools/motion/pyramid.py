"""Grey images, their pyramids, and patches at sub-pixel positions: what optical flow works on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from ..video.reader import Frames

SIDE: Final = 160
"""Long side in pixels of the images that points are tracked in."""

RADIUS: Final = 4
"""Pixels: radius of a point's patch."""


def working_images(frames: Frames) -> np.ndarray:
    """(frames, height, width) float32, `SIDE` pixels long, both sides divisible by four.

    The three colours are mixed into one so that what changes from frame to frame stands out most: a red object on a
    green table may be as bright as the table.
    """
    height, width = frames.images.shape[1:3]
    scale = min(1.0, SIDE / max(height, width))
    size = (max(16, round(width * scale / 4) * 4), max(16, round(height * scale / 4) * 4))
    small = np.stack(
        [np.asarray(Image.fromarray(i).resize(size, Image.Resampling.BOX), np.float32) for i in frames.images]
    )
    return np.asarray(small @ _channel_weights(small), np.float32)


def _channel_weights(pictures: np.ndarray) -> np.ndarray:
    """(3,) weights of red, green and blue: principal axis of colour changes, global changes removed."""
    changes = np.diff(pictures[:, ::2, ::2], axis=0)
    changes = (changes - changes.mean(axis=(1, 2), keepdims=True)).reshape(-1, 3)
    # Falls back to brightness if nothing changes.
    spread = changes.T.astype(float) @ changes / max(1, len(changes)) + 0.01
    main = np.linalg.eigh(spread)[1][:, -1]
    return np.asarray(main * (1 if main.sum() >= 0 else -1), np.float32)


@dataclass(frozen=True)
class Level:
    """A level of the pyramid with its gradients."""

    grey: np.ndarray
    right: np.ndarray
    down: np.ndarray

    @classmethod
    def pyramid(cls, picture: np.ndarray) -> Pyramid:
        """The image minus its local mean, at full and half size with gradients, and at a quarter."""
        full = picture - box_mean(picture, 12)
        half = _halved(full)
        return cls.of(full), cls.of(half), _halved(half)

    @classmethod
    def of(cls, grey: np.ndarray) -> Level:
        """An image and its central differences."""
        right, down = np.zeros_like(grey), np.zeros_like(grey)
        right[:, 1:-1] = (grey[:, 2:] - grey[:, :-2]) / 2
        down[1:-1] = (grey[2:] - grey[:-2]) / 2
        return cls(grey, right, down)


Pyramid = tuple[Level, Level, np.ndarray]


def patches_at(grey: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(n, pixels) patches of points, minus their means."""
    side = np.arange(-RADIUS, RADIUS + 1, dtype=np.float32)
    x, y = at[:, :1] + np.tile(side, len(side)), at[:, 1:] + np.repeat(side, len(side))
    values = Interpolation(grey.shape, x, y).read(grey)
    return np.asarray(values - values.mean(axis=1, keepdims=True))


def correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(n,) -1..1: correlation of (n, pixels) patches whose means are 0."""
    norms = (one * one).sum(axis=1) * (other * other).sum(axis=1)
    return np.asarray((one * other).sum(axis=1) / np.sqrt(norms + 1.0))


class Interpolation:
    """Sub-pixel positions at which planes of one size are read."""

    def __init__(self, shape: tuple[int, ...], x: np.ndarray, y: np.ndarray) -> None:
        height, width = shape
        x, y = np.clip(x, 0, width - 1.001), np.clip(y, 0, height - 1.001)
        column, row = x.astype(np.int32), y.astype(np.int32)
        self._first, self._width = row * width + column, width
        self._x, self._y = x - column, y - row

    def read(self, plane: np.ndarray) -> np.ndarray:
        """Bilinearly interpolated values of a plane, in the shape of the coordinates."""
        flat, k = plane.ravel(), self._first
        upper = flat[k] * (1 - self._x) + flat[k + 1] * self._x
        k = k + self._width
        lower = flat[k] * (1 - self._x) + flat[k + 1] * self._x
        return np.asarray(upper * (1 - self._y) + lower * self._y, np.float32)


def box_mean(plane: np.ndarray, radius: int) -> np.ndarray:
    """Box filter of this radius with repeated borders."""
    side = 2 * radius + 1
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (radius + 1, radius)
        padded = np.pad(plane, width, mode="edge")
        if axis == 0:
            padded[0] = 0
            summed = np.cumsum(padded, axis=0)
            plane = (summed[side:] - summed[:-side]) / side
        else:
            padded[:, 0] = 0
            summed = np.cumsum(padded, axis=1)
            plane = (summed[:, side:] - summed[:, :-side]) / side
    return plane


def _halved(plane: np.ndarray) -> np.ndarray:
    height, width = plane.shape
    return np.asarray(plane.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)))


def histogram_distance(one: np.ndarray, other: np.ndarray, extent: tuple[float, float]) -> float:
    """0..1: half the summed difference of two 16-bin histograms."""
    a, b = (np.histogram(picture, 16, extent)[0] / picture.size for picture in (one, other))
    return float(np.abs(a - b).sum() / 2)
