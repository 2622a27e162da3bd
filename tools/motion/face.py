"""Facial movement."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from ..video.reader import Frames
from .body import L_EYE, NOSE, R_EYE, Body
from .time_series import Measure, lasting, ramp

LEAST_EYES: Final = 10
"""Pixels between the eyes below which image noise changes a face as much as speech does."""


def face_motion(body: Body, frames: Frames, camera: np.ndarray) -> Measure | None:
    """Frame-to-frame change of the face, its own motion removed. None if the face is too small."""
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
