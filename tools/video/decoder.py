"""Decoding the frames shown at given times, without decoding all frames before them.

A damaged file yields its intact frames.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from ..errors import UnreadableVideo
from .clock import DecodingClock, packets
from .opening import MAX_SIDE
from .orientation import Orientation
from .selection import TOLERANCE, Selection

_INDEXED: Final = ("mov", "matroska", "avi")
"""Formats whose index lists keyframes; others list all packets, such as MPEG program streams, or nothing."""
_STEADY: Final = ("mov", "mpegts", "mpeg")
"""Formats in which a picture lasts until the next one is due, so that a later one tells of a gap."""
_GAP: Final = 1.0
"""Seconds without pictures that are worth a note."""
_KEYFRAME_INTERVAL: Final = 10.0
"""Seconds. Without an index, shorter distances are decoded rather than skipped: few files have longer intervals."""


class Decoder(Selection[VideoFrame]):
    """Decodes no more of an open video than its targets need."""

    def __init__(self, container: InputContainer, stream: VideoStream, targets: Sequence[float]) -> None:
        super().__init__(targets)
        self._container, self._stream = container, stream
        self._tick = float(stream.time_base or 1)
        self._start = stream.start_time
        self._begun = False
        self._clock = DecodingClock() if container.format.name == "avi" else None
        self._pixels = stream.codec_context.width * stream.codec_context.height
        self._bytes = self._pixels * 3 // 2
        """Of one picture; of usual pictures before the first."""
        self._sparse = False
        """Whether keyframes are further apart than targets."""
        self._keyframes: list[tuple[float, float]] = []
        """Seconds at which the keyframes that were sent to the decoder are decoded, and shown."""
        self._orientation: Orientation | None = None
        self._steady = container.format.name.startswith(_STEADY)
        self._gap = (0.0, 0.0)
        self._reformatter = VideoReformatter()

    @property
    def start(self) -> int | None:
        """Ticks of the first picture; None if packets have no times, or nothing was read yet."""
        return self._start

    def size_of(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height of the upright frame in square pixels.

        Raises:
            UnreadableVideo: It is larger than `MAX_SIDE`.
        """
        aspect = float(self._stream.sample_aspect_ratio or 1)
        size = max(1, round(frame.width * aspect)), frame.height
        if max(size) > MAX_SIDE:
            raise UnreadableVideo(
                f"the frames are displayed at {size[0]}x{size[1]}; give at most {MAX_SIDE} pixels per side"
            )
        return size[::-1] if self._oriented(frame).transposed else size

    def image_of(self, frame: VideoFrame, width: int, height: int) -> np.ndarray:
        """The upright frame, scaled to (height, width, 3) uint8 RGB."""
        orientation = self._oriented(frame)
        # Frames are scaled as coded and brought upright afterwards.
        width, height = (height, width) if orientation.transposed else (width, height)
        scaled = self._reformatter.reformat(frame, width=width, height=height, format="rgb24")
        return orientation.apply(scaled.to_ndarray())

    def _oriented(self, frame: VideoFrame) -> Orientation:
        """The orientation of the video, that of the first frame."""
        # Read once: a frame whose side data were read is in a reference cycle, and so stays in memory for long.
        if self._orientation is None:
            self._orientation = Orientation.of(frame)
        return self._orientation

    def _hole(self) -> str:
        begin, end = self._gap
        return f"the file has no pictures from {begin:.1f} to {end:.1f} s" if end > begin else ""

    def _begin(self) -> None:
        self._restart()

    def _approach(self, target: float, position: float) -> None:
        """Seek to the keyframe before `target` if it lies after `position`, the time of the current frame."""
        if self._sparse:
            return
        landing, back = self._keyframe_before(target), _KEYFRAME_INTERVAL
        while landing > position:
            self._restart(landing, target)
            if self._next is not None and self._next[0] <= target:
                # If there was no keyframe on the way, none is to be expected further on.
                self._sparse = self._next[0] < position
                return
            # The index is wrong, or there is none: approach from further back.
            landing, back = landing - back, back * 2
            if landing <= position:
                self._sparse = not self._container.format.name.startswith(_INDEXED)
                self._restart(next((at for at, shown in reversed(self._keyframes) if shown <= position), 0.0))

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

    def _restart(self, landing: float | None = None, target: float = np.inf) -> None:
        """Decode from the keyframe at or before `landing` seconds, None is the start, or the first one by `target`."""
        if landing is not None:
            try:
                self._container.seek(int(landing / self._tick) + (self._start or 0), stream=self._stream)
            except av.FFmpegError:
                return  # not seekable: keep decoding
        self._frames = self._decoded(landing is not None, target)
        self._next = next(self._frames, None)

    def _decoded(self, after_seek: bool, target: float) -> Iterator[tuple[float, float, VideoFrame]]:
        """Frames in presentation order, with start and end; after a seek from the first keyframe on, if by `target`."""
        end, due, waiting = 0.0, np.inf, 0
        first: int | None = None
        # For each target, the latest start by then among the packets sent to the decoder.
        latest = [-np.inf] * (len(self._targets) + 1)
        if self._clock:
            self._clock.restart()
        for packet in self._packets():
            if self._budget.is_spent:
                return
            if (after_seek or self._budget.keyframes_only) and not packet.is_keyframe:
                self._budget.skip()
                if after_seek and self._seconds(packet.dts, -np.inf) > target:
                    return
                continue
            after_seek = False
            if packet.is_keyframe and self._begun and packet.dts is not None:
                at = self._seconds(packet.dts, 0.0)
                self._keyframes.append((at, max(at, self._seconds(packet.pts, at))))
            due = self._next_due(packet, due)
            if not packet.size and packet.dts is not None:
                continue  # the frame before is shown again
            if self._clock:
                self._clock.sent(packet)
            elif self._begun:
                self._skip_unneeded(packet, latest)
            elif packet.pts is not None:
                first = packet.pts if first is None else min(first, packet.pts)
            self._damage += packet.is_corrupt
            self._budget.decode(self._pixels, packet.size)
            try:
                frames = self._frames_of(packet)
            except av.FFmpegError:
                self._damage += 1
                continue
            waiting = 0 if frames else waiting + 1
            self._budget.hold((frame.planes[0].buffer_ptr for frame in frames), self._bytes, waiting)
            for frame in frames:
                if not self._begun and first is not None:
                    # Some containers give the start of the sound, or zero, as that of the pictures.
                    self._start = first if self._start is None else max(first, self._start)
                self._begun, self._pixels = True, frame.width * frame.height
                self._bytes = sum(plane.buffer_size for plane in frame.planes)
                begin = self._seconds(self._clock.ticks(frame) if self._clock else frame.pts, end)
                end = begin + float(frame.duration * self._tick)
                yield begin, end, frame

    def _frames_of(self, packet: Packet[VideoStream]) -> list[VideoFrame]:
        """The frames that the decoder returns for a packet; of keyframes only, it keeps none."""
        frames = self._stream.decode(packet)
        if self._budget.keyframes_only:
            frames += self._stream.decode(None)
            self._stream.codec_context.flush_buffers()
        return frames

    def _next_due(self, packet: Packet[VideoStream], due: float) -> float:
        """Seconds at which the packet after this one is due; `due` is when this one was. The longest gap is noted."""
        if not self._steady or not self._begun or packet.dts is None or not packet.duration:
            return np.inf
        begin = self._seconds(packet.dts, 0.0)
        if begin - due > max(_GAP, self._gap[1] - self._gap[0]):
            shown = 0.0 if packet.pts is None else (packet.pts - packet.dts) * self._tick
            self._gap = due + shown, begin + shown
        return begin + packet.duration * self._tick

    def _skip_unneeded(self, packet: Packet[VideoStream], latest: list[float]) -> None:
        """Let the decoder drop a frame that no target shows and no other frame references.

        No target shows it if a later one, already sent, also starts before the next target. Without
        targets, all are needed.
        """
        if not self._targets:
            return
        skip: Literal["DEFAULT", "NONREF"] = "DEFAULT"
        if packet.pts is not None:
            begin = self._seconds(packet.pts, 0.0)
            due = bisect_left(self._targets, begin - TOLERANCE)
            if begin < latest[due]:
                skip = "NONREF"
            latest[due] = max(latest[due], begin)
        if self._stream.codec_context.skip_frame != skip:
            self._stream.codec_context.skip_frame = skip

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        """Packets to the end of the file; read errors are counted and skipped."""
        for packet in packets(self._container, self._stream):
            if packet is None:
                self._damage += 1
            else:
                yield packet

    def _seconds(self, ticks: int | None, default: float) -> float:
        if ticks is None:
            return default
        if self._start is None:
            self._start = ticks
        return (ticks - self._start) * self._tick
