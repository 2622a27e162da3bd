"""Packets in the order in which they are read, and the times at which frames are shown that carry none of their own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ..execution.cancellation import check_cancelled

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
