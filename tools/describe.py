"""A plain description of a clip (T_v) without a language model: what moved, and the frames in which most changed.

Salient frames are chosen by visual change, not evenly: a burst of change is looked at, a still stretch is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from .motion import SEEN, Motion
from .primitives import PRIMITIVES
from .video import Frames

SALIENT: Final = 4
"""Frames picked; the paper describes a clip from three."""


@dataclass(frozen=True)
class Description:
    """What a clip shows, in words."""

    text: str
    salient: tuple[int, ...]
    """Indices of the frames in which most changes, in order of time."""
    times: np.ndarray
    """(frames,) seconds."""

    def summary(self) -> str:
        """The description with the times of the picked frames."""
        picked = ", ".join(f"{self.times[i]:.2f}" for i in self.salient)
        return f"{self.text} Most changes around {picked} s."


def describe_video(frames: Frames, motion: Motion) -> Description:
    """Describe a clip from its frames and its measured motion.

    Args:
        frames: The frames of the clip.
        motion: What moved in them.
    """
    light = float(frames.images.mean()) / 255
    scene = "dark" if light < 0.25 else "bright" if light > 0.65 else "evenly lit"
    people = len(motion.people)
    who = "Nobody is seen" if not people else "One person is seen" if people == 1 else f"{people} people are seen"
    seen = sorted(
        (k for k in range(len(motion.primitives)) if motion.support[k] >= SEEN), key=lambda k: float(motion.spans[k, 0])
    )
    told = "; ".join(f"from {motion.spans[k, 0]:.1f} s {PRIMITIVES[str(motion.primitives[k])]}" for k in seen)
    moves = f"In order: {told}." if told else "No movement of a body was made out."
    drift = "the camera moves" if motion.camera.any() else "the camera is still"
    return Description(f"The picture is {scene}, and {drift}. {who}. {moves}", salient(frames.images), frames.times)


def salient(images: np.ndarray, count: int = SALIENT) -> tuple[int, ...]:
    """Indices of up to `count` frames that split the change of a clip into equal parts.

    Args:
        images: (n, height, width, 3) uint8.
        count: Most frames to pick.
    """
    if len(images) <= count:
        return tuple(range(len(images)))
    small = np.stack([np.asarray(Image.fromarray(image).resize((48, 36)).convert("L"), float) for image in images])
    change = np.abs(np.diff(small, axis=0)).mean(axis=(1, 2))
    # A floor keeps a still clip evenly sampled instead of following noise.
    total = np.concatenate([[0.0], np.cumsum(change + 0.1 * change.mean() + 1e-9)])
    wanted = (np.arange(count) + 0.5) / count * total[-1]
    return tuple(int(i) for i in np.unique(np.searchsorted(total, wanted)))
