"""Which tracked points lie on people."""

from __future__ import annotations

from typing import Final

import numpy as np

from ..video.reader import Frames
from ..vision.pose import Poses
from .body import L_HIP, L_SHOULDER, NOSE, R_HIP, R_SHOULDER, seen_joints
from .flow import Flow

MARGIN: Final = 0.25
"""Margin, as a proportion of a box's sides, for moving arms, feet and shadows."""


def on_people(flow: Flow, fine: Frames, poses: Poses) -> np.ndarray:
    """(points, frames) bool: points inside anyone's box."""
    return _inside(flow, fine, poses)


def whole_people(flow: Flow, fine: Frames, poses: Poses) -> np.ndarray:
    """(points, frames) bool: points in or about the box of somebody whose shoulders, and face or hips, are in view.

    Of whom only arms are seen, nothing is taken out: there the arm and what it holds are what moves.
    """
    seen = seen_joints(poses)
    shoulders, face, hips = (
        seen[:, joints].all(axis=1) for joints in ([L_SHOULDER, R_SHOULDER], [NOSE], [L_HIP, R_HIP])
    )
    return _inside(flow, fine, poses.where(np.asarray(shoulders & (face | hips))), MARGIN)


def _inside(flow: Flow, fine: Frames, poses: Poses, margin: float = 0.0) -> np.ndarray:
    inside = np.zeros(flow.points.shape, bool)
    if not len(poses):
        return inside
    to_original = np.array(fine.images.shape[2:0:-1]) / flow.size / fine.scale
    x = (flow.points.real + (flow.size[0] - 1) / 2) * to_original[0]
    y = (flow.points.imag + (flow.size[1] - 1) / 2) * to_original[1]
    nearest = np.abs(fine.times[:, None] - poses.times[None]).argmin(axis=1)
    for k, frame in enumerate(nearest):
        for x0, y0, x1, y1 in poses.boxes[poses.frame == frame]:
            wide, high = margin * (x1 - x0), margin * (y1 - y0)
            across = (x[:, k] >= x0 - wide) & (x[:, k] <= x1 + wide)
            inside[:, k] |= across & (y[:, k] >= y0 - high) & (y[:, k] <= y1 + high)
    return inside
