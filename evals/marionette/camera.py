"""The camera: its position, framing, shake and zoom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .curves import Track

VIEWS: Final = {
    "any": ((0.15, 0.95),),
    "side": ((0.75, 1.45),),
    "head": ((0.0, 0.6),),
    "back": ((1.7, 2.6),),
    "across": ((-0.35, 0.35),),
}
"""Ranges of azimuth, in radians from the direction a person faces, from which an action can be recognised."""


@dataclass
class Camera:
    """A static perspective camera; shake and zoom are applied to the picture."""

    width: int
    height: int
    position: np.ndarray
    """(3,) metres."""
    axes: np.ndarray
    """(3, 3): right, down and forward."""
    focal: float
    """Pixels."""
    centre: np.ndarray
    """(2,) pixels: the principal point."""
    zoom: Track
    """Magnification about the centre of the picture."""
    shake: Track
    """Shift in pixels."""
    _cache: tuple[np.ndarray, tuple[np.ndarray, np.ndarray]] | None = field(default=None, repr=False)
    """The last result of `zoom_and_shift` and its times: rendering asks for the same times hundreds of times."""

    def view(self, points: np.ndarray) -> np.ndarray:
        """World positions (..., 3) in camera coordinates: right, down, depth; metres."""
        return np.asarray((points - self.position) @ self.axes.T)

    def project_static(self, points: np.ndarray) -> np.ndarray:
        """World positions (..., 3) in the picture before shake and zoom: x, y in pixels, depth in metres."""
        seen = self.view(points)
        depth = np.maximum(seen[..., 2:], 0.2)
        return np.concatenate([seen[..., :2] / depth * self.focal + self.centre, seen[..., 2:]], -1)

    def zoom_and_shift(self, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Magnification (frames, 1) and shift (frames, 2) in pixels: picture = magnification * still + shift."""
        if self._cache is None or self._cache[0] is not times:
            zoom, shake = self.zoom.at(times), self.shake.at(times)
            self._cache = times, (zoom, (1 - zoom) * np.array([self.width, self.height]) / 2 + shake)
        return self._cache[1]

    def project(self, points: np.ndarray, times: np.ndarray) -> np.ndarray:
        """World positions (frames, ..., 3) in the picture: x, y in pixels, then depth in metres."""
        flat = self.project_static(points)
        zoom, shift = self.zoom_and_shift(times)
        spread = (len(times),) + (1,) * (flat.ndim - 2)
        flat[..., :2] = flat[..., :2] * zoom.reshape(*spread, 1) + shift.reshape(*spread, 2)
        return flat


def _look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 1, 0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward])


def frame(
    points: np.ndarray, view: str, size: tuple[int, int], seconds: float, rng: np.random.Generator, hard: bool
) -> Camera:
    """A camera that frames `points` (n, 3), in metres, in a picture of `size` (width, height)."""
    width, height = size
    low, high = VIEWS[view][0]
    azimuth = rng.uniform(low, high) * rng.choice([-1, 1])
    elevation = rng.uniform(0.02, 0.22) if not hard else rng.uniform(-0.02, 0.45)
    middle = (points.min(0) + points.max(0)) / 2
    angle = np.radians(rng.uniform(28, 48))
    focal = max(width, height) / 2 / np.tan(angle / 2)
    way = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    camera = Camera(
        width, height, middle + 5 * way, np.eye(3), focal, np.array([width, height]) / 2, Track([1.0]), Track([0, 0])
    )
    camera.axes = _look_at(camera.position, middle)
    margin = rng.uniform(0.05, 0.14) if not hard else rng.uniform(0.02, 0.22)
    distance = 5.0
    for _ in range(6):
        camera.position = middle + distance * way
        spread = camera.project_static(points)[:, :2]
        camera.centre = camera.centre + np.array([width, height]) / 2 - (spread.min(0) + spread.max(0)) / 2
        filled = (np.ptp(spread, axis=0) / np.array([width, height])).max()
        distance *= filled / (1 - 2 * margin)
    free = np.array([width, height]) - np.ptp(camera.project_static(points)[:, :2], axis=0)
    camera.centre = camera.centre + rng.uniform(-0.3, 0.3, 2) * np.maximum(0, free - 0.08 * width) * (1, 0.4)
    _add_motion(camera, seconds, rng, hard)
    return camera


def _add_motion(camera: Camera, seconds: float, rng: np.random.Generator, hard: bool) -> None:
    """Tremor, as of a hand-held camera, and sometimes a zoom; more of both in hard clips."""
    tremor = rng.uniform(0, 0.004) if not hard else rng.uniform(0.003, 0.012)
    for _ in range(3):
        width = rng.normal(0, tremor, 2) * camera.width
        camera.shake.swing(-2, seconds + 2, width, rng.uniform(0.4, 1.6) * (seconds + 4), rng.uniform())
    if hard or rng.random() < 0.25:
        camera.zoom.move(rng.uniform(-0.5, 0.5), seconds + rng.uniform(-0.5, 0.5), [rng.uniform(0.9, 1.1)])
