"""Sparse flow: points of the image tracked from frame to frame (Lucas and Kanade 1981, in Bouguet's pyramids).

Each step starts from an exhaustive search on images a quarter the size, so that what moves far between two frames is
still found, and is then refined to parts of a pixel on larger ones. A point whose surroundings no longer look the same
is let go, and a new one is taken up where none is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..execution.cancellation import check_cancelled
from .pyramid import RADIUS, Interpolation, Level, Pyramid, box_mean, correlation, histogram_distance, patches_at

CELL: Final = 8
"""Pixels: one point is kept in each textured square of this side."""

APART: Final = 6
"""Smallest distance in pixels of a new point from the others."""

REACH: Final = 8
"""Search radius in pixels of the quarter-size image: a fifth of the long side."""

STILL_ITSELF: Final = 0.6
"""Correlation with a point's first patch below which an object's edge has dragged it away."""

ALIKE: Final = 0.75
"""Correlation of a point's patches in two frames below which it is lost."""

TEXTURE: Final = 1.0
"""Smallest corner response in squared grey levels; noise of compressed video stays below."""

SURE: Final = 0.92
"""Correlation from which a point is not searched for elsewhere."""

PLACES: Final = 10
"""Candidate positions tried for a point that is not where predicted."""

MOST_SOUGHT: Final = 90
"""Most points searched for in one frame."""

CUT: Final = 0.35
"""Histogram difference from which two frames with few matches belong to different shots."""

FOLLOWED: Final = 0.3
"""Proportion of matches from which two frames certainly belong to one shot."""

_MARGIN: Final = 3.0

_STEPS: Final = 3


@dataclass(frozen=True)
class Flow:
    """Points tracked through a clip, in pixels of the working images."""

    points: np.ndarray
    """(points, frames) complex64: x + iy from the middle of the image, y downwards; NaN where not tracked."""
    size: tuple[int, int]
    """Width and height of the working images."""
    shots: np.ndarray
    """(frames,) int, the number of the shot."""


def follow(pictures: np.ndarray) -> Flow:
    """Track points through (frames, height, width) grey images whose sides are divisible by four."""
    height, width = pictures.shape[1:]
    middle = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    tracks, extent = _Tracks(len(pictures)), (float(pictures.min()), float(pictures.max()) + 1.0)
    shots = np.zeros(len(pictures), int)
    at = np.zeros((0, 2), np.float32)
    due = np.zeros((0, 2), np.float32)
    first = np.zeros((0, (2 * RADIUS + 1) ** 2), np.float32)
    here = Level.pyramid(pictures[0])
    for k in range(len(pictures)):
        check_cancelled()
        fresh = _corners(here[0], at)
        ids = tracks.start(len(at), len(fresh))
        usual = np.median(due, axis=0) if len(due) else np.zeros(2, np.float32)
        at, due = np.concatenate([at, fresh]), np.concatenate([due, np.tile(usual, (len(fresh), 1))]).astype(np.float32)
        first = np.concatenate([first, patches_at(here[0].grey, fresh)])
        tracks.put(k, ids, at - middle)
        if k + 1 == len(pictures):
            break
        there = Level.pyramid(pictures[k + 1])
        moved, alike = _matched(here, there, at, due)
        inside = (moved >= _MARGIN).all(1) & (moved <= 2 * middle - _MARGIN).all(1)
        looks = patches_at(there[0].grey, moved)
        kept = inside & (alike >= ALIKE) & (correlation(looks, first) >= STILL_ITSELF)
        cut = kept.mean() < FOLLOWED if len(kept) else True
        cut = bool(cut) and histogram_distance(pictures[k], pictures[k + 1], extent) > CUT
        shots[k + 1] = shots[k] + cut
        kept &= _uncrowded(moved, kept) & (not cut)
        tracks.keep(kept)
        at, due, first, here = moved[kept], (moved - at)[kept], first[kept], there
    return Flow(tracks.points(), (width, height), shots)


class _Tracks:
    """Positions of points by frame."""

    def __init__(self, frames: int) -> None:
        self._frames, self._ids, self._count = frames, np.zeros(0, int), 0
        self._seen: list[tuple[int, np.ndarray, np.ndarray]] = []

    def start(self, old: int, fresh: int) -> np.ndarray:
        """Numbers of the points still tracked and of `fresh` new ones."""
        self._ids = np.concatenate([self._ids[:old], self._count + np.arange(fresh)])
        self._count += fresh
        return self._ids

    def put(self, frame: int, ids: np.ndarray, xy: np.ndarray) -> None:
        self._seen.append((frame, ids, xy[:, 0] + 1j * xy[:, 1]))

    def keep(self, kept: np.ndarray) -> None:
        self._ids = self._ids[kept]

    def points(self) -> np.ndarray:
        out = np.full((self._count, self._frames), np.nan + 1j * np.nan, np.complex64)
        for frame, ids, z in self._seen:
            out[ids, frame] = z
        return out


