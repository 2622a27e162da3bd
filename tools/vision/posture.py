"""Posture of a skeleton in words: trunk, limbs and hands; joint angles and body height."""

from __future__ import annotations

from typing import Final

import numpy as np

from .detections import VISIBLE

TRUNK: Final = 0.288
"""Trunk length (shoulders to hips) as a fraction of body height: Drillis and Contini 1966, cited in Winter 2009."""
_SHOULDERS, _WRISTS, _HIPS = (5, 6), (9, 10), (11, 12)
_HAND_HEIGHTS: Final = (
    (-0.15, "below the hips"),
    (0.25, "at the hips"),
    (0.8, "before the trunk"),
    (1.15, "at the shoulders"),
    (1.6, "at the head"),
)
"""Upper limits along the trunk, 0 at the hips and 1 at the shoulders, and the words for a hand below each."""
_LIMBS: Final = {"elbow": ((5, 7, 9), (6, 8, 10)), "knee": ((11, 13, 15), (12, 14, 16))}


def joint_angle(points: np.ndarray) -> float:
    """Degrees at the second of three joints (3, 3: x, y, visibility); 180 is straight, NaN if any is not visible."""
    if points[:, 2].min() < VISIBLE:
        return float("nan")
    one, other = points[0, :2] - points[1, :2], points[2, :2] - points[1, :2]
    cosine = one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-6)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def midpoint(pose: np.ndarray, pair: tuple[int, int]) -> np.ndarray | None:
    """Midpoint (2,) of two keypoints of a skeleton (17, 3); None if either is not visible."""
    return None if pose[list(pair), 2].min() < VISIBLE else np.asarray(pose[list(pair), :2].mean(axis=0))


def body_height(poses: np.ndarray, boxes: np.ndarray) -> float:
    """Standing height of one person in pixels, at least 1, from all their detections.

    Args:
        poses: (detections, 17, 3) keypoints.
        boxes: (detections, 4); their largest height is returned if the trunk is never visible.
    """
    trunks = [
        float(np.linalg.norm(shoulders - hips))
        for pose in poses
        if (shoulders := midpoint(pose, _SHOULDERS)) is not None and (hips := midpoint(pose, _HIPS)) is not None
    ]
    # A bent or turned trunk looks shorter, never longer; hence a high percentile.
    height = float(np.percentile(trunks, 90)) / TRUNK if trunks else float((boxes[:, 3] - boxes[:, 1]).max())
    return max(height, 1.0)


def posture(pose: np.ndarray) -> str:
    """One skeleton (17, 3) in words: trunk, knees, elbows and hands, as far as they are visible."""
    parts = [_trunk(pose), *(_limbs(pose, name) for name in ("knee", "elbow")), _hands(pose)]
    if not any(parts):
        return "only head and shoulders in view" if midpoint(pose, _SHOULDERS) is not None else "joints not seen"
    return ", ".join(part for part in parts if part)


def _trunk(pose: np.ndarray) -> str:
    shoulders, hips = midpoint(pose, _SHOULDERS), midpoint(pose, _HIPS)
    if shoulders is None or hips is None:
        return ""
    x, y = shoulders - hips
    lean = float(np.degrees(np.arctan2(x, -y)))
    words = ((20, "upright"), (45, "leaning"), (75, "bent over"), (110, "level"), (181, "upside down"))
    word = next(word for limit, word in words if abs(lean) < limit)
    return (
        f"trunk {word} ({abs(lean):.0f} degrees{'' if abs(lean) < 20 else ' to the ' + ('right' if x > 0 else 'left')})"
    )


def _limbs(pose: np.ndarray, name: str) -> str:
    angles = [joint_angle(pose[list(limb)]) for limb in _LIMBS[name]]
    if np.isnan(angles).all():
        return ""
    left, right = ("unseen" if np.isnan(angle) else f"{angle:.0f}" for angle in angles)
    return f"{name}s {left}/{right}"


def _hands(pose: np.ndarray) -> str:
    heights = [_hand(pose, wrist) for wrist in _WRISTS]
    if heights[0] == heights[1]:
        return f"both hands {heights[0]}" if heights[0] else ""
    return ", ".join(f"{side} hand {at}" for side, at in zip(("left", "right"), heights, strict=True) if at)


def _hand(pose: np.ndarray, wrist: int) -> str:
    """Position of a hand along the trunk, whichever way the trunk points."""
    shoulders, hips = midpoint(pose, _SHOULDERS), midpoint(pose, _HIPS)
    if pose[wrist, 2] < VISIBLE or shoulders is None:
        return ""
    if hips is None:
        return "above the shoulders" if pose[wrist, 1] < shoulders[1] else "below the shoulders"
    up = shoulders - hips
    along = float((pose[wrist, :2] - hips) @ up / max(float(up @ up), 1e-6))
    return next((word for limit, word in _HAND_HEIGHTS if along < limit), "above the head")
