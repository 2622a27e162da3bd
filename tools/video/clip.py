"""A clip: one span of one video, named by an opaque id; its frames are decoded once for all tools."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np

from ..errors import SpanOutsideVideo
from .reader import Frames, VideoInfo, play_frames, probe, read_frames
from .source import VideoAccess, identify, resolve

ANALYSIS_RATE: Final = 8.0
"""Frames per second that tools analyse: four samples per step of a walk (about 2 steps/s)."""
ANALYSIS_LIMIT: Final = 48
"""Most frames of one span; longer spans are sampled more sparsely."""
ANALYSIS_SIDE: Final = 768
"""Long side in pixels of analysed frames: people a quarter as large stay above 150 pixels."""


@dataclass(frozen=True)
class Clip:
    """One span of one video."""

    id: str
    """Digest of the content: the only name of the video in conversations and tool results."""
    path: Path
    """The file on this machine, for the reader only; never shown to a policy."""
    info: VideoInfo
    start: float
    """Seconds."""
    end: float
    """Seconds; `start < end <= info.duration`."""

    def span(self, start: float | None, end: float | None) -> Clip:
        """The part of this clip from `start` to `end` (seconds of the video), limited to the clip.

        Raises:
            SpanOutsideVideo: The clip and the span do not overlap.
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
        """The analysed frames: `ANALYSIS_RATE` per second, at least 2, at most `ANALYSIS_LIMIT`, evenly spaced."""
        return _frame_cache.frames(self)

    def play(self, max_side: int) -> Iterator[tuple[float, float, np.ndarray]]:
        """Every frame of the clip, one at a time; arguments and values as those of `play_frames`."""
        return play_frames(self.path, self.start, self.end, max_side=max_side, size=self.info.size)


def open_clip(
    video: str, start: float | None = None, end: float | None = None, *, access: VideoAccess | None = None
) -> Clip:
    """Find, check and identify a video, and select a span of it.

    Args:
        video: A path, or a `file://` or `http(s)://` URL.
        start: Seconds; None is the start of the video.
        end: Seconds; None is its end.
        access: Which videos may be read; None is `VideoAccess.from_environment()`.

    Raises:
        BadInput: The video or the span cannot be used; the subclass says why.
    """
    path = resolve(video, access or VideoAccess.from_environment())
    stat = path.stat()
    video_id, info = _identified(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)
    duration = info.duration
    first, last = _seconds("start", start, 0.0), _seconds("end", end, duration)
    # In this form NaN is rejected too.
    if not 0 <= first < last <= duration + 0.05:
        raise SpanOutsideVideo(
            f"the span {first:g} to {last:g} s is not within the video, which is {duration:.2f} s long; "
            f"give 0 <= start < end <= {duration:.2f}"
        )
    return Clip(video_id, path, info, first, min(last, duration))


def _seconds(name: str, value: object, default: float) -> float:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpanOutsideVideo(f"{name} is {value!r}; give a number of seconds")
    return float(value)


def analysis_times(start: float, end: float) -> np.ndarray:
    """Times of the analysed frames, (frames,) float64 seconds: the middles of equal parts of the span."""
    count = int(np.clip(round((end - start) * ANALYSIS_RATE), 2, ANALYSIS_LIMIT))
    return start + (np.arange(count) + 0.5) * (end - start) / count


@lru_cache(maxsize=64)
def _identified(path: Path, changed: int, size: int, inode: int) -> tuple[str, VideoInfo]:
    """Identity and properties of a file, read again only if it changes."""
    info = probe(path)
    return identify(path), info


class _FrameCache:
    """The most recently decoded spans; threads that need the same span decode it once."""

    def __init__(self, max_spans: int) -> None:
        self._max_spans = max_spans
        self._lock = Lock()
        self._slots: OrderedDict[tuple[str, float, float], tuple[Lock, list[Frames]]] = OrderedDict()

    def frames(self, clip: Clip) -> Frames:
        key = (clip.id, clip.start, clip.end)
        with self._lock:
            lock, slot = self._slots.setdefault(key, (Lock(), []))
            self._slots.move_to_end(key)
            while len(self._slots) > self._max_spans:
                self._slots.popitem(last=False)
        with lock:
            if not slot:
                times = analysis_times(clip.start, clip.end)
                slot.append(read_frames(clip.path, times, max_side=ANALYSIS_SIDE, size=clip.info.size))
            return slot[0]


_frame_cache = _FrameCache(max_spans=8)
