"""How the camera moved: a similarity (shift, zoom, roll) fitted to each step of the flow, and its path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..execution.cancellation import check_cancelled
from .flow import CELL, Flow
from .similarity import fit_similarity
from .time_series import Measure, ramp

CLOSE: Final = 0.7
"""Largest residual, in working pixels, of a point that moves with the scene."""
TRIES: Final = 96
"""Pairs of points from which similarities are proposed."""
LEAST_POINTS: Final = 8
LEAST_SHARE: Final = 0.35
"""Smallest proportion of the weight that must agree for the camera motion to be known."""
PREFER_STILL: Final = 1.2
"""Factor in favour of a static camera, since a large object may have more points than the scene."""
ON_PEOPLE: Final = 0.2
"""Weight of points on people, who usually move by themselves."""


@dataclass(frozen=True)
class Camera:
    """Motion of the scene in the image. Lengths are in working pixels from the centre of the image."""

    turn: np.ndarray
    """(frames,) complex: zoom and roll since the shot began; 1 at its start."""
    shift: np.ndarray
    """(frames,) complex: position of the scene point that was at the centre when the shot began."""
    known: np.ndarray
    """(frames - 1,) bool: steps in which enough points agree; in others the camera is assumed to be static."""

    def steady(self, points: np.ndarray) -> np.ndarray:
        """(points, frames) complex: points in the coordinates of the first frame of the shot."""
        return np.asarray((points - self.shift) / self.turn)


def camera_of(flow: Flow, on_people: np.ndarray) -> Camera:
    """Fit the motion of the camera.

    Args:
        flow: Points tracked.
        on_people: (points, frames) bool: points that lie on people.
    """
    rim = np.array([flow.size[0], flow.size[1]]) / 2
    # The scene extends to the image border; what is handled is in the middle.
    outward = np.fmax(np.abs(flow.points.real) / rim[0], np.abs(flow.points.imag) / rim[1])
    weight = (0.4 + 0.6 * outward) * np.where(on_people, ON_PEOPLE, 1.0)
    camera, scene = _path(flow, weight)
    # Points that moved with the scene throughout belong to it, which decides steps in which something large moves.
    return _path(flow, weight * (0.1 + scene[:, None] ** 2))[0]


def _path(flow: Flow, weight: np.ndarray) -> tuple[Camera, np.ndarray]:
    """The camera by points of these (points, frames) weights, and (points,) the proportion of steps each agreed."""
    rng = np.random.default_rng(0)
    count = len(flow.shots)
    turn, shift, known = np.ones(count, complex), np.zeros(count, complex), np.zeros(max(0, count - 1), bool)
    steps, agreed = np.zeros(len(flow.points)), np.zeros(len(flow.points))
    for k in range(1, count):
        check_cancelled()
        if flow.shots[k] != flow.shots[k - 1]:
            continue
        both = np.flatnonzero(np.isfinite(flow.points[:, k - 1].real) & np.isfinite(flow.points[:, k].real))
        z, moved = flow.points[both, k - 1].astype(complex), flow.points[both, k].astype(complex)
        step = _fitted(z, moved, weight[both, k - 1] / _crowd(z), rng)
        known[k - 1] = step is not None
        s, t = step or (1.0 + 0j, 0j)
        turn[k], shift[k] = s * turn[k - 1], s * shift[k - 1] + t
        steps[both] += 1
        agreed[both] += np.abs(s * z + t - moved) < CLOSE
    return Camera(turn, shift, known), np.where(steps > 0, agreed / np.maximum(steps, 1), 1.0)


def _crowd(z: np.ndarray) -> np.ndarray:
    """(n,) neighbours of each point, so that a textured object counts by its area, as a plain one does."""
    return np.asarray((np.abs(z[:, None] - z[None]) < 2 * CELL).sum(axis=1), float)


def _fitted(
    z: np.ndarray, moved: np.ndarray, weight: np.ndarray, rng: np.random.Generator
) -> tuple[complex, complex] | None:
    """The similarity `moved = s z + t` on which most weight agrees; None if too little does."""
    if len(z) < LEAST_POINTS:
        return None
    one, other = rng.integers(len(z), size=(2, TRIES))
    far = np.abs(z[one] - z[other]) > 20
    s = np.ones(len(one) + 1, complex)
    s[:-1][far] = (moved[one] - moved[other])[far] / (z[one] - z[other])[far]
    t = np.append(moved[one], 0) - s * np.append(z[one], 0)
    s[-1], t[-1] = 1, 0
    possible = (np.abs(np.log(np.abs(s) + 1e-9)) < 0.3) & (np.abs(np.angle(s)) < 0.3)
    agree = np.abs(s[:, None] * z + t[:, None] - moved) < CLOSE
    votes = np.where(possible, agree @ weight, 0.0)
    votes[-1] *= PREFER_STILL
    best = int(votes.argmax())
    if (agree[best] @ weight) < LEAST_SHARE * weight.sum():
        return None
    fit = complex(s[best]), complex(t[best])
    for _ in range(3):
        inside = np.abs(fit[0] * z + fit[1] - moved) < CLOSE
        if inside.sum() < LEAST_POINTS:
            break
        fit = fit_similarity(z[inside], moved[inside], weight[inside])
    return fit


def measure_camera(camera: Camera, flow: Flow, times: np.ndarray) -> dict[str, Measure]:
    """Support of every primitive of the camera, over the longest shot; empty where most steps are not known."""
    shot = int(np.bincount(flow.shots).argmax())
    inside = np.flatnonzero(flow.shots == shot)
    if len(inside) < 4 or camera.known[inside[0] : inside[-1]].mean() < 0.6:
        return {}
    side = max(flow.size)
    t = times[inside]
    z, zoom = camera.shift[inside] / side, np.log(np.abs(camera.turn[inside]))
    smooth = _smoothed(z, t, 0.5)
    ways = {"left": smooth.real, "right": -smooth.real, "up": smooth.imag, "down": -smooth.imag}
    # A zoom of e moves the scene by about a third of the image, on average.
    net = max(abs(smooth[-1] - smooth[0]), abs(zoom[-1] - zoom[0]) / 3, 1e-9)
    found = {}
    for way, series in ways.items():
        far = series[-1] - series[0]
        found[f"camera_turns_{way}"] = _going(series, t, float(ramp(far, 0.08, 0.2) * ramp(far / net, 0.4, 0.75)))
    for way, series in (("nears", zoom), ("recedes", -zoom)):
        far = series[-1] - series[0]
        found[f"camera_{way}"] = _going(series, t, float(ramp(far, 0.1, 0.25) * ramp(far / 3 / net, 0.4, 0.75)))
    return found


def shaking(camera: Camera, flow: Flow, times: np.ndarray) -> float:
    """0..1: deviation of the camera from its path smoothed over half a second, in the worst shot."""
    worst = 0.0
    for shot in np.unique(flow.shots):
        inside = flow.shots == shot
        z = camera.shift[inside] / max(flow.size)
        rest = z - _smoothed(z, times[inside], 0.5)
        worst = max(worst, float(np.sqrt(np.mean(np.abs(rest - rest.mean()) ** 2))))
    return float(ramp(worst, 0.004, 0.012))


def _going(series: np.ndarray, times: np.ndarray, support: float) -> Measure:
    """From a tenth to nine tenths of the change."""
    part = (series - series[0]) / ((series[-1] - series[0]) or 1.0)
    first, last = int((part >= 0.1).argmax()), int((part >= 0.9).argmax())
    return Measure(support, float(times[first]), float(times[max(first, last)]))


def _smoothed(series: np.ndarray, times: np.ndarray, seconds: float) -> np.ndarray:
    """Running mean over windows of this length."""
    near = np.abs(times[:, None] - times[None]) <= seconds / 2
    return np.asarray((near @ series) / near.sum(axis=1))
