"""Writing frames as video files: moviepy encodes, PyAV gives each frame its time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image

from ..errors import BadInput
from ..output_files import MARK, replacing, temporary

Shown = tuple[float, np.ndarray]
"""Seconds for which an image is shown, and the image."""

TICK: Final = Fraction(1, 90_000)
"""Seconds: resolution of the times in an mp4; 24, 25, 30, 50 and 60 frames per second are whole numbers of it."""
GIF_TICK: Final = Fraction(1, 100)
"""Seconds: resolution of the times in a GIF."""
MIN_GIF_TICKS: Final = 2
"""Browsers slow down frames that are shown for less."""


def write_video(path: Path, frames: Iterable[Shown]) -> None:
    """Write images as a video: H.264 that all browsers play, or an animated GIF if the suffix is `.gif`.

    Args:
        path: The file, replaced if it exists, and only when the video is complete; its suffix is `.mp4` or `.gif`.
        frames: Images, (height, width, 3) uint8 RGB of one size, each with the seconds for which it is shown, above 0.
            Mp4 needs even sizes: an odd width or height loses its last column or row. A GIF lacks images shown for
            less than 0.02 s; all others keep their times.

    Raises:
        BadInput: There are no images, or the suffix or a time is invalid.
        OSError: The file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mp4", ".gif"):
        raise BadInput(f"unknown video format {path.name!r}; give a name that ends in .mp4 or .gif")
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise BadInput("no images to write; give at least one")
    if path.is_dir():
        raise OSError(f"could not write {path}: it is a folder; give the name of a file")
    with replacing(path) as part:
        write = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
        write(part, first[1], chain([first], rest))


def _write_mp4(path: Path, first: np.ndarray, frames: Iterable[Shown]) -> None:
    """Encode frame by frame, so that a long video is never in memory as a whole, and then set the times."""
    from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter

    height, width = (side - side % 2 for side in first.shape[:2])
    if not (height and width):
        raise BadInput(f"an image of shape {first.shape} is too small for mp4; give at least 2x2 pixels")
    spans: list[tuple[int, int]] = []
    with temporary(path) as encoded:
        # Moviepy knows constant rates only. Without B-frames, packets are in the order in which they are shown.
        with FFMPEG_VideoWriter(str(encoded), (width, height), 25, ffmpeg_params=["-bf", "0"]) as writer:
            for (start, image), (end, _) in pairwise(_timed(frames, first.shape, TICK)):
                writer.write_frame(np.ascontiguousarray(image[:height, :width]))
                spans.append((start, end))
            encoder = writer.proc
        if encoder.returncode or not encoded.is_file():
            raise OSError(
                f"ffmpeg could not write to {path.parent} (exit status {encoder.returncode}); check the disk and the "
                "folder"
            )
        _retime(encoded, path, spans, TICK, {"movflags": "faststart"})


def _write_gif(path: Path, first: np.ndarray, frames: Iterable[Shown]) -> None:
    """Encode frame by frame, and then set the times."""
    spans: list[tuple[int, int]] = []
    palette = _Palette()
    with temporary(path) as encoded:
        with av.open(str(encoded), "w") as output:
            stream = output.add_stream("gif", rate=25)
            stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "pal8"
            for (start, image), (end, _) in pairwise(_timed(frames, first.shape, GIF_TICK, MIN_GIF_TICKS)):
                frame = av.VideoFrame.from_ndarray(palette.reduced(image), format="pal8")  # type: ignore[arg-type]
                output.mux(stream.encode(frame))
                spans.append((start, end))
            output.mux(stream.encode(None))
        start, end = spans[-1]
        _retime(encoded, path, spans, GIF_TICK, {"final_delay": str(end - start)})
    _add_comment(path)


def _retime(
    encoded: Path, path: Path, spans: Sequence[tuple[int, int]], tick: Fraction, options: dict[str, str]
) -> None:
    """Copy the packets of a video without B-frames, each with the ticks from and until which it is shown."""
    with av.open(str(encoded)) as source, av.open(str(path), "w", options=options) as output:
        coded = source.streams.video[0]
        stream = output.add_stream_from_template(coded)
        stream.time_base = tick
        output.metadata["comment"] = MARK
        packets = (packet for packet in source.demux(coded) if packet.size)
        for packet, (start, end) in zip(packets, spans, strict=True):
            packet.stream, packet.time_base = stream, tick
            packet.pts, packet.dts, packet.duration = start, start, end - start
            output.mux(packet)


def _timed(
    frames: Iterable[Shown], shape: tuple[int, ...], tick: Fraction, shortest: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Each image with the tick at which it starts, and at the end the last image again with the tick at which it ends.

    Images shown for less than `shortest` ticks are left out, and the one before is shown until the next.

    Raises:
        BadInput: An image has another shape, or is shown for no time.
    """
    seconds, begun = 0.0, -shortest
    for duration, image in frames:
        if image.shape != shape:
            raise BadInput(f"images of shapes {image.shape} and {shape} in one video; give images of one size")
        if not duration > 0:
            raise BadInput(f"an image is shown for {duration} s; give a time above 0")
        # Rounded from the start each time, so that errors do not add up.
        start = round(seconds / tick)
        seconds += duration
        if start - begun >= shortest:
            yield start, image
            begun = start
    yield max(round(seconds / tick), begun + shortest), image


class _Palette:
    """The 256 colours of the frames of a GIF: the same while they suit, so that what does not change is stored once."""

    def __init__(self) -> None:
        self._palette: Image.Image | None = None
        self._error = 0.0

    def reduced(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (height, width) uint8 and the palette (256, 4) uint8, ARGB."""
        full = Image.fromarray(image)
        if self._palette is not None:
            reduced = full.quantize(palette=self._palette, dither=Image.Dither.NONE)
            if _error(image, reduced) <= 1.5 * self._error + 2:
                return _as_arrays(reduced)
        self._palette = reduced = full.quantize(256, dither=Image.Dither.NONE)
        self._error = _error(image, reduced)
        return _as_arrays(reduced)


def _error(image: np.ndarray, reduced: Image.Image) -> float:
    """Mean absolute difference of a sample of pixels, 0 to 255."""
    shown = np.asarray(reduced.convert("RGB"))[::4, ::4]
    return float(np.abs(shown.astype(np.int16) - image[::4, ::4]).mean())


def _as_arrays(reduced: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    colours = np.array(reduced.getpalette() or (), np.uint8).reshape(-1, 3)
    palette = np.full((256, 4), 255, np.uint8)
    palette[: len(colours), 1:] = colours
    return np.asarray(reduced), palette


def _add_comment(gif: Path) -> None:
    """Add a comment block before the trailer, the last byte of a GIF."""
    with gif.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\x21\xfe" + bytes([len(MARK)]) + MARK.encode() + b"\x00\x3b")
