"""Scenery: walls and floors, moving distractors, and occluders."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .camera import Camera
from .canvas import Canvas

PAD = 0.2
"""Margin of the backdrop on each side as a fraction of the picture, for shake and zoom."""


def _noise(rng: np.random.Generator, height: int, width: int, cells: int, stretch: float = 1.0) -> np.ndarray:
    """Smooth noise (height, width, 1), about -1 to 1."""
    small = rng.uniform(-1, 1, (max(2, int(cells * stretch)), max(2, cells))).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))[..., None]


def _tint(rng: np.random.Generator, low: float, high: float) -> np.ndarray:
    return np.asarray(rng.uniform(low, high) + rng.normal(0, 16, 3), np.float32)


def _wall(rng: np.random.Generator, height: int, width: int, hard: bool) -> np.ndarray:
    base = _tint(rng, 70, 215)
    picture = np.broadcast_to(base, (height, width, 3)).copy()
    kind = rng.choice(["plain", "gradient", "stripes", "blocks", "blurred"])
    if kind == "gradient":
        picture += np.linspace(-1, 1, height)[:, None, None] * rng.normal(0, 40, 3)
    elif kind == "stripes":
        along = np.arange(width)[None, :] if rng.random() < 0.5 else np.arange(height)[:, None]
        wave = np.sin(along * 2 * np.pi / rng.uniform(9, 40)) > rng.uniform(-0.6, 0.6)
        picture += wave[..., None] * rng.normal(0, 28, 3)
    elif kind == "blocks":
        rows, columns = (int(n) for n in rng.integers(3, 9, 2))
        blocks = rng.normal(0, 26, (rows, columns, 3)) * rng.uniform(0.5, 1.2)
        y, x = np.arange(height) * rows // height, np.arange(width) * columns // width
        picture += blocks[y][:, x]
    if kind == "blurred" or hard:
        picture = _shapes(rng, picture, 4 if not hard else 9)
    picture += 14 * _noise(rng, height, width, 5) + (10 if hard else 5) * _noise(rng, height, width, 40)
    return picture


def _shapes(rng: np.random.Generator, picture: np.ndarray, count: int) -> np.ndarray:
    """Blurred rectangles and ellipses, like furniture, windows and trees out of focus."""
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(count):
        w, h = rng.uniform(0.05, 0.4) * image.width, rng.uniform(0.08, 0.5) * image.height
        x, y = rng.uniform(-0.1, 1) * image.width, rng.uniform(-0.1, 1) * image.height
        colour = tuple(int(c) for c in np.clip(_tint(rng, 40, 220), 0, 255))
        (draw.ellipse if rng.random() < 0.4 else draw.rectangle)((x, y, x + w, y + h), colour)
    return np.asarray(image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.8, 5)))), np.float32)


def backdrop(camera: Camera, distance: float, rng: np.random.Generator, hard: bool) -> tuple[Image.Image, float]:
    """A wall `distance` metres from the camera, with the floor in front of it, and the row in which they meet."""
    pad_x, pad_y = int(PAD * camera.width), int(PAD * camera.height)
    width, height = camera.width + 2 * pad_x, camera.height + 2 * pad_y
    flat = camera.axes[2] * (1, 0, 1)
    far = camera.position + flat / np.linalg.norm(flat) * distance
    meet = float(camera.project_static(far * (1, 0, 1))[1]) + pad_y
    picture = _wall(rng, height, width, hard)
    row = int(np.clip(meet, 0, height))
    if row < height:
        floor = np.broadcast_to(_tint(rng, 60, 190), (height - row, width, 3)).copy()
        floor += np.linspace(-10, 12, height - row)[:, None, None]
        floor += 12 * _noise(rng, height - row, width, 6, 0.5) + 8 * _noise(rng, height - row, width, 50, 0.3)
        picture[row:] = floor
        if rng.random() < 0.5:
            picture[max(0, row - 3) : row] *= 0.75
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)), meet - pad_y


def render_backdrop(image: Image.Image, camera: Camera, times: np.ndarray) -> np.ndarray:
    """The backdrop with camera shake and zoom: (frames, height, width, 3) float32."""
    pad_x, pad_y = int(PAD * camera.width), int(PAD * camera.height)
    zoom, shift = camera.zoom_and_shift(times)
    pictures = np.empty((len(times), camera.height, camera.width, 3), np.float32)
    size = (camera.width, camera.height)
    for k, (z, (dx, dy)) in enumerate(zip(zoom[:, 0], shift, strict=True)):
        left, top = max(0.0, pad_x - dx / z), max(0.0, pad_y - dy / z)
        box = (left, top, min(left + size[0] / z, image.width), min(top + size[1] / z, image.height))
        pictures[k] = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))
    return pictures


def distractors(canvas: Canvas, camera: Camera, times: np.ndarray, rng: np.random.Generator, hard: bool) -> None:
    """Objects that move behind the people: they cross the picture or sway."""
    for _ in range(int(rng.integers(1, 4)) if hard else int(rng.random() < 0.3)):
        size = rng.uniform(0.03, 0.1) * camera.height
        start = rng.uniform(-0.1, 1.1, 2) * (camera.width, 0.75 * camera.height)
        speed = rng.normal(0, 0.25, 2) * camera.width * (1, 0.15)
        sway = rng.uniform(0, 0.08) * camera.height * np.sin(2 * np.pi * rng.uniform(0.3, 1.5) * times)
        a = np.stack([start[0] + speed[0] * times, start[1] + speed[1] * times + sway, np.full(len(times), 90.0)], -1)
        b = a + (*(rng.normal(0, 1.5, 2) * size), 0)
        radius = np.full(len(times), size)
        colour = tuple(float(c) for c in np.clip(_tint(rng, 50, 210), 0, 255))
        canvas.cone((a, b), (radius, radius * rng.uniform(0.5, 1.2)), 0.1, (colour[0], colour[1], colour[2]), 0)


def occluders(canvas: Canvas, camera: Camera, times: np.ndarray, rng: np.random.Generator) -> None:
    """Posts and low walls in front of the people; each hides at most a tenth of the picture."""
    _, shift = camera.zoom_and_shift(times)
    for _ in range(int(rng.integers(0, 3))):
        colour = tuple(float(c) for c in np.clip(_tint(rng, 30, 200), 0, 255))
        if rng.random() < 0.6:
            x, radius = rng.uniform(0.05, 0.95) * camera.width, rng.uniform(0.015, 0.04) * camera.width
            ends = (x, -9.0), (x + rng.normal(0, 8), camera.height + 9.0)
        else:
            radius, y = rng.uniform(0.03, 0.06) * camera.height, rng.uniform(0.93, 1.02) * camera.height
            ends = (-9.0, y), (camera.width + 9.0, y)
        near = [np.concatenate([np.array(end) + shift, np.full((len(times), 1), 0.3)], 1) for end in ends]
        size = np.full(len(times), radius)
        canvas.cone((near[0], near[1]), (size, size), 0.01, (colour[0], colour[1], colour[2]), 255)
