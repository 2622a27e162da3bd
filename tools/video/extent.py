"""How long the pictures of a file last."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.stream import Discard
from av.video.stream import VideoStream

from .clock import packets, sent_at
from .opening import open_video

_OWN_DURATION: Final = ("mov", "avi")
"""Formats that declare a duration for each stream; others give that of the whole file, sound included."""
_LEAPING: Final = ("mpegts", "mpeg")
"""Formats whose files may be joined end to end, so that the clock starts anew or leaps."""
_LEAP: Final = 10.0
"""Seconds by which the clock of such a file leaps forward at a seam; smaller gaps are pictures that were lost."""
_LATE: Final = 0.5
"""Seconds after zero at which pictures begin late, so that a declared duration may include the time before."""
_SLACK: Final = 1.0
"""Seconds by which streams of a complete file may end before its declared duration."""
_MAX_PACKETS: Final = 2**17
"""Most packets read one by one to measure a duration: 73 min at 30 frames/s."""
_MAX_BYTES: Final = 2**28
"""Bytes in which they are read."""
_SAMPLES: Final = 64
"""Places at which the clock of the rest of a file is read."""
_TAIL: Final = 2**21
"""Bytes at the end of a file that are read to find when the last picture ends."""
_NEAR: Final = 2**10
"""Most packets read at one place to find one that has a time."""
_STRANGE: Final = 8.0
"""Times the usual number of seconds per byte from which on a stretch of a file holds a leap of the clock."""


class Extent(NamedTuple):
    """How long the pictures of a file last, and what of it lies outside."""

    duration: float
    """Seconds; 0 if unknown."""
    note: str = ""
    """A sentence on parts that are not included; empty if there are none."""
    size: int = 0
    """Bytes that hold the pictures, from the beginning; 0 is the whole file."""


def extent(container: InputContainer, stream: VideoStream, path: Path, size: int, start: float, fps: float) -> Extent:
    """How long the pictures last, and what of the file lies outside.

    Args:
        container: The open file.
        stream: Its video stream.
        path: The file.
        size: Bytes of it that are read; 0 is the whole file.
        start: Seconds of the file's clock at which the pictures begin.
        fps: Frames per second, for packets without times; 0 if unknown.
    """
    whole = max(0.0, (container.duration or 0) / av.time_base)
    declared = max(0.0, float(stream.duration * stream.time_base)) if stream.duration and stream.time_base else whole
    if not declared or container.format.name.startswith(_LEAPING):
        return _measured(path, size, fps)
    if container.format.name.startswith(_OWN_DURATION):
        doubtful = start > _LATE and declared > start
    else:
        doubtful = start > _LATE or len(container.streams) > 1
    if not doubtful:
        return Extent(declared, size=size)
    last, last_of_all = _ends(path, size, start + declared)
    if last <= start:
        return _measured(path, size, fps)
    # A file that breaks off lasts as long as it declares; the reader says what is missing.
    breaks_off = last_of_all < min(declared, whole or declared) - _SLACK
    return Extent(declared if breaks_off else last - start, size=size)


def _ends(path: Path, size: int, end: float) -> tuple[float, float]:
    """Seconds of the clock at which the pictures, and all streams, end; read from the last keyframe by `end`."""
    last = last_of_all = -np.inf
    with open_video(path, size) as (container, stream):
        for other in container.streams:
            other.discard = Discard.default
        try:
            container.seek(int(end / float(stream.time_base or 1)), stream=stream)
        except av.FFmpegError:
            return last, last_of_all
        for packet in islice(packets(container), _MAX_PACKETS):
            if packet is not None and packet.pts is not None:
                end = (packet.pts + (packet.duration or 0)) * float(packet.time_base)
                last_of_all = max(last_of_all, end)
                last = max(last, end) if packet.stream.index == stream.index else last
    return last, last_of_all


class _Scan:
    """Packets read in a row, up to the first leap of the clock."""

    def __init__(self) -> None:
        self.count = 0
        """Packets with content."""
        self.parts: list[tuple[float, float]] = []
        """Seconds of the clock at which the pictures between two leaps begin and end."""
        self.seam = 0
        """Byte of the first packet after a leap; 0 if there was none."""
        self.place = 0
        """Byte of the last packet."""
        self.clock = 0.0
        """Seconds of the clock at the last packet."""

    @property
    def length(self) -> float:
        """Seconds up to the first leap; 0 if no packet had a time."""
        return self.parts[0][1] - self.parts[0][0] if self.parts else 0.0

    def add(self, packet: Packet[VideoStream], leaps: bool = True) -> None:
        """Take a packet into account."""
        self.count += packet.size > 0
        if packet.pts is None:
            return
        now, tick = sent_at(packet, self.clock), float(packet.time_base)
        first, last = packet.pts * tick, (packet.pts + (packet.duration or 0)) * tick
        if not self.parts or (leaps and _is_leap(self.clock, now)):
            self.seam = self.seam or (packet.pos or 0) * bool(self.parts)
            self.parts.append((first, last))
        self.parts[-1] = min(self.parts[-1][0], first), max(self.parts[-1][1], last)
        self.clock, self.place = now, packet.pos or self.place


def _measured(path: Path, size: int, fps: float) -> Extent:
    """As `extent`, from packets without decoding them; the part before the first leap of the clock counts."""
    scan = _Scan()
    with open_video(path, size) as (container, stream):
        cut = container.format.name.startswith(_LEAPING)
        for packet in packets(container, stream):
            if packet is not None:
                scan.add(packet)
            if scan.count >= _MAX_PACKETS or scan.place >= _MAX_BYTES:
                return _sampled(container, stream, scan, path, size, fps)
    if scan.length <= 0:
        return Extent(scan.count / fps if fps else 0.0, size=size)
    if len(scan.parts) == 1:
        return Extent(scan.length, size=size)
    rest = sum(last - first for first, last in scan.parts[1:])
    note = f"the clock of the file leaps after {scan.length:.1f} s; the {rest:.1f} s after that are not looked at"
    return Extent(scan.length, note, scan.seam if cut else size)


def _sampled(container: InputContainer, stream: VideoStream, scan: _Scan, path: Path, size: int, fps: float) -> Extent:
    """As `_measured` for a file that is too long for that: after the scan, the clock is read here and there."""
    whole = size or path.stat().st_size
    if len(scan.parts) > 1:
        return Extent(scan.length, f"the clock leaps after {scan.length:.1f} s; {_rest(scan.seam, whole)}", scan.seam)
    if not scan.parts or not container.format.name.startswith(_LEAPING):
        length = scan.length or (scan.count / fps if fps else 0.0)
        return Extent(length, f"the file does not declare how long it is; {_rest(scan.place, whole)}", scan.place)
    first, usual = scan.parts[0][0], scan.length / max(1, scan.place)
    for place in np.linspace(scan.place, max(scan.place, whole - _TAIL), _SAMPLES + 1)[1:].astype(int).tolist():
        with suppress(av.FFmpegError):
            container.seek(place, unsupported_byte_offset=True)
        before, begin = scan.clock, scan.place
        found = next(
            (p for p in islice(packets(container, stream), _NEAR) if p is not None and p.pts is not None), None
        )
        if found is None:
            continue
        most = max(_LEAP, _STRANGE * usual * (place - begin))
        if not -1 < sent_at(found, before) - before < most:
            return Extent(before - first, f"the clock leaps after {before - first:.1f} s; {_rest(begin, whole)}", begin)
        scan.add(found, leaps=False)
    for packet in islice(packets(container, stream), _MAX_PACKETS):
        if packet is not None:
            scan.add(packet, leaps=False)
    return Extent(scan.length, size=size)


def _rest(place: int, size: int) -> str:
    return f"the rest, {1 - place / max(1, size):.0%} of the file, is not looked at"


def _is_leap(before: float, now: float) -> bool:
    """Whether two packets that follow one another stand on two sides of a seam; both as `sent_at`."""
    return not -1 < now - before < _LEAP
