"""How much of a file FFmpeg can read: up to a second video, or to where the file breaks off.

Of videos joined end to end FFmpeg, like most players, reads the first and ignores the rest, or confuses their clocks. A
file that breaks off in the head of a fragment it does not open at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from os import SEEK_END
from pathlib import Path
from typing import BinaryIO, Final

_SEARCHED: Final = 2**26
"""Bytes searched for the beginning of a second video."""
_MAX_BOXES: Final = 2**16
"""Boxes of an MP4 file that are looked at."""
_FRAGMENT_HEAD: Final = 2**12
"""Bytes of a fragment in which its time stands."""
_BEGINNINGS: Final = {
    "matroska": rb"\x1a\x45\xdf\xa3.{1,64}?\x42\x82.(?:webm|matroska)",
    "avi": rb"RIFF....AVI LIST",
    "flv": rb"FLV\x01.\x00\x00\x00\x09\x00\x00\x00\x00",
    "gif": rb";(GIF8[79]a)",
    "apng": rb"IEND\xae\x42\x60\x82(\x89PNG\r\n\x1a\n)",
    "asf": rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c",
}
"""By format: what a file begins with and hardly ever holds elsewhere; the second video begins at the group, if any."""
_OGG_PAGE: Final = b"OggS\x00"
_FIRST_PAGE: Final = 2
"""Flag of the page that begins a stream, in the byte after `_OGG_PAGE`."""


def first_part(path: Path, name: str) -> int:
    """The bytes of the first of several videos that were joined end to end; 0 if the file holds one.

    Args:
        path: The file.
        name: FFmpeg's name of its format.
    """
    with path.open("rb") as file:
        if name.startswith("mov"):
            return _second_file_type(file)
        beginning = next((found for known, found in _BEGINNINGS.items() if name.startswith(known)), None)
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            if name == "ogg":
                return _second_chain(content)
            match = re.compile(beginning, re.DOTALL).search(content, 1, _SEARCHED) if beginning else None
            return match.start(match.lastindex or 0) if match else 0


def _second_chain(content: mmap) -> int:
    """Where in an Ogg file streams begin after pages that continue streams."""
    place = 0
    while content[place + len(_OGG_PAGE) : place + len(_OGG_PAGE) + 1] == bytes([_FIRST_PAGE]):
        place = content.find(_OGG_PAGE, place + 1, _SEARCHED)
        if place < 0:
            return 0
    return max(0, content.find(_OGG_PAGE + bytes([_FIRST_PAGE]), place, _SEARCHED))


def whole_fragments(path: Path) -> int:
    """The bytes of an MP4 file that breaks off in the head of a fragment, up to there; 0 if it is not such a file."""
    with path.open("rb") as file:
        end, fragments = file.seek(0, SEEK_END), False
        for place, kind, size in _boxes(file):
            if place + size > end:
                return place if fragments and kind != b"mdat" else 0
            fragments |= kind == b"moof"
    return 0


def _second_file_type(file: BinaryIO) -> int:
    """Where an MP4 file begins anew: at a second `ftyp` box, unless fragments after it continue the clock."""
    begins, first_clock, seen = 0, 0, set[bytes]()
    for place, kind, size in _boxes(file):
        if kind == b"moof":
            clock = _fragment_clock(file.read(min(size, _FRAGMENT_HEAD)))
            if begins:
                return begins if clock <= first_clock else 0
            first_clock = first_clock if kind in seen else clock
        if kind == b"mdat" and begins:
            return begins
        if kind == b"ftyp" and not begins and seen & {b"mdat", b"moof"}:
            begins = place
        seen.add(kind)
    return 0


def _boxes(file: BinaryIO) -> Iterator[tuple[int, bytes, int]]:
    """Place, kind and size of the boxes that an MP4 file consists of; the last may be incomplete."""
    place = 0
    for _ in range(_MAX_BOXES):
        file.seek(place)
        head = file.read(16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        if len(head) < 8 or size < 8:
            return
        yield place, kind, size
        place += size


def _fragment_clock(fragment: bytes) -> int:
    """The ticks at which a `moof` box begins, from its first `tfdt` box; 0 if it has none."""
    place = fragment.find(b"tfdt")
    if place < 0:
        return 0
    return int.from_bytes(fragment[place + 8 : place + (16 if fragment[place + 4] else 12)], "big")
