"""How much work one read may take: the cost of a file is bounded by what is asked for, not by what the file holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

TOTAL: Final = 2**32
"""Pixels decoded for one read: 2,000 frames of 1920x1080, about the processor time of one run on the bundled clip."""
PER_BYTE: Final = 128
"""Pixels that each byte of compressed video earns: videos of usual bit rates (HD at 4 Mbit/s and above) earn all their
own pixels, so that only files which are small for their pixels are limited."""
PACKET: Final = 2**15
"""Pixels whose decoding takes as long as passing one packet to the decoder."""
SKIPPED: Final = 2**11
"""Pixels whose decoding takes as long as reading one packet that is not decoded."""
HELD: Final = 440 * 2**20
"""Bytes of pictures that a decoder may hold: nine of 8K, where every level of H.264 allows at most five references."""


class Budget:
    """The work left for one read, of which each target has a share."""

    def __init__(self) -> None:
        self._left = TOTAL
        self._kept = 0
        self._buffers: set[int] = set()
        self.keyframes_only = False
        """Whether pictures that refer to others are too many to be held."""

    def share(self, part: float) -> None:
        """Begin a share: this part of what is left, all if 1 or more."""
        self._kept = self._left - round(self._left * min(1.0, part))

    def decode(self, pixels: int, size: int) -> None:
        """Spend what decoding a packet takes: `pixels` of the frame, `size` in bytes of the packet."""
        self._left -= PACKET + max(0, pixels - PER_BYTE * size)

    def skip(self) -> None:
        """Spend what reading a packet takes that is not decoded."""
        self._left -= SKIPPED

    def hold(self, buffers: Iterable[int], size: int, waiting: int) -> None:
        """Count the pictures that the decoder holds; those it has returned use its buffers again and again.

        Args:
            buffers: Addresses of the pictures just returned.
            size: Bytes of one picture.
            waiting: Packets since the last picture was returned, each of which may be one more.
        """
        self._buffers.update(buffers)
        self.keyframes_only |= (len(self._buffers) + waiting) * size > HELD

    @property
    def share_is_spent(self) -> bool:
        """Whether the current share is used up."""
        return self._left <= self._kept

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left."""
        return self._left <= 0


class Unlimited(Budget):
    """A budget that is never spent, for who wants every frame."""

    @property
    def is_spent(self) -> bool:
        """Never."""
        return False

    @property
    def share_is_spent(self) -> bool:
        """Never."""
        return False
