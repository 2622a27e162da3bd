"""The video reader: properties of a file, and the frames shown at given times. The only module that opens videos.

Files are untrusted. Only demuxers that read a single file are allowed (a playlist could refer to other files and URLs),
the frame size is limited before decoding, and a damaged file yields its intact frames.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..errors import EmptyVideo, NoVideoStream, UnreadableVideo

MAX_SIDE: Final = 16_384
"""Pixels; videos with larger frames are rejected."""
MAX_PIXELS: Final = 2**26
"""Pixels of one coded frame: twice an 8K frame, 100 MB once decoded."""

_FORMATS: Final = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,av1,obu,ivf,vc1,flv,ogg,asf,gif,apng,mjpeg,webp_pipe,dv,mxf,nut,rm,"
    # audio only: allowed so that the error says so
    "mp3,wav,flac,aac"
)
_INDEXED: Final = ("mov", "matroska", "avi")
"""Formats whose index lists keyframes; others list all packets, such as MPEG program streams, or nothing."""
_KEYFRAME_INTERVAL: Final = 10.0
"""Seconds. Without an index, shorter distances are decoded rather than skipped: few files have longer intervals."""
_MAX_PACKETS: Final = 2**21
"""Most packets read to measure a duration that the container does not declare: 19 h at 30 frames/s."""
_MAX_ERRORS: Final = 32
"""Consecutive read errors after which the rest of a file is skipped."""
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
    """Seconds, positive: as declared, or else measured without decoding; 1/fps or 0.04 for a single frame."""
    rotation: int
    """Degrees counterclockwise, 0, 90, 180 or 270, by which coded frames are rotated for display."""
    codec: str
    """FFmpeg's codec name, such as `h264`."""


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
    with _open(path) as (container, stream):
        _, first = next(_Reader(container, stream, [0.0]).displayed(), (0.0, None))
        if first is None:
            raise EmptyVideo(_empty(path))
        width, height = _displayed_size(stream, first)
        # Raw streams declare a meaningless average rate; use the one coded in the frames.
        rate = stream.average_rate if stream.start_time is not None else stream.guessed_rate
        fps, codec = float(rate or 0), stream.codec.canonical_name
        duration = _declared_duration(container, stream)
    return VideoInfo(
        width=width,
        height=height,
        fps=fps,
        duration=duration or _measured_duration(path, fps) or (1 / fps if fps else 0.04),
        rotation=_quarter_turns(first) * 90,
        codec=codec,
    )


def read_frames(path: Path, times: Sequence[float] | np.ndarray, *, max_side: int | None = None) -> Frames:
    """Read the frames shown at the given times: for each the last frame that starts by then, or the first frame.

    Args:
        path: The file.
        times: Seconds from the start of the video, in any order. Times that select the same frame return it once.
        max_side: Pixels; larger frames are scaled down to this long side.

    Raises:
        UnreadableVideo: As for `probe`.
        NoVideoStream: As for `probe`.
        EmptyVideo: As for `probe`.
    """
    targets = np.unique(np.asarray(times, dtype=np.float64))
    if not targets.size or not np.isfinite(targets).all():
        raise ValueError("times must contain at least one time, and only finite ones")
    with _open(path) as (container, stream):
        reader = _Reader(container, stream, targets.tolist())
        reformatter = VideoReformatter()
        starts: list[float] = []
        for begin, frame in reader.displayed():
            if not starts:
                turns = _quarter_turns(frame)
                size, scale = _target_size(_displayed_size(stream, frame), max_side)
                images = np.empty((targets.size, size[1], size[0], 3), np.uint8)
                # Frames are scaled as coded and rotated afterwards.
                width, height = size[::-1] if turns % 2 else size
            scaled = reformatter.reformat(frame, width=width, height=height, format="rgb24")
            images[len(starts)] = np.rot90(scaled.to_ndarray(), turns)
            starts.append(begin)
    if not starts:
        raise EmptyVideo(_empty(path))
    return Frames(images[: len(starts)], np.array(starts, np.float64), scale, reader.note())


