"""Cuts: which frames of a clip belong to one shot."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

SCENE_CUT: Final = 40.0
"""Mean difference of grey levels (0..255, at 16x16 pixels) from which two frames belong to different scenes. Measured
on a film sampled at 5 frames/s: 41 to 79 at its five cuts, below 28 elsewhere, except once 40 (an approaching taxi). A
violently shaken camera counts as a cut too; people are then only detected again."""
SIDE: Final = 16
"""Side of the thumbnails that are compared, in pixels."""
BINS: Final = 4
"""Bins of the colour histogram per channel."""
OTHER_COLOURS: Final = 0.3
"""Distance of two frames' histograms, in [0, 1], from which a cut is likely."""
OTHER_LAYOUT: Final = 0.5
"""Correlation of two thumbnails below which a cut is likely; a fast pan keeps its colours."""
UNRELATED: Final = 0.2
"""Correlation of two thumbnails below which a cut is certain if the grey levels differ by `OTHER_LEVELS`, too."""
OTHER_LEVELS: Final = 40.0
"""Mean difference of two thumbnails in grey levels (0..255)."""


class Look:
    """Thumbnail and colours of one frame, by which it is compared with the next."""

    def __init__(self, picture: Image.Image) -> None:
        small = np.asarray(picture.resize((4 * SIDE, 4 * SIDE), Image.Resampling.BOX))
        self.thumbnail = small.reshape(SIDE, 4, SIDE, 4, 3).mean(axis=(1, 3))
        """(SIDE, SIDE, 3) grey levels."""
        codes = (small // (256 // BINS)).astype(np.int64).reshape(-1, 3) @ [BINS**2, BINS, 1]
        self.colours = np.bincount(codes, minlength=BINS**3) / len(codes)
        """(BINS ** 3,) fractions of the pixels."""

    def change(self, other: Look) -> float:
        """Mean difference of the thumbnails in grey levels."""
        return float(np.abs(self.thumbnail - other.thumbnail).mean())

    def cut(self, other: Look) -> bool:
        """Whether another shot begins between this frame and the other."""
        spread = max(float(self.thumbnail.std() * other.thumbnail.std()), 1e-6)
        deviations = (self.thumbnail - self.thumbnail.mean()) * (other.thumbnail - other.thumbnail.mean())
        alike = float(deviations.mean()) / spread
        colours = float(np.abs(self.colours - other.colours).sum()) / 2
        return (colours >= OTHER_COLOURS and alike < OTHER_LAYOUT) or (
            self.change(other) >= OTHER_LEVELS and alike < UNRELATED
        )


class CutDetector:
    """Tells of each picture of a clip, in order, whether it belongs to another scene than the one before."""

    def __init__(self) -> None:
        self._previous: Look | None = None

    def __call__(self, picture: Image.Image) -> bool:
        """Whether a new scene starts with this picture; false for the first."""
        look = Look(picture)
        previous, self._previous = self._previous, look
        return previous is not None and (previous.change(look) >= SCENE_CUT or previous.cut(look))


def shot_numbers(images: np.ndarray) -> np.ndarray:
    """(frames,) int64: the number of the shot of each of the (frames, height, width, 3) images, from 0."""
    looks = [Look(Image.fromarray(image)) for image in images]
    cuts = [one.cut(other) for one, other in zip(looks, looks[1:], strict=False)]
    return np.concatenate([[0], np.cumsum(cuts)]).astype(np.int64)[: len(images)]
