"""What the pictures themselves tell: how the camera moved, where it cut, and whether a face changes."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from ..video import Frames
from .body import L_EYE, NOSE, R_EYE, Body
from .signal import Measure, lasting, ramp

SMALL: Final = (128, 96)
"""Width and height in pixels at which the camera's movement is looked for."""
CLEAR_PEAK: Final = 0.15
"""Phase correlation below this does not tell a shift from chance."""
LEAST_EYES: Final = 10
"""Pixels between the eyes below which the picture's noise changes a face as much as speaking does."""
CUT: Final = 0.35
"""Two frames whose grey-level histograms differ by more, and that do not correlate, belong to two shots."""


def camera_path(frames: Frames, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How the scene shifts, and where the film cuts.

    Args:
        frames: The frames of the clip.
        covered: (frames,) part of the picture that people cover; where they fill it, no shift is taken.

    Returns:
        (frames, 2) pixels of the original by which the scene has shifted since the shot began, and (frames,) int the
        number of the shot.
    """
    small = np.stack([_grey(image) for image in frames.images])
    to_original = np.array(frames.images.shape[2:0:-1]) / SMALL / frames.scale
    path, shots = np.zeros((len(small), 2)), np.zeros(len(small), int)
    for k in range(1, len(small)):
        shift, peak = _shift(small[k - 1], small[k])
        cut = peak < CLEAR_PEAK and _histogram_distance(small[k - 1], small[k]) > CUT
        shots[k] = shots[k - 1] + cut
        moves = peak >= CLEAR_PEAK and max(covered[k - 1], covered[k]) < 0.4
        path[k] = path[k - 1] * (not cut) + (shift * to_original if moves else 0)
    return path, shots


def face_motion(body: Body, frames: Frames, camera: np.ndarray) -> Measure | None:
    """How much the face changes from frame to frame once its own shift is taken out. None where it is too small."""
    eyes = np.linalg.norm(body.points[:, L_EYE] - body.points[:, R_EYE], axis=1) * frames.scale
    seen = np.isfinite(body.points[:, [NOSE, L_EYE, R_EYE], 0]).all(axis=1)
    if seen.sum() < 8 or np.median(eyes[seen]) < LEAST_EYES:
        return None
    half = 1.6 * float(np.median(eyes[seen]))
    crops = []
    for k in np.flatnonzero(seen):
        x, y = (body.points[k, NOSE] + camera[body.index[k]]) * frames.scale
        box = (x - half, y - half, x + half, y + half)
        crop = Image.fromarray(frames.images[body.index[k]]).crop([round(v) for v in box]).convert("L").resize((32, 32))  # type: ignore[arg-type]
        crops.append(np.asarray(crop, float))
    faces = np.stack(crops)
    contrast = faces.std(axis=(1, 2)).mean() + 1e-6
    changes = np.abs(np.diff(faces, axis=0)).mean(axis=(1, 2)) / contrast
    return lasting(ramp(changes, 0.15, 0.45), body.times[seen][1:])


def _grey(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(SMALL, Image.Resampling.BOX).convert("L"), float)


def _shift(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float]:
    """(2,) pixels x, y by which `after` is shifted, and how clear the peak of the phase correlation is, 0..1."""
    window = np.outer(np.hanning(before.shape[0]), np.hanning(before.shape[1]))
    one, other = (np.fft.rfft2((picture - picture.mean()) * window) for picture in (before, after))
    cross = other * np.conj(one)
    plane = np.fft.irfft2(cross / (np.abs(cross) + 1e-9), before.shape)
    y, x = np.unravel_index(int(plane.argmax()), plane.shape)
    size = np.array(before.shape)
    shift = (np.array([y, x]) + size // 2) % size - size // 2
    between = np.array([_apex(plane[:, x], int(y)), _apex(plane[y], int(x))])
    return (shift + between)[::-1], float(plane.max())


def _apex(line: np.ndarray, peak: int) -> float:
    """Where between its neighbours a peak lies, -0.5..0.5, by their weights."""
    before, at, after = (max(0.0, float(line[(peak + k) % len(line)])) for k in (-1, 0, 1))
    return (after - before) / max(before + at + after, 1e-9)


def _histogram_distance(one: np.ndarray, other: np.ndarray) -> float:
    """0..1: half the summed difference of two 16-bin grey-level histograms."""
    a, b = (np.histogram(picture, 16, (0, 255))[0] / picture.size for picture in (one, other))
    return float(np.abs(a - b).sum() / 2)
