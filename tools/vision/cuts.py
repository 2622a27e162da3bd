"""Cuts between scenes, told from consecutive pictures."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

SCENE_CUT: Final = 40.0
"""Mean difference of grey levels (0..255, at 16x16 pixels) from which two frames belong to different scenes. Measured
on a film sampled at 5 frames/s: 41 to 79 at its five cuts, below 28 elsewhere, except once 40 (an approaching taxi). A
violently shaken camera counts as a cut too; people are then only detected again."""


class CutDetector:
    """Tells of each picture of a clip, in order, whether it belongs to another scene than the one before."""

    def __init__(self) -> None:
        self._previous: np.ndarray | None = None

    def __call__(self, picture: Image.Image) -> bool:
        """Whether a new scene starts with this picture; false for the first."""
        thumbnail = np.asarray(picture.resize((16, 16), Image.Resampling.BOX), np.float64)
        previous, self._previous = self._previous, thumbnail
        return previous is not None and bool(np.abs(thumbnail - previous).mean() >= SCENE_CUT)
