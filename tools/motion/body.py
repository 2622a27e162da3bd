"""One person's joints over time, in body heights, with camera motion removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..vision.detections import VISIBLE
from ..vision.pose import Poses

NOSE, L_EYE, R_EYE, L_EAR, R_EAR = 0, 1, 2, 3, 4
L_SHOULDER, R_SHOULDER, L_ELBOW, R_ELBOW, L_WRIST, R_WRIST = 5, 6, 7, 8, 9, 10
L_HIP, R_HIP, L_KNEE, R_KNEE, L_ANKLE, R_ANKLE = 11, 12, 13, 14, 15, 16

HEIGHTS_PER_TORSO: Final = 3.4
"""Body height over the distance from mid-shoulder to mid-hip (adult proportions)."""
HEIGHTS_PER_SHOULDERS: Final = 4.3
"""Body height over the distance between the shoulder joints, seen from the front."""
HEIGHTS_PER_EYES: Final = 26.0
"""Body height over the distance between the pupils, seen from the front."""
BONES: Final = (
    (L_SHOULDER, L_ELBOW), (L_ELBOW, L_WRIST), (R_SHOULDER, R_ELBOW), (R_ELBOW, R_WRIST), (L_SHOULDER, L_HIP),
    (R_SHOULDER, R_HIP), (L_HIP, L_KNEE), (L_KNEE, L_ANKLE), (R_HIP, R_KNEE), (R_KNEE, R_ANKLE),
    (L_SHOULDER, R_SHOULDER), (L_HIP, R_HIP),
)  # fmt: skip
ENOUGH_BONES: Final = 6
"""Bones that must be visible before and after to tell whether the person has approached."""
UNBENT: Final = 85
"""Percentile of the trunk's length over time taken as its true length: bent or turned it looks shorter."""
FEWEST_FRAMES: Final = 3
BODY_WINDOW: Final = 0.25
"""Seconds to either side over which the velocity of a body is measured, frame rate permitting."""
LIMB_WINDOW: Final = 0.12
"""The same for a hand or foot, whose swing is shorter."""


