"""Similarities (shift, scale and rotation) of points in the complex plane, and which points share one.

Parts of an object that approaches, recedes or rotates move in different directions; one similarity tells them all.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from ..execution.cancellation import check_cancelled

LAG: Final = 6
"""Frames over which positions are compared: between two frames they are too imprecise."""
TRIES: Final = 160
"""Pairs of points from which similarities are proposed."""
APART: Final = 6.0
"""Smallest distance of the two points of a pair, in working pixels."""
CLOSE: Final = 0.5
"""Largest residual of an inlier in working pixels, plus `CLOSE_SHARE` of the median displacement."""
CLOSE_SHARE: Final = 0.12
LEAST_WAY: Final = 1.5
"""Smallest displacement over the lag, in working pixels, that is informative."""
LEAST_FACTOR: Final = 0.06
"""Smallest change of scale or rotation over the lag."""
BETTER: Final = 1.4
"""Smallest ratio of inliers of the similarity to those of a pure shift."""
LEAST_POINTS: Final = 5


def fit_similarity(z: np.ndarray, moved: np.ndarray, weight: np.ndarray | None = None) -> tuple[complex, complex]:
    """`scale` and `shift` of `moved = scale * z + shift` by least squares (Umeyama 1991, without reflections).

    Args:
        z: (n,) complex places.
        moved: (n,) complex places afterwards.
        weight: (n,) weights; None for equal ones.
    """
    a, b = np.average(z, weights=weight), np.average(moved, weights=weight)
    counts = 1.0 if weight is None else weight
    spread = float((counts * np.abs(z - a) ** 2).sum())
    scale = complex((counts * np.conj(z - a) * (moved - b)).sum() / max(spread, 1e-9))
    return scale, complex(b - scale * a)


def as_one(paths: np.ndarray) -> np.ndarray:
    """(n,) bool: which of (n, frames) complex paths, in working pixels, grow, shrink or rotate as one object."""
    rng = np.random.default_rng(0)
    agreed, told = np.zeros(len(paths)), np.zeros(len(paths))
    for k in range(LAG, paths.shape[1], 2):
        check_cancelled()
        here = np.flatnonzero(np.isfinite(paths[:, k].real) & np.isfinite(paths[:, k - LAG].real))
        if len(here) < LEAST_POINTS:
            continue
        z, d = paths[here, k - LAG], paths[here, k] - paths[here, k - LAG]
        moves = np.abs(d) > LEAST_WAY / 2
        here, z, d = here[moves], z[moves], d[moves]
        if len(here) < LEAST_POINTS:
            continue
        inside = _obeying(z, d, rng)
        told[here] += 1
        if inside is not None:
            agreed[here[inside]] += 1
    return np.asarray((agreed > 0) & (agreed >= 0.5 * told))


def _obeying(z: np.ndarray, d: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """(n,) bool: inliers of the best similarity; None if a pure shift explains the points as well."""
    close = CLOSE + CLOSE_SHARE * float(np.median(np.abs(d)))
    alike = int((np.abs(d[:, None] - d[None]) < close).sum(axis=1).max())
    one, other = rng.integers(len(z), size=(2, TRIES))
    far = np.abs(z[one] - z[other]) > APART
    one, other = one[far], other[far]
    if not len(one):
        return None
    factor = (d[one] - d[other]) / (z[one] - z[other])
    possible = (np.abs(factor) > LEAST_FACTOR) & (np.abs(factor) < 0.8)
    obey = np.abs(factor[:, None] * (z[None] - z[one][:, None]) + d[one][:, None] - d[None]) < close
    votes = np.where(possible, obey.sum(axis=1), 0)
    inside = np.asarray(obey[int(votes.argmax())])
    if votes.max() < max(LEAST_POINTS, BETTER * alike):
        return None
    about = np.abs(d[inside] - d[inside].mean())
    return inside if float(about.max()) > LEAST_WAY else None


def factor_of(z: np.ndarray, moved: np.ndarray, apart: float, close: float) -> complex | None:
    """Complex factor of scale and rotation, refined from the median of pairs; None if too few are far enough apart.

    Args:
        z: (n,) complex places.
        moved: (n,) complex places afterwards.
        apart: Least distance of a pair that counts.
        close: Largest residual of a point that counts: at its border an object drags along points of the background,
            which do not grow with it.
    """
    d = moved - z
    one, other = np.triu_indices(len(z), 1)
    way = z[one] - z[other]
    far = np.abs(way) >= apart
    if len(z) < 4 or far.sum() < 3:
        return None
    ratio = (d[one] - d[other])[far] / way[far]
    factor = complex(np.median(ratio.real), np.median(ratio.imag))
    for _ in range(2):
        rest = d - factor * z
        rest = rest - complex(np.median(rest.real), np.median(rest.imag))
        good = np.abs(rest) < close
        if good.sum() < 4:
            break
        if float((np.abs(z[good] - z[good].mean()) ** 2).sum()) < apart**2:
            break
        factor = fit_similarity(z[good], d[good])[0]
    return 1 + factor
