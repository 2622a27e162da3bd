"""A clip: one span of one video as the tools see it, an opaque id and its frames, decoded once for all tools."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np

from ..errors import SpanOutsideVideo
from .reader import Frames, VideoInfo, probe, read_frames
from .source import VideoAccess, identify, resolve

ANALYSIS_RATE: Final = 8.0
"""Frames per second at which tools look: four samples of each step of a walk (about 2 steps/s)."""
ANALYSIS_LIMIT: Final = 48
"""Most frames of one span, whatever its length; longer spans are sampled more thinly."""
ANALYSIS_SIDE: Final = 768
"""Long side in pixels of the frames tools look at: people of a quarter of the picture stay above 150 pixels."""


@dataclass(frozen=True)
class Clip:
    """One span of one video."""

    id: str
    """Digest of the content: the only name of the video that a policy or a tool result ever holds."""
    path: Path
    """Where the file lies on this machine. For the reader alone; never shown to a policy."""
    info: VideoInfo
    start: float
    """Seconds."""
    end: float
    """Seconds; `start < end <= info.duration` unless the duration is unknown."""

    def span(self, start: float | None, end: float | None) -> Clip:
        """The part of this clip from `start` to `end` (seconds of the video), cut to what the clip holds.

        Raises:
            SpanOutsideVideo: nothing is left.
        """
        first = self.start if start is None else max(self.start, start)
        last = self.end if end is None else min(self.end, end)
        if not first < last:
            raise SpanOutsideVideo(
                f"no part of {self.start:.2f} to {self.end:.2f} s lies between start={start} and end={end}; "
                "give a span inside the clip"
            )
        return Clip(self.id, self.path, self.info, first, last)

    def frames(self) -> Frames:
        """The frames tools look at: `ANALYSIS_RATE` per second, at least 2, at most `ANALYSIS_LIMIT`, evenly spaced."""
        return _decoded.frames(self)


def open_clip(
    video: str, start: float | None = None, end: float | None = None, *, access: VideoAccess | None = None
) -> Clip:
    """Find, check and identify a video, and cut the span asked for.

    Args:
        video: A path, `file://` or `http(s)://` address.
        start: Seconds; None is the beginning.
        end: Seconds; None is the end.
        access: What may be read; None is `VideoAccess.from_environment()`.

    Raises:
        BadInput: The typed reason why this video or span cannot be used.
    """
    path = resolve(video, access or VideoAccess.from_environment())
    stat = path.stat()
    video_id, info = _known(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    duration = info.duration
    first, last = _seconds("start", start, 0.0), _seconds("end", end, duration)
    # Written so that NaN, of which nothing is true, is refused.
    if not 0 <= first < last <= duration + 0.05:
        raise SpanOutsideVideo(
            f"the span {first:g} to {last:g} s does not lie in the video, which lasts {duration:.2f} s; "
            f"give 0 <= start < end <= {duration:.2f}"
        )
    return Clip(video_id, path, info, first, min(last, duration))


def _seconds(name: str, value: object, otherwise: float) -> float:
    if value is None:
        return otherwise
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpanOutsideVideo(f"{name} is {value!r}; give a number of seconds")
    return float(value)


def analysis_times(start: float, end: float) -> np.ndarray:
    """Times at which the tools look, in seconds: the middles of equal slices of the span. Shape (frames,) float64."""
    count = int(np.clip(round((end - start) * ANALYSIS_RATE), 2, ANALYSIS_LIMIT))
    return start + (np.arange(count) + 0.5) * (end - start) / count


@lru_cache(maxsize=64)
def _known(path: Path, changed: int, size: int, inode: int) -> tuple[str, VideoInfo]:
    """Identity and properties of a file, read once for as long as it stays the same file."""
    info = probe(path)
    return identify(path), info


class _Decoded:
    """The spans decoded last; a span wanted by several threads at once is decoded by one of them."""

    def __init__(self, spans: int) -> None:
        self._spans = spans
        self._guard = Lock()
        self._slots: OrderedDict[tuple[str, float, float], tuple[Lock, list[Frames]]] = OrderedDict()

    def frames(self, clip: Clip) -> Frames:
        key = (clip.id, clip.start, clip.end)
        with self._guard:
            lock, slot = self._slots.setdefault(key, (Lock(), []))
            self._slots.move_to_end(key)
            while len(self._slots) > self._spans:
                self._slots.popitem(last=False)
        with lock:
            if not slot:
                slot.append(read_frames(clip.path, analysis_times(clip.start, clip.end), max_side=ANALYSIS_SIDE))
            return slot[0]


_decoded = _Decoded(spans=8)
