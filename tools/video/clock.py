"""When frames are shown: times of frames that carry none of their own, and how long the pictures of a file last."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..execution.cancellation import check_cancelled
from .opening import open_video

_OWN_DURATION: Final = ("mov", "avi")
"""Formats that declare a duration for each stream; others give that of the whole file, sound included."""
_LEAPING: Final = ("mpegts", "mpeg", "ogg")
"""Formats whose files may be joined end to end, so that the clock starts anew or leaps."""
_LEAP: Final = 10.0
"""Seconds by which the clock of such a file leaps forward at a seam; smaller gaps are pictures that were lost."""
_LATE: Final = 0.5
"""Seconds after zero at which pictures begin late, so that a declared duration may include the time before."""
_SLACK: Final = 1.0
"""Seconds by which streams of a complete file may end before its declared duration."""
_MAX_PACKETS: Final = 2**21
"""Most packets read to measure a duration: 19 h at 30 frames/s."""
_MAX_ERRORS: Final = 32
"""Consecutive read errors after which the rest of a file is skipped."""


class DecodingClock:
    """Times of frames in AVI, which stores when a frame is decoded, not when it is shown.

    Frames are decoded at even intervals, and shown at those in the order in which the decoder gives them, each a
    constant number of packets after it went in.
    """

    def __init__(self) -> None:
        self._delay: int | None = None
        self.restart()

    def restart(self) -> None:
        """Forget the packets sent: decoding continues elsewhere."""
        self._sent: list[int] = []
        self._index: dict[int, int] = {}
        self._last = -1

    def sent(self, packet: Packet[VideoStream]) -> None:
        """Note a packet that goes to the decoder."""
        if packet.dts is not None and packet.size:
            self._index[packet.dts] = len(self._sent)
            self._sent.append(packet.dts)

    def ticks(self, frame: VideoFrame) -> int | None:
        """When the frame is shown; None if that is unknown."""
        index = self._last + 1
        # The decoding time of a frame is that of the packet which made the decoder give it.
        if frame.dts in self._index:
            released = self._index[frame.dts]
            if self._delay is None:
                self._delay = released
            index = max(index, released - self._delay)
        self._last = index
        return self._sent[index] if index < len(self._sent) else None


def packets(container: InputContainer, *streams: Stream) -> Iterator[Packet[VideoStream] | None]:
    """Packets to the end of the file, None for each read error, until too many errors occur in a row."""
    errors = 0
    while errors < _MAX_ERRORS:
        try:
            for packet in container.demux(*streams):
                check_cancelled()
                errors = 0
                yield packet  # type: ignore[misc]
            return
        except av.FFmpegError:
            errors += 1
            yield None


def sent_at(packet: Packet[VideoStream], default: float) -> float:
    """Seconds of the clock at which a packet is decoded, which never decrease while the clock runs."""
    ticks = packet.pts if packet.dts is None else packet.dts
    return default if ticks is None else float(ticks * packet.time_base)


def is_leap(before: float, now: float) -> bool:
    """Whether two packets that follow one another stand on two sides of a seam; both as `sent_at`."""
    return not -1 < now - before < _LEAP


def extent(path: Path, container: InputContainer, stream: VideoStream, start: float, fps: float) -> tuple[float, str]:
    """How long the pictures last, and what of the file lies outside.

    Args:
        path: The file.
        container: The open file.
        stream: Its video stream.
        start: Seconds of the file's clock at which the pictures begin.
        fps: Frames per second, for packets without times; 0 if unknown.

    Returns:
        Seconds, 0 if unknown, and a sentence on parts that are not included; empty if there are none.
    """
    whole = max(0.0, (container.duration or 0) / av.time_base)
    declared = max(0.0, float(stream.duration * stream.time_base)) if stream.duration and stream.time_base else whole
    if not declared or container.format.name.startswith(_LEAPING):
        return _measured(path, fps)
    if container.format.name.startswith(_OWN_DURATION):
        doubtful = start > _LATE and declared > start
    else:
        doubtful = start > _LATE or len(container.streams) > 1
    if not doubtful:
        return declared, ""
    last, last_of_all = _ends(path, start + declared)
    if last <= start:
        return _measured(path, fps)
    # A file that breaks off lasts as long as it declares; the reader says what is missing.
    return (declared if last_of_all < min(declared, whole or declared) - _SLACK else last - start), ""


def _ends(path: Path, end: float) -> tuple[float, float]:
    """Seconds of the clock at which the pictures, and all streams, end; read from the last keyframe by `end`."""
    last = last_of_all = -np.inf
    with open_video(path) as (container, stream):
        for other in container.streams:
            other.discard = Discard.default
        try:
            container.seek(int(end / float(stream.time_base or 1)), stream=stream)
        except av.FFmpegError:
            return last, last_of_all
        for packet, _ in zip(packets(container), range(_MAX_PACKETS), strict=False):
            if packet is not None and packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * float(packet.time_base)
                last_of_all = max(last_of_all, end)
                last = max(last, end) if packet.stream.index == stream.index else last
    return last, last_of_all


def _measured(path: Path, fps: float) -> tuple[float, str]:
    """As `extent`, from all packets without decoding them; the part before the first leap of the clock counts."""
    parts: list[list[float]] = []
    count, before = 0, 0.0
    with open_video(path) as (container, stream):
        tick, leaps = float(stream.time_base or 1), container.format.name.startswith(_LEAPING)
        for packet, _ in zip(packets(container, stream), range(_MAX_PACKETS), strict=False):
            if packet is None:
                continue
            count += packet.size > 0
            if packet.pts is None:
                continue
            now = sent_at(packet, before)
            first, last = packet.pts * tick, (packet.pts + (packet.duration or 0)) * tick
            if not parts or (leaps and is_leap(before, now)):
                parts.append([first, last])
            parts[-1] = [min(parts[-1][0], first), max(parts[-1][1], last)]
            before = now
    lengths = [last - first for first, last in parts]
    if not lengths or lengths[0] <= 0:
        return (count / fps if fps else 0.0), ""
    rest = sum(lengths[1:])
    note = f"the clock of the file leaps after {lengths[0]:.1f} s; the {rest:.1f} s after that are not looked at"
    return lengths[0], note if rest > 0 else ""