@dataclass(frozen=True)
class Body:
    """The time series of one person within one shot. Positions of joints that are not visible are NaN."""

    track: int
    index: np.ndarray
    """(k,) int: indices of the frames in which the person was detected."""
    times: np.ndarray
    """(k,) seconds."""
    points: np.ndarray
    """(k, 17, 2) pixels of the original image, camera motion removed; y grows downwards."""
    height: np.ndarray
    """(k,) body height in pixels, smoothed: the unit of all lengths."""
    boxes: np.ndarray
    """(k, 4) pixels of the original image."""

    @property
    def step(self) -> float:
        """Typical time between frames in seconds."""
        return float(np.median(np.diff(self.times)))

    def joint(self, *which: int) -> np.ndarray:
        """(k, 2): the mean of these joints, NaN where one is not visible."""
        return np.asarray(self.points[:, which].mean(axis=1))

    def between(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(k,) distance of two (k, 2) series in body heights."""
        return np.asarray(np.linalg.norm(one - other, axis=1) / self.height)

    def centre(self) -> np.ndarray:
        """(k, 2): mid-hip; if the hips are rarely visible, mid-shoulder or the centre of the box."""
        hips, shoulders = self.joint(L_HIP, R_HIP), self.joint(L_SHOULDER, R_SHOULDER)
        middle = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2
        for known in (hips, shoulders):
            if np.isfinite(known[:, 0]).mean() > 0.6:
                return filled(known, self.times)
        return np.asarray(middle)

    def place(self) -> np.ndarray:
        """(k, 2): where the person stands: between the feet, or the centre if these are rarely visible."""
        feet = [foot for foot in self.feet() if np.isfinite(foot[:, 0]).mean() > 0.6]
        return np.asarray(np.mean([filled(foot, self.times) for foot in feet], axis=0)) if feet else self.centre()

    def feet(self) -> tuple[np.ndarray, np.ndarray]:
        """(k, 2) each: the left and right ankle."""
        return self.points[:, L_ANKLE], self.points[:, R_ANKLE]

    def bent(self) -> np.ndarray:
        """(k,) degrees at the knees, 180 straight: the mean of both, or the visible one."""
        left, right = self.knees().T
        return np.asarray((np.where(np.isfinite(left), left, right) + np.where(np.isfinite(right), right, left)) / 2)

    def velocity(self, series: np.ndarray, window: float = BODY_WINDOW) -> np.ndarray:
        """(k, 2) body heights per second of a (k, 2) series, by central differences `window` seconds to either side."""
        reach = max(1, round(window / self.step))
        k = np.arange(len(self.times))
        low, high = np.maximum(k - reach, 0), np.minimum(k + reach, len(k) - 1)
        seconds = (self.times[high] - self.times[low])[:, None]
        return np.asarray((series[high] - series[low]) / seconds / self.height[:, None])

    def angle(self, a: int, b: int, c: int) -> np.ndarray:
        """(k,) degrees at joint `b` between `a` and `c`; 180 is straight."""
        one, other = self.points[:, a] - self.points[:, b], self.points[:, c] - self.points[:, b]
        norm = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1) + 1e-9
        return np.asarray(np.degrees(np.arccos(np.clip((one * other).sum(1) / norm, -1, 1))))

    def knees(self) -> np.ndarray:
        """(k, 2) degrees: left, right."""
        return np.stack([self.angle(L_HIP, L_KNEE, L_ANKLE), self.angle(R_HIP, R_KNEE, R_ANKLE)], 1)

    def elbows(self) -> np.ndarray:
        """(k, 2) degrees: left, right."""
        return np.stack([self.angle(L_SHOULDER, L_ELBOW, L_WRIST), self.angle(R_SHOULDER, R_ELBOW, R_WRIST)], 1)

    def trunk(self) -> np.ndarray:
        """(k,) degrees of the line from hips to shoulders from upright: 0 upright, 90 level, 180 upside down."""
        up = self.joint(L_SHOULDER, R_SHOULDER) - self.joint(L_HIP, R_HIP)
        return np.asarray(np.degrees(np.arctan2(np.abs(up[:, 0]), -up[:, 1])))

    def lean(self) -> np.ndarray:
        """(k,) degrees of the trunk from upright in any direction: bent towards the camera it looks shorter."""
        up = self.joint(L_SHOULDER, R_SHOULDER) - self.joint(L_HIP, R_HIP)
        length = np.linalg.norm(up, axis=1) / self.height
        known = length[np.isfinite(length)]
        # Without legs in the image the hips lie at its border, or are guessed.
        if not len(known) or not known.max() > 0 or not np.isfinite(self.thighs()).mean() > 0.5:
            return self.trunk()
        full = max(float(np.percentile(known, UNBENT)), 1e-6) * self.height
        return np.asarray(np.fmax(self.trunk(), np.degrees(np.arccos(np.clip(-up[:, 1] / full, -1, 1)))))

    def thighs(self) -> np.ndarray:
        """(k,) body heights by which the lower knee is below its hip: 0.24 standing, near 0 with level thighs."""
        drop = self.points[:, [L_KNEE, R_KNEE], 1] - self.points[:, [L_HIP, R_HIP], 1]
        return np.asarray(np.fmax(drop[:, 0], drop[:, 1]) / self.height)

    def hands(self) -> np.ndarray:
        """(k, 2, 2): centres of the left and right hand, a third of the forearm beyond the wrist."""
        wrists, elbows = self.points[:, [L_WRIST, R_WRIST]], self.points[:, [L_ELBOW, R_ELBOW]]
        return np.asarray(wrists + 0.35 * (wrists - elbows))

    def torso_to(self, points: np.ndarray) -> np.ndarray:
        """(k,) body heights from (k, 2) points to the segment from mid-shoulder to mid-hip."""
        top, bottom = self.joint(L_SHOULDER, R_SHOULDER), self.joint(L_HIP, R_HIP)
        along = bottom - top
        part = np.clip(((points - top) * along).sum(1) / ((along * along).sum(1) + 1e-9), 0, 1)
        return np.asarray(np.linalg.norm(points - (top + part[:, None] * along), axis=1) / self.height)


def bodies(poses: Poses, camera: np.ndarray, shots: np.ndarray) -> list[Body]:
    """Everyone detected in enough frames, one `Body` per person and shot.

    Args:
        poses: Who was found.
        camera: (frames, 2) pixels by which the scene has shifted since the first frame.
        shots: (frames,) int, the number of the shot each frame belongs to.
    """
    found = []
    for track in np.unique(poses.tracks):
        of_track = poses.of(int(track))
        for shot in np.unique(shots[of_track.frame]):
            one = of_track.where(shots[of_track.frame] == shot)
            if len(one) >= FEWEST_FRAMES:
                found.append(_body(one, camera))
    return found


def _body(one: Poses, camera: np.ndarray) -> Body:
    index = one.frame
    points = one.keypoints[:, :, :2].astype(np.float64) - camera[index][:, None]
    points[~seen_joints(one)] = np.nan
    boxes = one.boxes.astype(np.float64) - np.tile(camera[index], 2)
    return Body(int(one.tracks[0]), index, one.times[index], points, _height(one), boxes)


def seen_joints(one: Poses) -> np.ndarray:
    """(k, 17) bool: joints that are visible and inside the image; those outside are guesses of the model."""
    x, y, visible = np.moveaxis(one.keypoints, 2, 0)
    return np.asarray((visible >= VISIBLE) & (x >= 0) & (y >= 0) & (x < one.size[0]) & (y < one.size[1]))


def _height(one: Poses) -> np.ndarray:
    """(k,) pixels: from trunk and shoulders, else from the eyes, else from the box; monotonic over time."""
    xy, seen = one.keypoints[:, :, :2].astype(np.float64), seen_joints(one)

    def length(*joints: int) -> np.ndarray:
        """Distance between the means of the first and the second half of the joints, 0 where one is not visible."""
        half = len(joints) // 2
        a, b = xy[:, joints[:half]].mean(axis=1), xy[:, joints[half:]].mean(axis=1)
        return np.where(seen[:, joints].all(axis=1), np.linalg.norm(a - b, axis=1), 0.0)

    torso = length(L_SHOULDER, R_SHOULDER, L_HIP, R_HIP) * HEIGHTS_PER_TORSO
    trunk = np.maximum(torso, length(L_SHOULDER, R_SHOULDER) * HEIGHTS_PER_SHOULDERS)
    face = length(L_EYE, R_EYE) * HEIGHTS_PER_EYES
    box = (one.boxes[:, 3] - one.boxes[:, 1]).astype(np.float64)
    each = np.maximum(np.where(trunk > 0, trunk, np.where(face > 0, np.maximum(face, box), box)), 1.0)
    times = one.times[one.frame]
    growth = _growth(np.where(seen[:, :, None], xy, np.nan), times)
    if growth is None:
        return np.asarray(np.maximum(_trend(each, times), 1.0))
    grown = np.exp(np.clip(growth * (times - np.median(times)), -0.7, 0.7))
    return np.asarray(np.percentile(each / grown, UNBENT) * grown)


def _growth(points: np.ndarray, times: np.ndarray) -> float | None:
    """Logarithmic growth per second of a person in the image; None if too few bones are visible.

    Who bends, sits or turns shortens some bones and not others; only who comes nearer lengthens nearly all of them.
    """
    half = len(times) // 2
    if len(times) < 8:
        return None
    lengths = np.stack([np.linalg.norm(points[:, a] - points[:, b], axis=1) for a, b in BONES], axis=1)
    known = np.isfinite(lengths)
    enough = np.fmin(known[:half].mean(axis=0), known[-half:].mean(axis=0)) > 0.3
    if enough.sum() < ENOUGH_BONES:
        return None
    before, after = (np.nanmedian(part[:, enough], axis=0) for part in (lengths[:half], lengths[-half:]))
    rates = np.log((after + 1.0) / (before + 1.0)) / max(float(times[-half:].mean() - times[:half].mean()), 1e-6)
    low, high = np.percentile(rates, [15, 85])
    return float(max(low, 0.0) + min(high, 0.0))


def _trend(values: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A linear trend of noisy values, clipped to half and twice their median."""
    middle = float(np.median(values))
    if len(values) < 8:
        return np.full(len(values), middle)
    half = len(values) // 2
    seconds = max(float(times[-half:].mean() - times[:half].mean()), 1e-6)
    slope = float(np.median(values[-half:]) - np.median(values[:half])) / seconds
    return np.asarray(np.clip(middle + slope * (times - np.median(times)), middle / 2, middle * 2))


def filled(series: np.ndarray, times: np.ndarray) -> np.ndarray:
    """A (k, 2) series with its gaps (NaN) interpolated linearly."""
    good = np.isfinite(series).all(axis=1)
    return np.stack([np.interp(times, times[good], series[good, axis]) for axis in range(series.shape[1])], 1)
