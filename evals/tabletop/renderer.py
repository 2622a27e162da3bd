"""Renders short clips with known motion: a table, a hand, objects, and a camera that may move.

Textures, shapes, sizes, directions, speeds, frame rates, noise and light are random. Clips are written as mp4, so that
measurements include encoding and decoding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH: Final = 320
HEIGHT: Final = 240
DIRECTIONS: Final = {"right": (1.0, 0.0), "left": (-1.0, 0.0), "up": (0.0, -1.0), "down": (0.0, 1.0)}
Pose = tuple[float, float, float, float]
"""x and y in pixels, scale, angle in degrees."""
Trajectory = Callable[[float], Pose]
"""Time in seconds to pose."""


@dataclass(frozen=True)
class Layer:
    """An RGBA picture that moves; it rotates about its centre, or about `pivot`."""

    picture: Image.Image
    path: Trajectory
    pivot: tuple[float, float] | None = None


@dataclass(frozen=True)
class Scene:
    """One clip and its ground truth."""

    truth: tuple[str, ...]
    """The visible primitives in order; for repetition, the count."""
    layers: Sequence[Layer]
    """From back to front; the first is the table."""
    camera: Trajectory
    """Shift of the picture in pixels, zoom and roll in degrees, over time."""
    seconds: float
    fps: int
    noise: float
    light: float


def render(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """(frames, HEIGHT, WIDTH, 3) uint8."""
    frames = []
    phase = rng.uniform(0, 6.28)
    for k in range(round(scene.seconds * scene.fps)):
        t = k / scene.fps
        picture = Image.new("RGBA", (WIDTH, HEIGHT))
        for layer in scene.layers:
            picture.alpha_composite(_transformed(layer, layer.path(t), scene.camera(t)))
        values = np.asarray(picture.convert("RGB"), np.float32)
        values = values * (1 + scene.light * np.sin(phase + 2.5 * t)) + rng.normal(0, scene.noise, values.shape)
        frames.append(np.clip(values, 0, 255).astype(np.uint8))
    return np.stack(frames)


def write(path: Path, frames: np.ndarray, fps: int) -> None:
    """Write frames as H.264 of ordinary quality, the same bytes on every machine."""
    # By default x264 takes its number of threads from the machine, and its macroblock tree is not reproducible.
    options = {"crf": "26", "preset": "veryfast", "threads": "2", "x264-params": "mbtree=0"}
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        file.mux(stream.encode())


def _transformed(layer: Layer, pose: Pose, camera: Pose) -> Image.Image:
    """The layer in the camera's view: (WIDTH, HEIGHT) RGBA."""
    x, y, size, angle = pose
    pivot = layer.pivot or (layer.picture.width / 2, layer.picture.height / 2)
    own = size * np.exp(1j * np.radians(angle))
    eye = camera[2] * np.exp(1j * np.radians(camera[3]))
    middle = complex(WIDTH / 2, HEIGHT / 2)
    at = eye * (complex(x, y) - middle) + middle + complex(camera[0], camera[1])
    back = 1 / (own * eye)
    start = complex(*pivot) - back * at
    matrix = (back.real, -back.imag, start.real, back.imag, back.real, start.imag)
    return layer.picture.transform((WIDTH, HEIGHT), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def eased(t: float, start: float, end: float) -> float:
    """Smoothstep: 0 before `start`, 1 after `end`."""
    u = float(np.clip((t - start) / (end - start), 0, 1))
    return u * u * (3 - 2 * u)


def along(points: Sequence[tuple[float, complex]], size: Callable[[float], float] = lambda t: 1.0) -> Trajectory:
    """A trajectory that moves smoothly between (seconds, position) and rests at each."""

    def path(t: float) -> Pose:
        at = points[0][1]
        for (t0, _), (t1, b) in zip(points, points[1:], strict=False):
            if t >= t0 and t1 > t0:
                before = next(z for s, z in reversed(points) if s <= t0)
                at = before + (b - before) * eased(t, t0, t1)
        return at.real, at.imag, size(t), 0.0

    return path


def table(rng: np.random.Generator) -> Layer:
    """A textured table with a few static objects, larger than the picture."""
    width, height = int(WIDTH * 2.2), int(HEIGHT * 2.2)
    base = rng.uniform(60, 190, 3)
    picture = np.tile(base, (height, width, 1))
    for cells, strength in ((6, 18), (24, 14), (90, 10)):
        rough = rng.normal(0, strength * rng.uniform(0.5, 1.2), (cells * height // width + 2, cells))
        layer = Image.fromarray(rough.astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        picture += np.asarray(layer)[:, :, None] * rng.uniform(0.7, 1.0, 3)
    if rng.random() < 0.5:
        grain = np.sin(np.arange(height)[:, None] / rng.uniform(3, 9) + np.arange(width)[None] / rng.uniform(30, 90))
        picture += 6 * grain[:, :, None]
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).convert("RGBA")
    for _ in range(int(rng.integers(0, 5))):
        still = sprite(rng, rng.uniform(30, 70))
        # Near the border of the initial view, so that moving objects pass in front of some of them.
        x = rng.choice([rng.uniform(0.2, 0.34), rng.uniform(0.6, 0.72)]) * width
        y = rng.choice([rng.uniform(0.2, 0.34), rng.uniform(0.6, 0.72)]) * height
        image.alpha_composite(still, (int(x), int(y)))
    return Layer(image, lambda t: (WIDTH / 2, HEIGHT / 2, 1.0, 0.0))


def sprite(rng: np.random.Generator, side: float) -> Image.Image:
    """A box, disc or irregular shape with a pattern, RGBA, about `side` pixels wide."""
    n = int(side) + 8
    scale = 3
    mask = Image.new("L", (n * scale, n * scale))
    draw = ImageDraw.Draw(mask)
    a, b, middle = side * scale / 2, side * scale / 2 * rng.uniform(0.6, 1.0), n * scale / 2
    kind = rng.integers(3)
    if kind == 0:
        draw.rounded_rectangle(
            (middle - a, middle - b, middle + a, middle + b), radius=int(a * rng.uniform(0, 0.3)), fill=255
        )
    elif kind == 1:
        draw.ellipse((middle - a, middle - b, middle + a, middle + b), fill=255)
    else:
        turns = np.sort(rng.uniform(0, 2 * np.pi, 7))
        far = rng.uniform(0.7, 1.0, 7)
        draw.polygon(
            [(middle + a * f * np.cos(v), middle + a * f * np.sin(v)) for v, f in zip(turns, far, strict=True)],
            fill=255,
        )
    cells = int(rng.integers(4, 9))
    pattern = rng.normal(0, rng.uniform(25, 55), (cells, cells, 1)) * rng.uniform(0.4, 1.0, 3) + rng.uniform(30, 220, 3)
    picture = Image.fromarray(np.clip(pattern, 0, 255).astype(np.uint8)).resize((n, n), Image.Resampling.BILINEAR)
    picture.putalpha(mask.resize((n, n), Image.Resampling.BOX))
    return picture


def plain_box(rng: np.random.Generator, side: float) -> Image.Image:
    """A square object that fills its `side` completely."""
    n = round(side)
    cells = int(rng.integers(4, 8))
    pattern = rng.normal(0, rng.uniform(30, 55), (cells, cells, 1)) * rng.uniform(0.4, 1.0, 3) + rng.uniform(40, 210, 3)
    picture = Image.fromarray(np.clip(pattern, 0, 255).astype(np.uint8)).resize((n, n), Image.Resampling.BILINEAR)
    picture.putalpha(255)
    return picture


def hand(rng: np.random.Generator, angle: float) -> Layer:
    """A hand whose arm enters from `angle` (degrees; 0: right, 90: below); the pivot is at the fingertips."""
    length, wide = 420, int(rng.uniform(30, 46))
    skin = np.array([224, 172, 140]) * rng.uniform(0.35, 1.05)
    mask = Image.new("L", (length, wide * 2))
    draw = ImageDraw.Draw(mask)
    middle = wide
    draw.rounded_rectangle((wide * 1.3, middle - wide * 0.36, length, middle + wide * 0.36), radius=8, fill=255)
    draw.ellipse((wide * 0.6, middle - wide * 0.52, wide * 1.9, middle + wide * 0.52), fill=255)
    for k in range(4):
        y = middle + (k - 1.5) * wide * 0.25
        draw.line((rng.uniform(2, 8), y * 0.8 + middle * 0.2, wide, y), fill=255, width=int(wide * 0.2))
    shade = 1 - 0.35 * np.abs(np.linspace(-1, 1, wide * 2))[:, None] + rng.normal(0, 0.02, (wide * 2, length))
    shade[:, int(wide * 2.4) :] *= rng.uniform(0.3, 1.0)
    picture = Image.fromarray(np.clip(shade[:, :, None] * skin, 0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(1))
    picture.putalpha(mask.filter(ImageFilter.BoxBlur(1)))
    turned = picture.rotate(-angle, expand=True, resample=Image.Resampling.BICUBIC)
    a = np.radians(angle)
    offset = complex(-length / 2, 0) * np.exp(1j * a)
    tip = turned.width / 2 + offset.real, turned.height / 2 + offset.imag
    return Layer(turned, lambda t: (0.0, 0.0, 1.0, 0.0), tip)


def camera(rng: np.random.Generator, moves: bool) -> Trajectory:
    """A static camera, or a hand-held one, which shakes, drifts and zooms slightly."""
    if not moves:
        return lambda t: (0.0, 0.0, 1.0, 0.0)
    rates, phases = rng.uniform(1.5, 6, 5), rng.uniform(0, 6.28, 5)
    shake, drift, zoom, roll = rng.uniform(0.3, 2.0), rng.normal(0, 10, 2), rng.normal(0, 0.03), rng.normal(0, 1.0)

    def path(t: float) -> Pose:
        x, y, turn = (np.sin(rates[k] * t * 6 * 0.5 + phases[k]) for k in range(3))
        return (
            shake * x + drift[0] * t,
            shake * y + drift[1] * t,
            float(np.exp(zoom * t)),
            0.3 * shake * turn + roll * t,
        )

    return path


def scene(
    rng: np.random.Generator, moves: bool, truth: Sequence[str], layers: Sequence[Layer], seconds: float
) -> Scene:
    """A scene with random frame rate, noise and light."""
    fps = int(rng.choice([12, 15, 24, 30]))
    return Scene(
        tuple(truth), [table(rng), *layers], camera(rng, moves), seconds, fps, rng.uniform(1, 6), rng.uniform(0, 0.12)
    )
