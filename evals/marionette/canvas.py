"""A software renderer with a depth buffer, which draws one solid in all frames of a clip at once.

Limbs are cones with rounded ends, rasterised from their distance field and shaded by its normal; boards and boxes are
flat quadrilaterals. It is fast because every solid takes one pass of numpy, whatever the number of frames.
"""

from __future__ import annotations

from typing import Final

import numpy as np

AMBIENT: Final = 0.52
"""Ambient light as a fraction of the total."""
OFFSCREEN: Final = np.float32(-9999)
"""Coordinate of absent solids, in pixels."""


class Canvas:
    """The frames of a clip during rendering."""

    def __init__(self, scenery: np.ndarray, light: np.ndarray) -> None:
        """Start from a background.

        Args:
            scenery: (frames, height, width, 3) float32 RGB, 0 to 255.
            light: (3,) unit vector towards the light: right, down, towards the viewer.
        """
        self.frames, self.height, self.width = scenery.shape[:3]
        self._colour = scenery.reshape(-1, 3)
        self._depth = np.full(len(self._colour), np.inf, np.float32)
        self._owner = np.zeros(len(self._colour), np.uint8)
        self._light = light.astype(np.float32)

    @property
    def pictures(self) -> np.ndarray:
        """(frames, height, width, 3) float32 RGB, 0 to 255."""
        return self._colour.reshape(self.frames, self.height, self.width, 3)

    @property
    def depth(self) -> np.ndarray:
        """(frames, height, width) float32: depth in metres; infinite for scenery."""
        return self._depth.reshape(self.frames, self.height, self.width)

    @property
    def owner(self) -> np.ndarray:
        """(frames, height, width) uint8: 0 scenery, n the n-th person from 1, 255 an object."""
        return self._owner.reshape(self.frames, self.height, self.width)

    def cone(
        self,
        ends: tuple[np.ndarray, np.ndarray],
        radii: tuple[np.ndarray, np.ndarray],
        thickness: float,
        colour: tuple[float, float, float],
        owner: int,
        stripes: float = 0.0,
    ) -> None:
        """Draw a limb.

        Args:
            ends: (frames, 3) each: x, y in pixels, depth in metres. NaN while absent.
            radii: (frames,) pixels each.
            thickness: Mean radius in metres, for the depth of the surface.
            colour: RGB, 0 to 255.
            owner: As in `owner`.
            stripes: Number of dark bands along it.
        """
        a, b = (np.where(np.isfinite(end), end, OFFSCREEN).astype(np.float32) for end in ends)
        ra, rb = (np.maximum(np.nan_to_num(radius), 0.6).astype(np.float32) for radius in radii)
        pixels, dx, dy = self._window(
            np.minimum(a[:, :2] - ra[:, None], b[:, :2] - rb[:, None]),
            np.maximum(a[:, :2] + ra[:, None], b[:, :2] + rb[:, None]),
            a,
        )
        way = b[:, :2] - a[:, :2]
        inverse = 1 / np.maximum((way**2).sum(1), 1e-3)
        along = dx * (way[:, 0] * inverse)[:, None, None] + dy * (way[:, 1] * inverse)[:, None, None]
        np.clip(along, 0, 1, out=along)
        dx = dx - along * way[:, 0, None, None]
        dy = dy - along * way[:, 1, None, None]
        radius = ra[:, None, None] + along * (rb - ra)[:, None, None]
        square = dx * dx + dy * dy
        hit = np.flatnonzero(square < (radius + 0.5) ** 2)
        if not len(hit):
            return
        frame = hit // pixels[0].size
        along, radius = along.take(hit), radius.take(hit)
        nx, ny = dx.take(hit) / radius, dy.take(hit) / radius
        out = np.minimum(1, nx * nx + ny * ny)
        towards = np.sqrt(1 - out)
        depth = a[frame, 2] + along * (b - a)[frame, 2] - thickness * towards
        lit = nx * self._light[0] + ny * self._light[1] + towards * self._light[2]
        shade = (AMBIENT + (1 - AMBIENT) * np.maximum(0, lit)) * (0.86 + 0.14 * towards)
        if stripes:
            shade = shade * np.where(np.sin(2 * np.pi * stripes * along) > 0, 1, np.float32(0.72))
        cover = np.clip(radius * (1 - np.sqrt(nx * nx + ny * ny)) + 0.5, 0, 1)
        self._composite(pixels.take(hit), depth, cover, shade[:, None] * np.array(colour, np.float32), owner)

    def board(self, corners: np.ndarray, colour: np.ndarray, owner: int, cover: float = 1.0) -> None:
        """Draw a flat quadrilateral while its front faces the viewer.

        Args:
            corners: (frames, 4, 3): x, y in pixels, depth in metres, clockwise in the picture when seen from the front.
            colour: (3,) RGB, lighting included.
            owner: As in `owner`.
            cover: Opacity in [0, 1].
        """
        corners = np.where(np.isfinite(corners), corners, OFFSCREEN).astype(np.float32)
        first, second, last = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 3] - corners[:, 0]
        area = second[:, 0] * last[:, 1] - second[:, 1] * last[:, 0]
        if not (area > 1).any():
            return
        corners[area <= 1] = OFFSCREEN
        pixels, dx, dy = self._window(corners[..., :2].min(1), corners[..., :2].max(1), first)
        inside = np.full(pixels.shape, np.inf, np.float32)
        for k in range(4):
            start, edge = corners[:, k], corners[:, (k + 1) % 4] - corners[:, k]
            length = np.maximum(np.hypot(edge[:, 0], edge[:, 1]), 1e-3)
            off = (start - first)[:, :2]
            down, right = edge[:, 0, None, None] * (dy - off[:, 1, None, None]), dx - off[:, 0, None, None]
            cross = down - edge[:, 1, None, None] * right
            np.minimum(inside, cross / length[:, None, None], out=inside)
        frame, row, column = np.nonzero((inside > -0.5) & (area > 1)[:, None, None])
        dx, dy = dx[frame, 0, column], dy[frame, row, 0]
        area = np.where(area > 1, area, 1)
        slope_x = (second[:, 2] * last[:, 1] - last[:, 2] * second[:, 1]) / area
        slope_y = (last[:, 2] * second[:, 0] - second[:, 2] * last[:, 0]) / area
        depth = first[frame, 2] + dx * slope_x[frame] + dy * slope_y[frame]
        share = np.clip(inside[frame, row, column] + 0.5, 0, 1) * cover
        lit = np.broadcast_to(np.float32(colour), (len(frame), 3))
        self._composite(pixels[frame, row, column], depth, share, lit, owner)

    def shadow(
        self, ends: tuple[np.ndarray, np.ndarray], radii: tuple[np.ndarray, np.ndarray], dark: np.ndarray
    ) -> None:
        """Add the soft shadow of a limb, given as in `cone`, to `dark` (pixels,) in [0, 1]."""
        a, b = (end.astype(np.float32) for end in ends)
        reach = np.maximum(radii[0], radii[1]).astype(np.float32)
        pixels, dx, dy = self._window(
            np.minimum(a, b)[:, :2] - reach[:, None], np.maximum(a, b)[:, :2] + reach[:, None], a
        )
        way = b[:, :2] - a[:, :2]
        inverse = 1 / np.maximum((way**2).sum(1), 1e-3)
        along = dx * (way[:, 0] * inverse)[:, None, None] + dy * (way[:, 1] * inverse)[:, None, None]
        np.clip(along, 0, 1, out=along)
        square = (dx - along * way[:, 0, None, None]) ** 2 + (dy - along * way[:, 1, None, None]) ** 2
        soft = np.clip(1.3 * (1 - square / reach[:, None, None] ** 2), 0, 1)
        flat = pixels.ravel()
        dark[flat] = np.maximum(dark[flat], soft.ravel())

    def darken(self, share: np.ndarray) -> None:
        """Darken the scenery by `share` (pixels,) in [0, 1]."""
        where = np.flatnonzero(share)
        self._colour[where] *= (1 - share[where])[:, None]

    def _window(
        self, low: np.ndarray, high: np.ndarray, origin: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Flat indices (frames, h, w) of a window around `low` to `high`, and its offsets from `origin`."""
        corner = np.floor(low).astype(np.int64) - 1
        span = np.ceil(high).astype(np.int64) + 2 - corner
        w, h = (int(min(size, n)) for size, n in zip((self.width, self.height), span.max(0), strict=True))
        corner = np.clip(corner, 0, np.array([self.width - w, self.height - h]))
        x = corner[:, 0, None] + np.arange(w)
        y = corner[:, 1, None] + np.arange(h)
        start = np.arange(self.frames)[:, None] * (self.height * self.width)
        pixels = (start + y * self.width)[:, :, None] + x[:, None, :]
        dx = (x + np.float32(0.5) - origin[:, 0, None]).astype(np.float32)[:, None, :]
        dy = (y + np.float32(0.5) - origin[:, 1, None]).astype(np.float32)[:, :, None]
        return pixels, dx, dy

    def _composite(
        self, pixels: np.ndarray, depth: np.ndarray, cover: np.ndarray, colour: np.ndarray, owner: int
    ) -> None:
        front = np.flatnonzero(depth < self._depth.take(pixels))
        pixels, depth, cover = pixels.take(front), depth.take(front), cover.take(front)
        below = self._colour.take(pixels, 0)
        self._colour[pixels] = below + cover[:, None] * (colour.take(front, 0) - below)
        solid = np.flatnonzero(cover >= 0.5)
        pixels = pixels.take(solid)
        self._depth[pixels] = depth.take(solid)
        self._owner[pixels] = owner
