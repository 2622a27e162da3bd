"""The frames that the policy sees."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

import numpy as np
from PIL import Image

from ..tools.execution.media_store import MediaStore
from ..tools.video.clip import Clip

FRAMES_PER_SECOND: Final = 2.0
"""Sampling rate of the policy's frames, up to the maximum number in the settings (the paper's rate)."""
MIN_FRAMES: Final = 4


def policy_frames(clip: Clip, most: int, pixels: int, store: MediaStore) -> list[dict[str, Any]]:
    """Evenly spaced frames of the clip as {url, time in seconds}, kept in the store.

    They are chosen among the frames that the tools analyse, so that the video is decoded once.

    Args:
        clip: The clip.
        most: Maximum number of frames.
        pixels: Maximum number of pixels of one frame.
        store: Where the images are kept.

    Raises:
        OSError: The store cannot be written.
    """
    frames = _cached_frames(clip, most, pixels, store)
    if not all(store.holds(frame["url"]) for frame in frames):
        _cached_frames.cache_clear()
        frames = _cached_frames(clip, most, pixels, store)
    return [dict(frame) for frame in frames]


@lru_cache(maxsize=64)
def _cached_frames(clip: Clip, most: int, pixels: int, store: MediaStore) -> tuple[dict[str, Any], ...]:
    analysed = clip.frames()
    wanted = int(np.clip(round((clip.end - clip.start) * FRAMES_PER_SECOND), min(MIN_FRAMES, most), most))
    indices = np.unique(np.linspace(0, len(analysed.times) - 1, min(wanted, len(analysed.times))).round().astype(int))
    return tuple(
        {
            "url": store.put_image(scaled_down(analysed.images[i], pixels)),
            "time": round(float(analysed.times[i]), 3),
        }
        for i in indices
    )


def scaled_down(image: np.ndarray, pixels: int) -> np.ndarray:
    """The (height, width, 3) uint8 image, scaled down if it has more than `pixels` pixels."""
    height, width = image.shape[:2]
    ratio = (pixels / (height * width)) ** 0.5
    if ratio >= 1:
        return image
    size = max(1, int(width * ratio)), max(1, int(height * ratio))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
