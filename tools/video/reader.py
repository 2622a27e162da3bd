"""The video reader: properties of a file, and the frames shown at given times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EmptyVideo, UnreadableVideo
from ..execution.cancellation import check_cancelled
from .decoder import Decoder
from .extent import extent
from .opening import open_video
from .parts import first_part, whole_fragments
from .selection import Selection
from .webp import AnimationFrames, is_animated, open_animation


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a video file."""

    width: int
    """Pixels as displayed, with rotation and sample aspect ratio applied."""
    height: int
    """Pixels as displayed."""
    fps: float
    """Average frames per second; 0 if unknown."""
    duration: float
    """Seconds from the first frame to the end of the last, positive; 1/fps or 0.04 for a single frame."""
    rotation: int
    """Degrees counterclockwise, 0, 90, 180 or 270, by which coded frames are rotated for display, mirroring aside."""
    codec: str
    """FFmpeg's codec name, such as `h264`."""
    note: str = ""
    """A sentence on parts of the file that lie outside the duration; empty if it is all there is."""
    size: int = 0
    """Bytes of the file that are read, from its beginning; 0 is the whole file."""


@dataclass(frozen=True)
class Frames:
    """Distinct frames of one video in temporal order."""

    images: np.ndarray
    """(frames, height, width, 3) uint8 RGB, upright; at least one frame."""
    times: np.ndarray
    """(frames,) float64, increasing: seconds from the start of the video at which each frame is first shown."""
    scale: float
    """Pixels of `images` per pixel of the video as displayed, in (0, 1]."""
    note: str = ""
    """A sentence on what could not be read; empty if nothing failed."""

    def __post_init__(self) -> None:
        shape = self.images.shape
        if self.images.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or not shape[0]:
            raise ValueError(f"images are {self.images.dtype} {shape}; need uint8 (frames, h, w, 3), frames > 0")
        if self.times.dtype != np.float64 or self.times.shape != shape[:1]:
            raise ValueError(f"times are {self.times.dtype} {self.times.shape}; need float64, one for each image")
        if not (np.diff(self.times) > 0).all():
            raise ValueError("times must increase from frame to frame")
        if not 0 < self.scale <= 1:
            raise ValueError(f"scale is {self.scale}; need a value above 0 and at most 1")

    def __len__(self) -> int:
        return len(self.images)


def probe(path: Path) -> VideoInfo:
    """The properties of a video file, from its header and first frame.

    Raises:
        UnreadableVideo: Not a video container, or frames larger than `MAX_SIDE`.
        NoVideoStream: Only audio or a cover image.
        EmptyVideo: No frame can be decoded.
    """
    if is_animated(path):
        return _probe_animation(path)
    part, why = _readable_part(path)
    with open_video(path, part) as (container, stream):
        decoder = Decoder(container, stream, [0.0])
        _, first = next(decoder.selected(), (0.0, None))
        if first is None:
            raise EmptyVideo(_empty(path))
        width, height = decoder.size_of(first)
        # Raw streams declare a meaningless average rate; use the one coded in the frames.
        rate = stream.average_rate if stream.start_time is not None else stream.guessed_rate
        fps, codec = float(rate or 0), stream.codec.canonical_name
        start = (decoder.start or 0) * float(stream.time_base or 1)
        lasts = extent(container, stream, path, part, start, fps)
    duration = lasts.duration or (1 / fps if fps else 0.04)
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        duration=duration,
        rotation=round(first.rotation / 90) % 4 * 90,
        codec=codec,
        note=lasts.note or why.format(duration),
        size=lasts.size,
    )