class _Reader:
    """Decodes no more of an open video than its targets need (seconds, increasing)."""

    def __init__(self, container: InputContainer, stream: VideoStream, targets: Sequence[float]) -> None:
        self._container, self._stream, self._targets = container, stream, targets
        self._tick = float(stream.time_base or 1)
        self._start = stream.start_time
        self._next: tuple[float, VideoFrame] | None = None
        self._frames: Iterator[tuple[float, VideoFrame]] = iter(())
        self._end = 0.0
        self._missing = 0
        self._damage = 0

    def displayed(self) -> Iterator[tuple[float, VideoFrame]]:
        """The distinct frames shown at the targets, each with the second at which it starts."""
        self._restart()
        current: tuple[float, VideoFrame] | None = None
        given = -np.inf
        for target in self._targets:
            limit = target + _TOLERANCE
            if self._next is not None:
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
        # For each target, the latest start by then among the packets sent to the decoder.
        latest = [-np.inf] * (len(self._targets) + 1)
        for packet in self._packets():
            if after_seek:
                if not packet.is_keyframe:
                    continue
                after_seek = False
            self._skip_unneeded(packet, latest)
            self._damage += packet.is_corrupt
            try:
                frames = self._stream.decode(packet)
            except av.FFmpegError:
                self._damage += 1
                continue
            for frame in frames:
                begin = self._seconds(frame.pts, end)
                end = begin + float(frame.duration * self._tick)
                yield begin, frame

    def _skip_unneeded(self, packet: Packet[VideoStream], latest: list[float]) -> None:
        """Let the decoder drop a frame that no target shows and no other frame references.

        No target shows it if a later one, already sent, also starts before the next target.
        """
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
        """Packets to the end of the file; read errors are skipped until too many occur in a row."""
        errors = 0
        while errors < _MAX_ERRORS:
            try:
                for packet in self._container.demux(self._stream):
                    errors = 0
                    yield packet
                return
            except av.FFmpegError:
                errors += 1
                self._damage += 1

    def _seconds(self, ticks: int | None, default: float) -> float:
        if ticks is None:
            return default
        if self._start is None:
            self._start = ticks
        return (ticks - self._start) * self._tick


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The container and its video stream, set up for decoding."""
    options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        # The prefix "file:" makes names such as concat:a|b plain file names; some titles are not valid UTF-8.
        container = av.open(f"file:{path.absolute()}", options=options, metadata_errors="replace")
    except av.FFmpegError as error:
        raise UnreadableVideo(
            f"{path.name} cannot be read as a video ({error.strerror}); give an MP4, WebM, MKV, AVI or GIF file"
        ) from error
    with container:
        stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
        if stream is None:
            raise NoVideoStream(f"{path.name} has only audio or a cover image; give a file with a video stream")
        if stream.codec_context is None:
            raise UnreadableVideo(f"no decoder is available for the codec of {path.name}; convert it to H.264")
        width, height = stream.codec_context.width, stream.codec_context.height
        if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
            raise UnreadableVideo(f"the frames of {path.name} are {width}x{height}; give at most 8192x8192")
        for other in container.streams:
            other.discard = Discard.default if other is stream else Discard.all
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        # Frame threading holds one frame per thread in memory: use slice threading for large ones.
        stream.thread_type = "AUTO" if width * height <= 4096 * 2304 else "SLICE"
        stream.thread_count = min(4, os.cpu_count() or 1)
        if container.format.name.startswith("matroska"):
            with suppress(av.FFmpegError):
                container.seek(0)  # its index is loaded on the first seek only
        yield container, stream


def _declared_duration(container: InputContainer, stream: VideoStream) -> float:
    """Seconds; 0 if the container does not declare it."""
    if stream.duration and stream.time_base:
        return max(0.0, float(stream.duration * stream.time_base))
    return max(0.0, (container.duration or 0) / av.time_base)


def _measured_duration(path: Path, fps: float) -> float:
    """Seconds from the first packet to the end of the last, without decoding; 0 if packets have no times."""
    first, last, count = np.inf, -np.inf, 0
    with _open(path) as (container, stream):
        tick = float(stream.time_base or 1)
        for packet, _ in zip(_Reader(container, stream, [])._packets(), range(_MAX_PACKETS), strict=False):
            count += packet.size > 0
            if packet.pts is not None:
                first, last = min(first, packet.pts), max(last, packet.pts + (packet.duration or 0))
    return (last - first) * tick if last > first else count / fps if fps else 0.0


def _quarter_turns(frame: VideoFrame) -> int:
    return round(frame.rotation / 90) % 4


def _displayed_size(stream: VideoStream, frame: VideoFrame) -> tuple[int, int]:
    """Width and height of the upright frame in square pixels."""
    aspect = float(stream.sample_aspect_ratio or 1)
    size = max(1, round(frame.width * aspect)), frame.height
    if max(size) > MAX_SIDE:
        raise UnreadableVideo(
            f"the frames are displayed at {size[0]}x{size[1]}; give at most {MAX_SIDE} pixels per side"
        )
    return size[::-1] if _quarter_turns(frame) % 2 else size


def _target_size(displayed: tuple[int, int], max_side: int | None) -> tuple[tuple[int, int], float]:
    """Width and height of the images, and their scale."""
    long_side = max(displayed)
    scale = min(long_side, max_side or long_side) / long_side
    return (max(1, round(displayed[0] * scale)), max(1, round(displayed[1] * scale))), scale


def _empty(path: Path) -> str:
    return f"{path.name} has a video stream, but none of its frames can be decoded; give a file that plays"
