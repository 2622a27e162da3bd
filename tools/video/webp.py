"""Animated WebP, which FFmpeg does not decode: read with Pillow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from PIL import Image

from ..errors import UnreadableVideo
from ..execution.cancellation import check_cancelled
from .selection import Selection

MAX_PIXELS: Final = 2**24
"""Pixels of one frame: the decoder holds several in memory, of 4 bytes per pixel."""
MAX_BYTES: Final = 2**27
"""Bytes of a file, which is in memory as a whole."""
_MAX_FRAMES: Final = 2**16
_HEAD: Final = 30
"""Bytes of the file header and of the first chunk, which describes the canvas."""
_ANIMATED: Final = 2
"""Flag of animations in that chunk."""
_FRAME_HEAD: Final = 16
_SHORTEST: Final = 11
"""Milliseconds; shorter frames are shown for `_USUAL`, as in browsers."""
_USUAL: Final = 100


class Animation(NamedTuple):
    """An animated WebP file."""

    content: bytes
    """The file, up to its last whole frame."""
    width: int
    height: int
    ends: tuple[float, ...]
    """Seconds at which each frame ends."""
    sizes: tuple[int, ...]
    """Bytes of each frame."""
    note: str
    """A sentence on what is missing; empty if nothing is."""


def is_animated(path: Path) -> bool:
    """Whether a file is an animated WebP."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    return len(head) == _HEAD and head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and bool(head[20] & _ANIMATED)


def open_animation(path: Path) -> Animation:
    """The frames of an animated WebP, not yet decoded.

    Raises:
        UnreadableVideo: The file or its frames are too large, or it holds no whole frame.
    """
    if path.stat().st_size > MAX_BYTES:
        raise UnreadableVideo(f"{path.name} has more than {MAX_BYTES >> 20} MB; convert it to MP4")
    content = path.read_bytes()
    width, height = (1 + int.from_bytes(content[place : place + 3], "little") for place in (24, 27))
    if width * height > MAX_PIXELS:
        raise UnreadableVideo(f"the frames of {path.name} are {width}x{height}; give at most 4096x4096 as WebP")
    durations: list[int] = []
    sizes: list[int] = []
    place = whole = 12
    while place + 8 <= len(content) and len(sizes) < _MAX_FRAMES:
        check_cancelled()
        kind, size = content[place : place + 4], int.from_bytes(content[place + 4 : place + 8], "little")
        end = place + 8 + size + size % 2
        if end > len(content):
            break
        if kind == b"ANMF" and size >= _FRAME_HEAD:
            milliseconds = int.from_bytes(content[place + 20 : place + 23], "little")
            durations.append(milliseconds if milliseconds >= _SHORTEST else _USUAL)
            sizes.append(size)
        place = whole = end
    if not sizes:
        raise UnreadableVideo(f"{path.name} holds no whole frame; give a file that plays")
    declared = 8 + int.from_bytes(content[4:8], "little")
    rest = max(declared, len(content)) - whole
    note = f"the file breaks off, or is too long: {rest} of its {rest + whole} bytes are not looked at" if rest else ""
    # With its own length in the header, the whole part of a truncated file is a complete file.
    content = content[:4] + (whole - 8).to_bytes(4, "little") + content[8:whole]
    ends = tuple(end / 1000 for end in accumulate(durations))
    return Animation(content, width, height, ends, tuple(sizes), note)


class AnimationFrames(Selection[Image.Image]):
    """The frames of an animated WebP, decoded one after another."""

    def __init__(self, animation: Animation, targets: Sequence[float]) -> None:
        super().__init__(targets)
        self._animation = animation

    def size_of(self, frame: Image.Image) -> tuple[int, int]:
        """Width and height."""
        return frame.size

    def image_of(self, frame: Image.Image, width: int, height: int) -> np.ndarray:
        """The (height, width, 3) image."""
        return np.asarray(frame.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))

    def _begin(self) -> None:
        self._frames = self._decoded()
        self._next = next(self._frames, None)

    def _decoded(self) -> Iterator[tuple[float, float, Image.Image]]:
        animation = self._animation
        try:
            with Image.open(io.BytesIO(animation.content), formats=("WEBP",)) as image:
                for place, (begin, end) in enumerate(pairwise((0.0, *animation.ends))):
                    check_cancelled()
                    if self._budget.is_spent:
                        return
                    self._budget.decode(animation.width * animation.height, animation.sizes[place])
                    image.seek(place)
                    yield begin, end, image.convert("RGB")
        except (OSError, EOFError, ValueError, SyntaxError, Image.DecompressionBombError):
            self._damage += 1