def read_frames(
    path: Path, times: Sequence[float] | np.ndarray, *, max_side: int | None = None, size: int = 0
) -> Frames:
    """Read the frames shown at the given times: for each the last frame that starts by then, or the first frame.

    Args:
        path: The file.
        times: Seconds from the start of the video, in any order. Times that select the same frame return it once.
        max_side: Pixels; larger frames are scaled down to this long side.
        size: Bytes of the file that are read, as in `VideoInfo.size`.

    Raises:
        UnreadableVideo: As for `probe`.
        NoVideoStream: As for `probe`.
        EmptyVideo: As for `probe`.
    """
    targets = np.unique(np.asarray(times, dtype=np.float64))
    if not targets.size or not np.isfinite(targets).all():
        raise ValueError("times must contain at least one time, and only finite ones")
    with _selection(path, targets.tolist(), size) as selection:
        starts: list[float] = []
        for begin, frame in selection.selected():
            if not starts:
                (width, height), scale = _target_size(selection.size_of(frame), max_side)
                images = np.empty((targets.size, height, width, 3), np.uint8)
            check_cancelled()
            images[len(starts)] = selection.image_of(frame, width, height)
            starts.append(begin)
    if not starts:
        raise EmptyVideo(_empty(path))
    return Frames(images[: len(starts)], np.array(starts, np.float64), scale, selection.note())


def play_frames(
    path: Path, start: float, end: float, *, max_side: int | None = None, size: int = 0
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Every frame shown between two times, as `(from, until, image)`; one is decoded at a time.

    Times are seconds from the start of the video. The first frame shown may begin before `start`. Each is shown until
    the next begins; the last until `end`, or until the end of what can be read.

    Args:
        path: The file.
        start: Seconds.
        end: Seconds; above `start`.
        max_side: As in `read_frames`.
        size: As in `read_frames`.

    Raises:
        UnreadableVideo: As for `probe`.
        NoVideoStream: As for `probe`.
        EmptyVideo: As for `probe`.
    """
    shape: tuple[int, int] | None = None
    with _selection(path, [], size) as selection:
        for begin, until, frame in selection.played(start, end):
            shape = shape or _target_size(selection.size_of(frame), max_side)[0]
            check_cancelled()
            yield begin, until, selection.image_of(frame, *shape)
    if shape is None:
        raise EmptyVideo(_empty(path))


@contextmanager
def _selection(path: Path, targets: Sequence[float], size: int) -> Iterator[Selection[Any]]:
    """The frames of a file at `targets` (seconds, increasing)."""
    if is_animated(path):
        yield AnimationFrames(open_animation(path), targets)
        return
    with open_video(path, size) as (container, stream):
        yield Decoder(container, stream, targets)


def _probe_animation(path: Path) -> VideoInfo:
    animation = open_animation(path)
    if next(AnimationFrames(animation, [0.0]).selected(), None) is None:
        raise EmptyVideo(_empty(path))
    duration = animation.ends[-1]
    rate = len(animation.ends) / duration
    return VideoInfo(animation.width, animation.height, rate, duration, 0, "webp", animation.note)


def _readable_part(path: Path) -> tuple[int, str]:
    """Bytes that can be read as one video, 0 for the whole file, and why the rest cannot, with a place for seconds.

    Raises:
        UnreadableVideo, NoVideoStream: As for `probe`.
    """
    try:
        with open_video(path) as (container, _):
            part, why = first_part(path, container.format.name), "another video begins in the file"
    except UnreadableVideo:
        part, why = whole_fragments(path), "the file breaks off"
        if not part:
            raise
    rest = 1 - part / path.stat().st_size
    return part, f"{why} after {{:.1f}} s; the rest, {rest:.0%} of the file, is not looked at" if part else ""


def _target_size(displayed: tuple[int, int], max_side: int | None) -> tuple[tuple[int, int], float]:
    """Width and height of the images, and their scale."""
    long_side = max(displayed)
    scale = min(long_side, max_side or long_side) / long_side
    return (max(1, round(displayed[0] * scale)), max(1, round(displayed[1] * scale))), scale


def _empty(path: Path) -> str:
    return f"{path.name} has a video stream, but none of its frames can be decoded; give a file that plays"
