"""How coded frames are turned and mirrored for display."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
from av.video.frame import VideoFrame


class Orientation(NamedTuple):
    """Transposition, then mirroring: all eight ways in which a picture fills a rectangle."""

    transposed: bool
    left_right: bool
    upside_down: bool

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """The orientation of the frame's display matrix, [a b u; c d v; x y w]: x' = ax + cy, y' = bx + dy."""
        matrix = cast("Mapping[str, Any]", frame.side_data).get("DISPLAYMATRIX")
        if matrix is None:
            return cls(False, False, False)
        a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32, 5).astype(float)
        if abs(b) + abs(c) > abs(a) + abs(d):
            return cls(True, bool(c < 0), bool(b < 0))
        return cls(False, bool(a < 0), bool(d < 0))

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The (height, width, 3) image, upright."""
        image = image.swapaxes(0, 1) if self.transposed else image
        return image[:: -1 if self.upside_down else 1, :: -1 if self.left_right else 1]
