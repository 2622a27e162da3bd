"""The video reader: properties of a file, and the frames shown at given times.

A damaged file yields its intact frames.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..errors import EmptyVideo, UnreadableVideo
from ..execution.cancellation import check_cancelled
from .clock import DecodingClock, extent, is_leap, packets, sent_at
from .opening import MAX_SIDE, open_video
from .orientation import Orientation

_INDEXED: Final = ("mov", "matroska", "avi")
"""Formats whose index lists keyframes; others list all packets, such as MPEG program streams, or nothing."""
_KEYFRAME_INTERVAL: Final = 10.0
"""Seconds. Without an index, shorter distances are decoded rather than skipped: few files have longer intervals."""
_TAIL: Final = 0.25
"""Seconds for which the last frame is shown beyond its duration: audio is often slightly longer than video."""
_TOLERANCE: Final = 1e-6
"""Seconds by which a frame may be later than the requested time: ticks and floats round differently."""


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
    with open_video(path) as (container, stream):
        reader = _Reader(container, stream, [0.0])
        _, first = next(reader.displayed(), (0.0, None))
        if first is None:
            raise EmptyVideo(_empty(path))
        width, height = _displayed_size(stream, first)
        # Raw streams declare a meaningless average rate; use the one coded in the frames.
        rate = stream.average_rate if stream.start_time is not None else stream.guessed_rate
        fps, codec = float(rate or 0), stream.codec.canonical_name
        start = (reader.start or 0) * float(stream.time_base or 1)
        duration, note = extent(path, container, stream, start, fps)
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        duration=duration or (1 / fps if fps else 0.04),
        rotation=round(first.rotation / 90) % 4 * 90,
        codec=codec,
        note=note,
    )


def read_frames(
    path: Path, times: Sequence[float] | np.ndarray, *, max_side: int | None = None, leaps: bool = False
) -> Frames:
    """Read the frames shown at the given times: for each the last frame that starts by then, or the first frame.

    Args:
        path: The file.
        times: Seconds from the start of the video, in any order. Times that select the same frame return it once.
        max_side: Pixels; larger frames are scaled down to this long side.
        leaps: Whether the clock of the file leaps, as `VideoInfo.note` says: one time then stands for several frames,
            and those before the first leap are read, without seeking.

    Raises:
        UnreadableVideo: As for `probe`.
        NoVideoStream: As for `probe`.
        EmptyVideo: As for `probe`.
    """
    targets = np.unique(np.asarray(times, dtype=np.float64))
    if not targets.size or not np.isfinite(targets).all():
        raise ValueError("times must contain at least one time, and only finite ones")
    with open_video(path) as (container, stream):
        reader = _Reader(container, stream, targets.tolist(), leaps=leaps)
        upright: _Upright | None = None
        starts: list[float] = []
        for begin, frame in reader.displayed():
            if upright is None:
                upright = _Upright(stream, frame, max_side)
                images = np.empty((targets.size, upright.size[1], upright.size[0], 3), np.uint8)
            images[len(starts)] = upright.image(frame)
            starts.append(begin)
    if upright is None:
        raise EmptyVideo(_empty(path))
    return Frames(images[: len(starts)], np.array(starts, np.float64), upright.scale, reader.note())


def play_frames(
    path: Path, start: float, end: float, *, max_side: int | None = None, leaps: bool = False
) -> Iterator[tuple[float, float, np.ndarray]]:
    """Every frame shown between two times, as `(from, until, image)`; one is decoded at a time.

    Times are seconds from the start of the video. The first frame shown may begin before `start`. Each is shown until
    the next begins; the last until `end`, or until the end of what can be read.

    Args:
        path: The file.
        start: Seconds.
        end: Seconds; above `start`.
        max_side: As in `read_frames`.
        leaps: As in `read_frames`.

    Raises:
        UnreadableVideo: As for `probe`.
        NoVideoStream: As for `probe`.
        EmptyVideo: As for `probe`.
    """
    with open_video(path) as (container, stream):
        upright: _Upright | None = None
        for begin, until, frame in _Reader(container, stream, (), leaps=leaps).played(start, end):
            upright = upright or _Upright(stream, frame, max_side)
            yield begin, until, upright.image(frame)
    if upright is None:
        raise EmptyVideo(_empty(path))


class _Upright:
    """Converts the frames of one stream to upright images of one size."""

    def __init__(self, stream: VideoStream, first: VideoFrame, max_side: int | None) -> None:
        self._orientation = Orientation.of(first)
        self.size, self.scale = _target_size(_displayed_size(stream, first), max_side)
        # Frames are scaled as coded and brought upright afterwards.
        self._coded = self.size[::-1] if self._orientation.transposed else self.size
        self._reformatter = VideoReformatter()

    def image(self, frame: VideoFrame) -> np.ndarray:
        """(height, width, 3) uint8 RGB."""
        check_cancelled()
        width, height = self._coded
        scaled = self._reformatter.reformat(frame, width=width, height=height, format="rgb24")
        return self._orientation.apply(scaled.to_ndarray())


class _Reader:
    """Decodes no more of an open video than its targets need (seconds, increasing); without targets, every frame."""

    def __init__(
        self, container: InputContainer, stream: VideoStream, targets: Sequence[float], *, leaps: bool = False
    ) -> None:
        self._leaps = leaps
        self._container, self._stream, self._targets = container, stream, targets
        self._tick = float(stream.time_base or 1)
        self._start = stream.start_time
        self._begun = False
        self._clock = DecodingClock() if container.format.name == "avi" else None
        self._next: tuple[float, VideoFrame] | None = None
        self._frames: Iterator[tuple[float, VideoFrame]] = iter(())
        self._end = 0.0
        self._missing = 0
        self._damage = 0

    @property
    def start(self) -> int | None:
        """Ticks of the first picture; None if packets have no times, or nothing was read yet."""
        return self._start

    def displayed(self) -> Iterator[tuple[float, VideoFrame]]:
        """The distinct frames shown at the targets, each with the second at which it starts."""
        self._restart()
        current: tuple[float, VideoFrame] | None = None
        given = -np.inf
        for target in self._targets:
            limit = target + _TOLERANCE
            if not self._leaps and self._next is not None:
                self._jump(limit, current[0] if current else self._next[0])
            while self._next is not None and (current is None or self._next[0] <= limit):
                current, self._next = self._next, next(self._frames, None)
            if current is None:
                return
            self._end = current[0] + current[1].duration * self._tick
            self._missing += self._next is None and target > max(self._end, current[0] + _TAIL)
            if current[0] > given:
                given = current[0]
                yield current

    def played(self, start: float, end: float) -> Iterator[tuple[float, float, VideoFrame]]:
        """Every frame shown between two times, each with the seconds from and until which it is shown."""
        self._restart()
        if not self._leaps and self._next is not None:
            self._jump(start + _TOLERANCE, self._next[0])
        while self._next is not None and self._next[0] < end - _TOLERANCE:
            (begin, frame), self._next = self._next, next(self._frames, None)
            if self._next is None:
                until = min(end, max(begin + frame.duration * self._tick, max(begin, start) + _TAIL))
            else:
                until = min(end, self._next[0])
            if until > max(begin, start + _TOLERANCE):
                yield begin, until, frame

    def note(self) -> str:
        """A sentence on what could not be read; empty if nothing failed."""
        if self._missing:
            return (
                f"nothing can be read after {self._end:.1f} s; "
                f"{self._missing} of the {len(self._targets)} frames asked for are missing"
            )
        if self._damage:
            return f"the file is damaged (errors: {self._damage}); where a frame is lost the one before stands in"
        return ""

    def _jump(self, target: float, position: float) -> None:
        """Seek to the keyframe before `target` if it lies after `position`, the time of the current frame."""
        landing, back = self._keyframe_before(target), _KEYFRAME_INTERVAL
        while landing > position:
            self._restart(landing)
            if self._next is not None and self._next[0] <= target:
                return
            # The index is wrong: approach from further back.
            landing, back = landing - back, back * 2
            if landing <= position:
                self._restart(max(position, 0.0))

    def _keyframe_before(self, target: float) -> float:
        """Seconds of the last keyframe by `target` according to the index; a conservative estimate without one."""
        if self._start is None:
            return -np.inf
        entries = self._stream.index_entries
        if not len(entries) or not self._container.format.name.startswith(_INDEXED):
            return target - _KEYFRAME_INTERVAL
        # The index uses decoding time, which precedes presentation time by a constant.
        shift = self._start - entries[0].timestamp
        found = entries.search_timestamp(int(target / self._tick) + self._start - shift)
        known = (entries[found].timestamp + shift - self._start) * self._tick if found >= 0 else -np.inf
        covered = (entries[len(entries) - 1].timestamp + shift - self._start) * self._tick
        return max(known, target - _KEYFRAME_INTERVAL) if covered < target - _KEYFRAME_INTERVAL else known

    def _restart(self, landing: float | None = None) -> None:
        """Decode from the keyframe at or before `landing` seconds; None is the start."""
        if landing is not None:
            try:
                self._container.seek(int(landing / self._tick) + (self._start or 0), stream=self._stream)
            except av.FFmpegError:
                return  # not seekable: keep decoding
        self._frames = self._decoded(after_seek=landing is not None)
        self._next = next(self._frames, None)

    def _decoded(self, after_seek: bool) -> Iterator[tuple[float, VideoFrame]]:
        """Frames in presentation order with their times; after a seek, from the first keyframe on."""
        end = 0.0
        first: int | None = None
        # For each target, the latest start by then among the packets sent to the decoder.
        latest = [-np.inf] * (len(self._targets) + 1)
        if self._clock:
            self._clock.restart()
        for packet in self._packets():
            if after_seek:
                if not packet.is_keyframe:
                    continue
                after_seek = False
            if self._clock:
                self._clock.sent(packet)
            elif self._begun:
                self._skip_unneeded(packet, latest)
            elif packet.pts is not None:
                first = packet.pts if first is None else min(first, packet.pts)
            self._damage += packet.is_corrupt
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                self._damage += 1
                continue
            for frame in frames:
                if not self._begun and first is not None:
                    # Some containers give the start of the sound, or zero, as that of the pictures.
                    self._start = first if self._start is None else max(first, self._start)
                self._begun = True
                begin = self._seconds(self._clock.ticks(frame) if self._clock else frame.pts, end)
                end = begin + float(frame.duration * self._tick)
                yield begin, frame

    def _skip_unneeded(self, packet: Packet[VideoStream], latest: list[float]) -> None:
        """Let the decoder drop a frame that no target shows and no other frame references.

        No target shows it if a later one, already sent, also starts before the next target.
        """
        if not self._targets:
            return
        skip: Literal["DEFAULT", "NONREF"] = "DEFAULT"
        if packet.pts is not None:
            begin = self._seconds(packet.pts, 0.0)
            due = bisect_left(self._targets, begin - _TOLERANCE)
            if begin < latest[due]:
                skip = "NONREF"
            latest[due] = max(latest[due], begin)
        if self._stream.codec_context.skip_frame != skip:
            self._stream.codec_context.skip_frame = skip

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets to the end of the file, or the first leap of its clock; read errors are counted and skipped."""
        before: float | None = None
        for packet in packets(self._container, self._stream):
            if packet is None:
                self._damage += 1
                continue
            if self._leaps and packet.size:
                now = sent_at(packet, before or 0.0)
                if before is not None and is_leap(before, now):
                    yield cast("Packet[VideoStream]", Packet())  # makes the decoder give the frames that it holds
                    return
                before = now
            yield packet

    def _seconds(self, ticks: int | None, default: float) -> float:
        if ticks is None:
            return default
        if self._start is None:
            self._start = ticks
        return (ticks - self._start) * self._tick


def _displayed_size(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    """Width and height of the upright frame in square pixels."""
    aspect = float(stream.sample_aspect_ratio or 1)
    size = max(1, round(frame.width * aspect)), frame.height
    if max(size) > MAX_SIDE:
        raise UnreadableVideo(
            f"the frames are displayed at {size[0]}x{size[1]}; give at most {MAX_SIDE} pixels per side"
        )
    return size[::-1] if Orientation.of(frame).transposed else size


def _target_size(displayed: tuple[int, int], max_side: int | None) -> tuple[tuple[int, int], float]:
    """Width and height of the images, and their scale."""
    long_side = max(displayed)
    scale = min(long_side, max_side or long_side) / long_side
    return (max(1, round(displayed[0] * scale)), max(1, round(displayed[1] * scale))), scale


def _empty(path: Path) -> str:
    return f"{path.name} has a video stream, but none of its frames can be decoded; give a file that plays"