def _matched(here: Pyramid, there: Pyramid, at: np.ndarray, due: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) new positions of points, and (n,) correlation of the patches before and after."""
    if not len(at):
        return at, np.zeros(0, np.float32)
    shift, alike = _descended(here, there, at, due)
    lost = np.flatnonzero(alike < SURE)[:MOST_SOUGHT]
    if len(lost):
        places = _searched(here[2], there[2], at[lost] / 4) * 4
        again = np.repeat(at[lost], PLACES, axis=0)
        half, likely = _refined(here[1], there[1].grey, again / 2, places.reshape(-1, 2) / 2, 3)
        best = np.arange(len(lost)) * PLACES + likely.reshape(-1, PLACES).argmax(axis=1)
        found, better = _refined(here[0], there[0].grey, at[lost], half[best] * 2, RADIUS)
        wins = better > alike[lost]
        shift[lost[wins]], alike[lost[wins]] = found[wins], better[wins]
    return at + shift, alike


def _descended(here: Pyramid, there: Pyramid, at: np.ndarray, due: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) shifts refined from the predicted ones, and (n,) correlation."""
    shift, _ = _refined(here[1], there[1].grey, at / 2, due / 2, 3)
    return _refined(here[0], there[0].grey, at, shift * 2, RADIUS)


def _searched(one: np.ndarray, other: np.ndarray, at: np.ndarray) -> np.ndarray:
    """(n, PLACES, 2) integer shifts of 3x3 patches by exhaustive search, the likeliest ones."""
    size = 2 * REACH + 1
    around = sliding_window_view(np.pad(other, REACH + 1, mode="edge"), (size + 2, size + 2))
    x, y = (np.clip(at[:, k].round().astype(int), 1, one.shape[1 - k] - 2) for k in (0, 1))
    window, cost = around[y, x], np.zeros((len(at), size, size), np.float32)
    for row in range(3):
        for column in range(3):
            before = one[y + row - 1, x + column - 1][:, None, None]
            cost += np.abs(window[:, row : row + size, column : column + size] - before)
    best = np.argpartition(cost.reshape(len(at), -1), PLACES, axis=1)[:, :PLACES]
    return np.stack([best % size, best // size], axis=2).astype(np.float32) - REACH


def _refined(
    one: Level, other: np.ndarray, at: np.ndarray, shift: np.ndarray, radius: int
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) sub-pixel shifts by Gauss-Newton on patches of this radius, and (n,) correlation."""
    side = np.arange(-radius, radius + 1, dtype=np.float32)
    dx, dy = np.tile(side, len(side)), np.repeat(side, len(side))
    x, y = at[:, :1] + dx, at[:, 1:] + dy
    where = Interpolation(one.grey.shape, x, y)
    before, right, down = (where.read(plane) for plane in (one.grey, one.right, one.down))
    before -= before.mean(axis=1, keepdims=True)
    right -= right.mean(axis=1, keepdims=True)
    down -= down.mean(axis=1, keepdims=True)
    a, b, c = (right * right).sum(1) + 1e-3, (right * down).sum(1), (down * down).sum(1) + 1e-3
    determinant = np.maximum(a * c - b * b, 1e-3)
    for left in range(_STEPS, -1, -1):
        after = Interpolation(other.shape, x + shift[:, :1], y + shift[:, 1:]).read(other)
        after -= after.mean(axis=1, keepdims=True)
        if not left:
            break
        rest = after - before
        e, f = (right * rest).sum(1), (down * rest).sum(1)
        step = np.stack([c * e - b * f, a * f - b * e], axis=1) / determinant[:, None]
        shift = shift - np.clip(step, -1.5, 1.5)
    norms = (before * before).sum(1) * (after * after).sum(1)
    return shift, (before * after).sum(1) / np.sqrt(norms + 1.0)


def _corners(level: Level, taken: np.ndarray) -> np.ndarray:
    """(n, 2) the best corner of each square, clear of existing points (Shi and Tomasi 1994)."""
    height, width = level.grey.shape
    xx, xy, yy = (box_mean(p, 3) for p in (level.right**2, level.right * level.down, level.down**2))
    least = (xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    edge = int(_MARGIN) + 2
    least[:edge], least[-edge:], least[:, :edge], least[:, -edge:] = 0, 0, 0, 0
    for column, row in np.clip(taken.round().astype(int), 0, (width - 1, height - 1)):
        least[max(0, row - APART) : row + APART + 1, max(0, column - APART) : column + APART + 1] = 0
    rows, columns = height // CELL, width // CELL
    cells = least[: rows * CELL, : columns * CELL].reshape(rows, CELL, columns, CELL).swapaxes(1, 2)
    cells = cells.reshape(rows, columns, -1)
    row, column = np.nonzero(cells.max(axis=2) > TEXTURE)
    best = cells[row, column].argmax(axis=1)
    return np.stack([column * CELL + best % CELL, row * CELL + best // CELL], axis=1).astype(np.float32)


def _uncrowded(at: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(n,) bool: the longest tracked of points that have converged."""
    square = (at // (APART / 2)).astype(int) @ np.array([1, 10_000])
    square[~kept] = -1 - np.arange((~kept).sum())
    alone = np.zeros(len(at), bool)
    alone[np.unique(square, return_index=True)[1]] = True
    return alone
